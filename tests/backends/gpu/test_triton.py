"""Triton's kernels without a GPU: run by its interpreter, and compiled for the GPUs they are meant for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nvrtc
import pytest
from dist import interpreters

triton = pytest.importorskip("triton", reason="torch has no Triton on this platform")

from otlabel.backends.gpu import triton_engine as kernels  # noqa: E402

TESTS = Path(__file__).parents[2]
# The interpreter is slow: no large problems, and rows of 1,000 in float32 and float16 only (kernels turn all types into
# float32 alike), with lists of width 3 and of all.
SMALL = "not many and not 3000 and not 700 and not 257"
NARROW = f"{SMALL} and not (1000 and (bool or int8 or int32 or float64 or 0.0 or 14.0))"


def interpreted(*arguments: str) -> subprocess.CompletedProcess:
    settings = {**os.environ, "TRITON_INTERPRET": "1", "OTLABEL_TEST_BACKENDS": "torch"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=TESTS.parent, env=settings, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("chosen", "least"), [(NARROW, 150), pytest.param(SMALL, 200, marks=pytest.mark.slow)], ids=["narrow", "all"]
)
def test_kernels_conform_under_the_interpreter(chosen, least):
    done = interpreted(str(TESTS / "backends" / "test_kernels.py"), "-k", chosen)
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) > least


def test_whole_solves_under_the_interpreter():
    chosen = "certified_in_float64 or rows_of_weight_zero or labels_of_share_zero"
    files = [
        TESTS / "test_assign.py",
        *(TESTS / "backends" / "gpu" / name for name in ("test_device.py", "test_lists.py")),
    ]
    done = interpreted(*map(str, files), "-k", chosen + " or bfloat16 or any_length")
    assert done.returncode == 0, done.stdout[-5000:]


COMPILE = Path(__file__).with_name("compile_triton.py")


@pytest.mark.parametrize(
    ("architecture", "score", "k"),
    [
        (80, "fp16", 3000),
        (80, "fp64", 8000),
        (90, "fp16", 3000),
        (90, "fp32", 10_000),
        (90, "bf16", 1000),
        (90, "fp16", 3002),
        (90, "fp32", 3001),
    ],
)
def test_occupancy_spills_and_instructions(tmp_path, architecture, score, k):
    compile_all(sys.executable, tmp_path, architecture, score, k)


@pytest.mark.slow
@pytest.mark.parametrize(("score", "k"), [("fp16", 3000), ("fp32", 10_000), ("bf16", 1001), ("fp64", 3000)])
def test_occupancy_and_spills_with_an_older_triton(older, tmp_path, score, k):
    compile_all(older, tmp_path, 90, score, k)


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """Python 3.12 with Triton 3.6."""
    python = interpreters().get("3.12")
    if python is None:
        pytest.skip("there is no Python 3.12")
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([python, "-m", "venv", folder], check=True)
    packages = ["triton==3.6.0", "numpy", "scipy", "numba", "threadpoolctl"]
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
    return folder / "bin" / "python"


# Instructions of the longest loop, float16 and k = 3,000 on sm_90: the more of Triton 3.6 and 3.8, which need up to a
# fifth more than each other.
LOOPS = {"fill": 462, "scan": 375, "sweep": 1252, "sweep_precise": 1335, "sweep_listed": 816}


def compile_all(python, tmp_path, architecture, score, k):
    """What they need of the device is what the engine believes that they need."""
    command = [python, str(COMPILE), str(architecture), score, str(k), str(tmp_path)]
    settings = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    settings["PYTHONPATH"] = str(TESTS.parent)
    done = subprocess.run(command, check=True, env=settings, stdout=subprocess.PIPE, text=True)
    used = {file.stem: nvrtc.usage(file.read_bytes()).popitem()[1] for file in tmp_path.glob("*.cubin")}
    swept = {name: precise for name, precise in (("sweep", False), ("sweep_precise", True)) if name in used}
    assert swept.keys() >= ({"sweep"} if score != "fp64" else set())
    assert ("sweep_precise" in swept) == (k <= kernels.WIDEST_PRECISE)
    assert len(used) == 5 + len(swept)
    for name, usage in used.items():
        # A logarithm in float64 is a call, which needs a few bytes. Two rows at a time spill as much, and are quicker.
        assert usage.stack <= 64, (name, usage)
        if name in ("sweep_wide", "scan", "fill") and k % 2 == 0:  # of 8 warps: two programs find room
            assert usage.registers <= 128, (name, usage)
    if (architecture, score, k) == (90, "fp16", 3000):
        for name, most in LOOPS.items():
            (loop,) = nvrtc.longest_loops((tmp_path / f"{name}.cubin").read_bytes()).values()
            assert loop <= 1.05 * most, (name, loop)
    lists = nvrtc.instructions((tmp_path / "sweep_listed.cubin").read_bytes())
    assert "BAR.SYNC" not in lists  # a warp of its own waits for nobody
    assert len(re.findall(r"/\*[0-9a-f]{4}\*/ ", lists)) <= 1400  # of four rows, the logarithm's ways included
    assert -(-used["sweep_listed"].registers // 8) * 8 * kernels.WARP * kernels.LISTED_PROGRAMS <= 65536
    for name, precise in swept.items():  # as many programs as are started find room, in shared memory too
        shape, usage = kernels.sweep_shape(k, {"fp64": 8, "fp32": 4}.get(score, 2), precise), used[name]
        assert -(-usage.registers // 8) * 8 * 32 * shape.warps * shape.per_processor <= 65536, (shape, usage)
        shared = json.loads(done.stdout)[name]
        assert shared <= kernels.PROGRAM_MEMORY + 4096
        assert shared * shape.per_processor <= kernels.MEMORY + 8192
        # The rows to come are copied there, 16 bytes at a time if k allows, while others are summed.
        copies = "cp.async.cg.shared.global" if k % 8 == 0 else "cp.async.ca.shared.global"
        assert copies in (tmp_path / f"{name}.ptx").read_text(), name


def test_stub_driver_sees_a_solve_compile_every_kernel_once(tmp_path):
    """Blocks, lists and arrays come in many lengths and begin anywhere: none of it is a constant to the compiler."""
    settings = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    settings |= {"PYTHONPATH": str(TESTS.parent), "TRITON_CACHE_DIR": str(tmp_path)}
    launch = Path(__file__).with_name("launch_triton.py")
    done = subprocess.run([sys.executable, launch], check=True, env=settings, stdout=subprocess.PIPE, text=True)
    compiled = {name: count for name, (count, launches) in json.loads(done.stdout).items() if launches > 5}
    once = dict.fromkeys(("fill", "scan", "sweep_listed"), 1)
    assert compiled == once | {"sweep": 2, "total": 1}  # in float32 and float64
