"""The CUDA C kernels on the CPU: the source that ships, compiled by g++ with a header that maps threads to fibers."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from otlabel.backends import Backend
from otlabel.backends.gpu import cuda_engine as cuda
from otlabel.backends.gpu import kernels

HEADER = Path(__file__).with_name("cuda_on_host.h")
_LISTS = {  # the kernels' parameters: p is a pointer, l an int64, i an int
    "sweep": "plppppli",
    "sweep_float32": "plppppli",
    "sweep_float64": "plppppli",
    "total": "ppii",
    "scan": "plpppppli",
    "fill": "plppppppli",
    "sweep_listed": "ppppppppli",
}
_TYPES = {"p": ctypes.c_void_p, "l": ctypes.c_longlong, "i": ctypes.c_int}


class Kernels(kernels.Kernels):
    """The backend cupy with NumPy arrays in place of CuPy's, and a CPU in place of the GPU."""

    def __init__(self, source, scale, a, largest):
        super().__init__(source, OnHost(), scale, a, largest)


BACKEND = Backend("cuda-on-host", sys.modules[__name__])


class OnHost(cuda.Cuda):
    def __init__(self):
        super().__init__(np, processors=2)

    def address(self, array):
        return array.ctypes.data

    def resident(self, name, macros, threads):
        return 2

    def launch(self, name, macros, blocks, threads, arguments):
        values = [argument.ctypes.data if isinstance(argument, np.ndarray) else argument for argument in arguments]
        library(name, macros)(blocks, threads, *(None if value is None else int(value) for value in values))


@functools.cache
def library(name: str, macros: tuple[str, ...]):
    """launch(blocks, threads, ...) of one kernel."""
    kinds = _LISTS[name]
    types = {"p": "void*", "l": "long long", "i": "int"}
    parameters = ", ".join(f"{types[kind]} v{i}" for i, kind in enumerate(kinds))
    casts = ", ".join(f"Any{{v{i}}}" if kind == "p" else f"v{i}" for i, kind in enumerate(kinds))
    source = f"""{cuda.SOURCE}
struct Any {{ void* pointer; template <typename T> operator T*() const {{ return (T*)pointer; }} }};
extern "C" void launch(unsigned blocks, unsigned threads, {parameters}) {{
  host::launch(blocks, threads, [=] {{ {name}({casts}); }});
}}
"""
    digest = hashlib.sha256((source + HEADER.read_text() + str(macros)).encode()).hexdigest()[:16]
    built = Path(tempfile.gettempdir()) / f"otlabel-tests-{digest}.so"
    if not built.exists():
        command = ["g++", "-std=c++20", "-O2", "-shared", "-fPIC", "-ffp-contract=off", "-Wno-unknown-pragmas"]
        command += ["-include", str(HEADER), *(f"-D{macro}" for macro in macros), "-x", "c++", "-"]
        with tempfile.NamedTemporaryFile(dir=built.parent, suffix=".so", delete=False) as scratch:
            subprocess.run([*command, "-o", scratch.name], input=source, text=True, check=True)
        Path(scratch.name).replace(built)
    function = ctypes.CDLL(str(built)).launch
    function.argtypes = [ctypes.c_uint, ctypes.c_uint, *(_TYPES[kind] for kind in kinds)]
    function.restype = None
    return function
