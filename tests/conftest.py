"""One fixture over the backends, and fresh random input in every test.

Without a GPU the backend "torch" is its plain operations, and "cupy" its CUDA C run on the CPU (gpu/on_host.py);
gpu/test_triton.py runs the conformance tests again with Triton's kernels in its interpreter.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from otlabel import backends

sys.path += [str(Path(__file__).parent / room) for room in ("gpu", "torch")]  # what tests of a room share

SEED = int(os.environ.get("OTLABEL_TEST_SEED", np.random.SeedSequence().entropy % 2**31))


def has_cupy_gpu() -> bool:
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    return bool(cupy.is_available())


CUDA_ON_HOST = not has_cupy_gpu()
# A backend named here must be tested, not skipped: OTLABEL_TEST_BACKENDS=numba,numpy pytest
BACKENDS = os.environ.get("OTLABEL_TEST_BACKENDS", "numba,numpy,torch,cupy").split(",")


def pytest_report_header() -> str:
    names = [f"{name} (CUDA C on the CPU)" if name == "cupy" and CUDA_ON_HOST else name for name in BACKENDS]
    return f"otlabel: backends {', '.join(names)}; random input from OTLABEL_TEST_SEED={SEED}"


def put_on_gpu(backend: str, scores: np.ndarray) -> object:
    """The scores as the backend's own array on the GPU, if there is one."""
    if backend == "cupy" and not CUDA_ON_HOST:
        import cupy

        return cupy.asarray(scores)
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.from_numpy(np.array(scores, order="K")).cuda()
    return scores


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "cupy" and CUDA_ON_HOST:
        import on_host

        load, names = backends.load, backends.names
        monkeypatch.setattr(backends, "load", lambda name: on_host if name == "cupy" else load(name))
        monkeypatch.setattr(backends, "names", lambda: (*names(), "cupy"))
    if request.param == "torch":
        import torch

        from otlabel.backends import torch as backend_torch

        if torch.cuda.is_available():  # arrays in host memory are streamed to it, as pinned ones are
            place = torch.device("cuda", torch.cuda.current_device())
            monkeypatch.setattr(backend_torch, "_place", lambda scores: place)
    return request.param


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(request.node.name.encode())])
