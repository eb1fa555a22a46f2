"""Which backends there are, and which one scores get."""

from __future__ import annotations

import numpy as np

from otlabel import backends
from otlabel._input.sources import InMemory


def test_names_load_and_infer():
    assert backends.infer(InMemory(np.zeros((2, 2)))) == "numba"
    assert {"numba", "numpy", "torch"} <= set(backends.names()) <= {"numba", "numpy", "torch", "cupy"}
    for name in ("numba", "numpy", "torch"):
        assert backends.load(name).__name__.endswith(name)


def test_a_namespace_is_as_good_as_a_module():
    class Space:
        class Kernels:
            pass

    backends.register(backends.Backend("space", Space))
    try:
        assert backends.load("space") is Space
        assert backends.names()[-1] == "space"  # behind those that are quicker
    finally:
        backends.unregister("space")
    assert "space" not in backends.names()
