"""Points that the tests of the command cluster."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def points(rng):
    centres = 4 * rng.normal(size=(8, 5))
    return (centres[rng.integers(0, 8, 240)] + rng.normal(size=(240, 5))).astype(np.float32)
