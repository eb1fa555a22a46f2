"""The solver by regime: textbook loop, otlabel's sinkhorn and lbfgs. Run: make bench

Every row says how many sweeps it took, the error it reached (recomputed in float64 from its potentials) and the ratio
to one read of the matrix in the same process. Threads are equal for all: NumPy's BLAS and otlabel use every core.
"""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from mixtures import mixture
from textbook import potentials

import otlabel
from otlabel import backends

LOGITS = os.environ.get("OTLABEL_BENCH_LOGITS")  # a folder with logits_*.npz, array `logits`: real scores to add
EPSILON = 1 / 25
MADE = {f"mixture {regime} 20,000 x 512": (20_000, 512, regime) for regime in ("first", "broad", "peaked")}
REAL = {path.stem: path for path in sorted(Path(LOGITS).glob("logits_*.npz"))} if LOGITS else {}
CASES = [*MADE, *REAL]


@pytest.fixture(scope="module", params=CASES)
def scores(request):
    if request.param in MADE:
        return mixture(*MADE[request.param])
    with np.load(REAL[request.param], allow_pickle=False) as file:
        return file["logits"].astype(np.float32)


def read_seconds(scores: np.ndarray) -> float:
    """The best of 5 sums over the matrix by every core: what one read costs."""
    from concurrent.futures import ThreadPoolExecutor

    parts = np.array_split(scores.reshape(-1), os.cpu_count() or 1)
    best = np.inf
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(np.sum, parts))
            best = min(best, time.perf_counter() - start)
    return best


def describe(benchmark, scores: np.ndarray, g: np.ndarray, sweeps: float) -> None:
    n, k = scores.shape
    kernels = backends.load("numpy").Kernels(scores, 1 / EPSILON, np.full(n, 1 / n), float(np.abs(scores).max()))
    c = kernels.survey(g, 0.0, True).swept.c
    benchmark.extra_info |= {
        "n": n,
        "k": k,
        "sweeps": round(float(sweeps), 1),
        "error": float(np.abs(c - 1 / k).sum()),
        "read_seconds": read_seconds(scores),
        "gigabytes": scores.nbytes / 1e9,
        "otlabel": otlabel.__version__,
        "numpy": np.__version__,
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
    g, iterations = benchmark.pedantic(potentials, args=(scores, EPSILON), kwargs=dict(max_iterations=3000), rounds=1)
    describe(benchmark, scores, g, 2 * iterations)  # two matrix-vector products an iteration
