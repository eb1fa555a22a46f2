"""What the environment chooses: the seed of random input, and the backends that are tested."""

from __future__ import annotations

import importlib.util
import os

import numpy as np

# Handed on by the environment: processes that run the tests side by side must have the one that the header names.
SEED = int(os.environ.setdefault("OTLABEL_TEST_SEED", str(np.random.SeedSequence().entropy % 2**31)))


def has_cupy_gpu() -> bool:
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    return bool(cupy.is_available())


CUDA_ON_HOST = not has_cupy_gpu()
# A backend named here must be tested, not skipped: OTLABEL_TEST_BACKENDS=numba,numpy pytest
BACKENDS = os.environ.get("OTLABEL_TEST_BACKENDS", "numba,numpy,torch,cupy").split(",")
