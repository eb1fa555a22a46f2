"""One fixture over the backends, and fresh random input in every test.

Without a GPU the backend "torch" is its plain operations, and for "cupy" stands its CUDA C run on the CPU, which is a
backend of its own (backends/gpu/on_host.py); backends/gpu/test_triton.py runs the conformance tests again with Triton's
kernels in its interpreter.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from environment import BACKENDS, CUDA_ON_HOST, SEED

from otlabel import ScoreSource, backends
from otlabel._input.sources import InMemory
from otlabel.backends import Kernels

sys.path += [
    str(Path(__file__).parent / room) for room in ("backends/gpu", "explore", "torch")
]  # what tests of a room share


def pytest_report_header() -> str:
    names = [f"{name} (CUDA C on the CPU)" if name == "cupy" and CUDA_ON_HOST else name for name in BACKENDS]
    return f"otlabel: backends {', '.join(names)}; random input from OTLABEL_TEST_SEED={SEED}"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a registered backend: each in turn. A test file that has one of its own overrides this."""
    if request.param == "cupy" and CUDA_ON_HOST:
        import on_host

        backends.register(on_host.BACKEND)
        yield on_host.BACKEND.name
        backends.unregister(on_host.BACKEND.name)
        return
    if request.param == "torch":
        import torch

        from otlabel.backends import torch as backend_torch

        if torch.cuda.is_available():  # arrays in host memory are streamed to it, as pinned ones are
            place = torch.device("cuda", torch.cuda.current_device())
            monkeypatch.setattr(backend_torch.Kernels, "device", staticmethod(lambda source: place))
    yield request.param


@pytest.fixture
def put(backend: str) -> Callable[[np.ndarray], Any]:
    """Scores as the backend's own array on a device, if there is one."""
    if backend == "cupy":
        import cupy

        return cupy.asarray
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            return lambda scores: torch.from_numpy(np.array(scores, order="K")).cuda()
    return lambda scores: scores


@pytest.fixture
def kernels_of(backend: str, put: Callable[[np.ndarray], Any]) -> Callable[..., Kernels]:
    """Kernels of some scores (n, k), where the backend likes them best; of a source, where it is."""

    def bind(scores: Any, epsilon: float, a: np.ndarray, largest: float | None = None) -> Kernels:
        largest = float(np.abs(scores.astype(np.float64)).max()) if largest is None else largest
        source = scores if isinstance(scores, ScoreSource) else InMemory(put(scores))
        return backends.load(backend).Kernels(source, 1 / epsilon, a, largest)

    return bind


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(request.node.name.encode())])
