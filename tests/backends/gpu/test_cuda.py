"""The CUDA C kernels without a GPU: compiled for the GPUs they are meant for, and the header that runs them on a CPU.

What they compute is tested wherever the backend "cupy" is: the same source then runs on the host.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import nvrtc
import on_host
import oracle
import pytest

from otlabel._input.sources import InMemory
from otlabel.backends.gpu import cuda_engine as cuda


@pytest.mark.parametrize("architecture", [80, 90])
@pytest.mark.parametrize(("score", "itemsize"), [("half", 2), ("bfloat16", 2), ("float", 4), ("double", 8)])
def test_occupancy_and_spills(architecture, score, itemsize):
    used = nvrtc.usage(nvrtc.compile_cuda(cuda.SOURCE, (f"SCORE={score}",), architecture))
    assert set(used) == {"sweep_float32", "sweep_float64", "total", "scan", "fill", "sweep_listed"}
    assert all(usage.registers <= 64 and usage.stack <= 16 for usage in used.values()), used
    assert used["sweep_listed"].registers <= 48, used  # 40 of 64 warps find room
    for k, precise in itertools.product((128, 1000, 1001, 3000, 10_000), (False, True)):
        shape = cuda.sweep_shape(k, k, itemsize, 0, precise)
        if shape is None or (score == "double" and not precise):
            continue
        macros = tuple(f"{name.upper()}={value}" for name, value in shape._asdict().items())
        code = nvrtc.compile_cuda(cuda.SOURCE, (f"SCORE={score}", *macros), architecture)
        (usage,) = nvrtc.usage(code).values()
        assert usage.stack <= 8 * precise, (k, shape, usage)
        assert usage.registers <= 65536 // shape.threads, (k, shape, usage)
        if shape.width * itemsize == 16 and not precise:
            loads = re.findall(r"LDG\.E\.128", nvrtc.instructions(code))
            assert len(loads) == 2 * shape.rows * shape.vectors, (k, shape)  # before the loop, and in it


@pytest.mark.parametrize(
    ("k", "precise", "instructions"), [(3000, False, 15.7), (1000, False, 14.9), (3000, True, 81.2)]
)
def test_a_score_takes_so_many_instructions(k, precise, instructions):
    """The sweep's loop, its rare additions to the partial sums included."""
    shape = cuda.sweep_shape(k, k, 2, 0, precise)
    macros = tuple(f"{name.upper()}={value}" for name, value in shape._asdict().items())
    (loop,) = nvrtc.longest_loops(nvrtc.compile_cuda(cuda.SOURCE, ("SCORE=half", *macros), 90)).values()
    assert loop / (shape.vectors * shape.width * shape.rows) <= 1.05 * instructions


@pytest.mark.parametrize("k", [1, 31, 128, 1000, 1001, 3000, 8192, 10_000, 65_536])
@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("precise", [False, True])
def test_a_block_holds_every_column_once(k, itemsize, precise):
    shape = cuda.sweep_shape(k, k, itemsize, 0, precise)
    if shape is None:
        assert k > 6144 if precise else k * itemsize > 16_000 or k % 2  # then it is swept in two passes
        return
    assert shape.threads * shape.vectors * shape.width >= k
    assert k % shape.width == 0
    assert shape.width * itemsize <= 16
    assert shape.threads * (shape.vectors - 1) * shape.width < k  # no vector too many


@pytest.mark.parametrize("address", [2, 4, 8, 16])
def test_loads_are_as_wide_as_the_address_allows(address):
    assert cuda.sweep_shape(3000, 3000, 2, address, False).width * 2 == min(address, 16)


def test_a_view_that_begins_anywhere_is_swept(rng):
    wide = rng.normal(size=(40, 96)).astype(np.float32)
    for first in range(5):
        scores = wide[:, first : first + 64]
        a, g = np.full(40, 1 / 40), rng.normal(size=64)
        kernels = on_host.Kernels(InMemory(scores), 2.0, a, 10.0)
        for precise, rtol in ((False, 1e-5), (True, 1e-12)):
            c = kernels.survey(g, 3.0, precise).swept.c
            np.testing.assert_allclose(c, oracle.plan(scores, 0.5, g, a).sum(axis=0).astype(float), rtol=rtol)


BARRIER = """
import ctypes, sys
sys.path.append(sys.argv[1])
import on_host
from otlabel.backends.gpu import cuda_engine as cuda

cuda.SOURCE = '''
extern "C" __global__ void total(const double* partial, double* out, int programs, int length) {
  if (threadIdx.x < THREADS_AT_THE_BARRIER) __syncthreads();
  out[0] = 1.0;
}
'''
import numpy as np
out = np.zeros(1)
on_host.library("total", (f"THREADS_AT_THE_BARRIER={sys.argv[2]}",))(1, 64, out.ctypes.data, out.ctypes.data, 1, 1)
print(out[0])
"""


@pytest.mark.parametrize(("threads", "stops"), [(64, False), (63, True)])
def test_a_barrier_that_some_threads_miss_stops_the_run(threads, stops):
    command = [sys.executable, "-c", BARRIER, str(Path(__file__).parent), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if stops:
        assert done.returncode != 0
        assert "threads wait at a barrier to which others do not come" in done.stderr
    else:
        assert done.stdout == "1.0\n", done.stderr
