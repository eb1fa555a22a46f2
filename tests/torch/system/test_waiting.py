"""How long threads of a step wait for each other awake, as OpenMP itself says it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("wanted", "looks"),
    [({}, 30_000), ({"GOMP_SPINCOUNT": "12345"}, 12_345), ({"OMP_WAIT_POLICY": "passive"}, 0)],
)
def test_they_wait_briefly_unless_told_otherwise(wanted, looks):
    inherited = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", "import otlabel_torch, torch"],
        env={**inherited, "OMP_DISPLAY_ENV": "verbose", **wanted},
        capture_output=True,
        text=True,
        check=True,
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this torch has threads of another OpenMP than GNU's")
    assert f"GOMP_SPINCOUNT = '{looks}'" in done.stderr
