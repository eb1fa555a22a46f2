"""The solver by regime: textbook loop, otlabel's sinkhorn and lbfgs. Run: make bench

Every row says how many sweeps it took, the error it reached (recomputed in float64 from its potentials) and the ratio
to one read of the matrix in the same process. Threads are equal for all: NumPy's BLAS and otlabel use every core.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

import otlabel
from otlabel.bench import machine, textbook
from otlabel.bench.judge import judge
from otlabel.bench.problems import mixture, read

LOGITS = os.environ.get("OTLABEL_BENCH_LOGITS")  # a folder with logits_*.npz, array `logits`: real scores to add
EPSILON = 1 / 25
SMOKE = "mixture broad 500 x 20"  # for the tests, so that nothing here goes stale
MADE = {f"mixture {regime} 20,000 x 512": (20_000, 512, regime) for regime in ("first", "broad", "peaked")}
REAL = {path.stem: path for path in sorted(Path(LOGITS).glob("logits_*.npz"))} if LOGITS else {}
CASES = [pytest.param(SMOKE, marks=pytest.mark.smoke), *MADE, *REAL]


@pytest.fixture(scope="module", params=CASES)
def scores(request):
    if request.param == SMOKE:
        return mixture(500, 20, "broad")
    if request.param in MADE:
        return mixture(*MADE[request.param])
    return read(REAL[request.param]).astype(np.float32)


def describe(benchmark, scores: np.ndarray, g: np.ndarray, sweeps: float) -> None:
    benchmark.extra_info |= {
        "n": scores.shape[0],
        "k": scores.shape[1],
        "sweeps": round(float(sweeps), 1),
        "error": judge(scores, EPSILON, g, None).error,
        "read_seconds": machine.read_seconds(scores),
        "gigabytes": scores.nbytes / 1e9,
        "versions": machine.versions(),
        "commit": machine.commit(),
    }


@pytest.mark.parametrize(("method", "tol"), [("lbfgs", 1e-4), ("lbfgs", 1e-6), ("lbfgs", 1e-8), ("sinkhorn", 1e-4)])
def test_otlabel(benchmark, scores, method, tol):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
        result = benchmark.pedantic(
            otlabel.assign,
            args=(scores,),
            kwargs=dict(epsilon=EPSILON, method=method, tol=tol, rounding="argmax", max_sweeps=300),
            rounds=3 if method == "lbfgs" else 1,
            warmup_rounds=1,
        )
    describe(benchmark, scores, result.potentials, result.n_sweeps)


def test_balanced_rounding(benchmark, scores):
    """The whole of assign, exactly balanced labels included."""
    result = benchmark.pedantic(otlabel.assign, args=(scores,), kwargs=dict(epsilon=EPSILON), rounds=3, warmup_rounds=1)
    describe(benchmark, scores, result.potentials, result.n_sweeps)
    assert np.ptp(result.sizes) <= 1


def test_textbook(benchmark, scores):
    g, iterations = benchmark.pedantic(
        textbook.potentials, args=(scores, EPSILON), kwargs=dict(max_iterations=3000), rounds=1
    )
    describe(benchmark, scores, g, 2 * iterations)  # two matrix-vector products an iteration
