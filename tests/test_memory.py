"""The estimate of what a solve needs is near what it takes, and is held against what is free."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import otlabel
from otlabel import _memory
from otlabel._system import machine

MEASURE = """
import json, sys
import numpy as np, otlabel
from otlabel import _memory, backends
from otlabel._solver.tuning import DEFAULT
from otlabel._input.sources import InMemory

n, k, sharpness = 150_000, 400, float(sys.argv[1])
rng = np.random.default_rng(0)
otlabel.assign(rng.normal(size=(1000, k)).astype(np.float32), epsilon=1.0)
scores = rng.normal(size=(n, k)).astype(np.float32) * np.float32(sharpness)
kernels = backends.load("numba").Kernels(InMemory(scores), 1.0, np.full(n, 1 / n), float(np.abs(scores).max()))
def peak():  # of this program alone: what getrusage says begins with the parent's
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = peak()
estimate = _memory.estimate(kernels, (n, k), np.zeros(k), 1e-4, DEFAULT)
otlabel.assign(scores, epsilon=1.0)
grown = 1024 * (peak() - before)
print(json.dumps([estimate, grown]))
"""


@pytest.mark.parametrize("sharpness", [1.0, 20.0])
def test_the_estimate_is_near_what_a_solve_takes(sharpness):
    run = subprocess.run([sys.executable, "-c", MEASURE, str(sharpness)], capture_output=True, text=True, check=True)
    estimate, grown = json.loads(run.stdout)
    assert grown < 1.5 * estimate
    assert estimate < 12 * max(grown, 2**26)  # no one is turned away who would have had room


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_too_little_memory_is_an_error_before_the_first_sweep(backend, rng, monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 1e6)
    steps = []
    message = r"300 items with 500 labels needs about .* MiB .* 1 MiB are free.*predict, choose a smaller"
    with pytest.raises(MemoryError, match=message):
        otlabel.assign(rng.normal(size=(300, 500)), backend=backend, callback=steps.append)
    assert not steps


def test_ties_of_all_labels_are_counted(monkeypatch):
    """A collapsed network: dense sweeps need nothing, but rounding lists every label of every row."""
    scores = np.zeros((3000, 2000), dtype=np.float32)
    monkeypatch.setattr(machine, "free_memory", lambda: 3000 * 2000 * 30)
    with pytest.raises(MemoryError, match="3,000 items with 2,000 labels"):
        otlabel.assign(scores)
    monkeypatch.setattr(machine, "free_memory", lambda: 3000 * 2000 * 60)
    assert otlabel.assign(scores).gap == pytest.approx(0, abs=1e-9)


def test_no_rows_are_looked_at_where_all_entries_would_fit(rng, monkeypatch):
    monkeypatch.setattr(_memory, "estimate", lambda *arguments: pytest.fail("rows were looked at"))
    monkeypatch.setattr(machine, "free_memory", lambda: 2.0**30)
    otlabel.assign(rng.normal(size=(5000, 500)), tol=0.1, rounding="argmax")
