"""The estimate of what a solve needs is near what it takes, and is held against what is free."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import otlabel
from otlabel import _memory
from otlabel._input.sources import InMemory
from otlabel._rounding import near_tie_paths
from otlabel._system import machine
from otlabel.backends import numba

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


@pytest.mark.parametrize(
    "look", [lambda kernels, g: kernels.survey(g, 500.0, False), lambda kernels, g: kernels.shortlist(g, 500.0)]
)
def test_lists_that_grow_beyond_the_estimate_are_an_error_too(look, rng, monkeypatch):
    """What is near the best depends on the potentials: a solve may come to list what its start did not."""
    scores = rng.normal(size=(300, 100)).astype(np.float32)
    kernels = numba.Kernels(InMemory(scores), 1.0, np.full(300, 1 / 300), float(np.abs(scores).max()))
    kernels.sizes = numba.Sizes(list_room=5000)  # several lists for all
    look(kernels, np.zeros(100))
    monkeypatch.setattr(machine, "free_memory", lambda: 1e6)
    with pytest.raises(MemoryError, match=r"listing what is near the best needs about .* 1 MiB are free.*predict"):
        look(kernels, np.zeros(100))


def test_near_ties_beyond_what_is_free_are_an_error(rng, monkeypatch):
    monkeypatch.setattr(_memory, "check", lambda *arguments: None)
    monkeypatch.setattr(near_tie_paths, "_UNASKED", 0)
    monkeypatch.setattr(machine, "free_memory", lambda: 1e6)
    with pytest.raises(MemoryError, match="moving items to labels that are as good needs about"):
        otlabel.assign(rng.normal(size=(600, 100)))


def test_what_the_heap_holds_back_is_asked_for(monkeypatch):
    asked = iter([1e6, 1e9])
    monkeypatch.setattr(machine, "free_memory", lambda: next(asked))
    machine.require(1e8, "this")
    with pytest.raises(StopIteration):
        next(asked)
