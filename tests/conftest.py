"""One fixture over the backends, and fresh random input in every test."""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest

from otlabel import backends

# A backend named here must be tested, not skipped: OTLABEL_TEST_BACKENDS=numba,numpy pytest
BACKENDS = os.environ.get("OTLABEL_TEST_BACKENDS", ",".join(backends.names())).split(",")
SEED = int(os.environ.get("OTLABEL_TEST_SEED", np.random.SeedSequence().entropy % 2**31))


def pytest_report_header() -> str:
    return f"otlabel: backends {','.join(BACKENDS)}; random input from OTLABEL_TEST_SEED={SEED}"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(request.node.name.encode())])
