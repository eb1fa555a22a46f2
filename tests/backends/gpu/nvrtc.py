"""CUDA C to machine code without a GPU: NVRTC as torch and CuPy bring it, and what the code needs of the device."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple


class Usage(NamedTuple):
    registers: int  # a thread
    stack: int  # bytes a thread, spills among them
    shared: int  # bytes a block


def compile_cuda(source: str, macros: tuple[str, ...], architecture: int) -> bytes:
    """The machine code; RuntimeError with the compiler's log if there is none."""
    path = _nvrtc()
    for builtins in path.parent.glob("libnvrtc-builtins.so.*"):  # which it would look for on the system's path
        ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    nvrtc = ctypes.CDLL(str(path))
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    # CuPy compiles with -ftz=true too.
    options = ["--std=c++17", "-ftz=true", f"--gpu-architecture=sm_{architecture}", *(f"-D{macro}" for macro in macros)]
    listed = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), listed)
    if failed:
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        raise RuntimeError(log.value.decode())
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    code = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetCUBIN(program, code)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return code.raw


def usage(code: bytes) -> dict[str, Usage]:
    """What each kernel of some machine code needs, as the tool that comes with Triton reads it."""
    listing = _inspect("-res-usage", code)
    found = re.findall(r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+)", listing)
    return {name: Usage(int(registers), int(stack), int(shared)) for name, registers, stack, shared in found}


def instructions(code: bytes) -> str:
    """The assembly."""
    return _inspect("-sass", code)


def longest_loops(code: bytes) -> dict[str, int]:
    """Instructions of each kernel's longest loop: from where a branch goes back to, to that branch."""
    found: dict[str, int] = {}
    name = ""
    for line in instructions(code).splitlines():
        if kernel := re.search(r"Function : (\S+)", line):
            name = kernel[1]
        if branch := re.match(r"\s+/\*([0-9a-f]+)\*/.*BRA\S* .*?(0x[0-9a-f]+)", line):
            back = int(branch[1], 16) - int(branch[2], 16)
            if back > 0:
                found[name] = max(found.get(name, 0), back // 16 + 1)
    return found


def _inspect(flag: str, code: bytes) -> str:
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        return subprocess.run([str(tool), flag, file.name], capture_output=True, text=True, check=True).stdout


def _nvrtc() -> Path:
    spec = importlib.util.find_spec("nvidia")
    places = [Path(place) for place in spec.submodule_search_locations] if spec else []
    return next(path for place in places for path in sorted(place.glob("*/lib/libnvrtc.so.*")))
