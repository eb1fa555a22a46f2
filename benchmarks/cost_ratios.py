"""The two ratios of speeds in otlabel's Tuning, measured on this machine. python benchmarks/cost_ratios.py

pairs_an_entry: pairs of listed entries that a Hessian adds up in the time of evaluating one entry of a list.
cubes_an_entry: k**3 of a Cholesky factor that take as long. They say when a Newton step is worth its cost, no more: a
solve takes nearly as long with half or double of them (benchmarks/tuning.py).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.linalg import cho_factor

sys.path.insert(0, str(Path(__file__).parent.parent))  # nothing needs to be installed

import otlabel
from otlabel import backends
from otlabel._input.sources import InMemory
from otlabel._solver.tuning import DEFAULT
from otlabel.bench import machine
from otlabel.bench.problems import mixture

EPSILON = 1 / 25


def seconds(work: Callable[[], object]) -> float:
    """The median of 9 runs, after one that is not counted."""
    work()
    times = []
    for _ in range(9):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def ratios(n: int, k: int, regime: str) -> tuple[float, float, float]:
    """Entries a row of the lists near the solution of a mixture, and the two ratios there."""
    scores = mixture(n, k, regime)
    g = otlabel.assign(scores, rounding="argmax").potentials
    largest = float(np.abs(scores).max())
    kernels = backends.load("numba").Kernels(InMemory(scores), 1 / EPSILON, np.full(n, 1 / n), largest)
    lists = kernels.survey(g, DEFAULT.narrowest, True)
    entries = lists.density * n * k
    entry = seconds(lambda: lists.sweep(g)) / entries
    pair = seconds(lambda: lists.hessian(g)) / (entries * lists.pairs)
    square = np.eye(k) + np.full((k, k), 0.1)
    cube = seconds(lambda: cho_factor(square, lower=True)) / k**3
    return entries / n, entry / pair, entry / cube


def main() -> None:
    print(f"{machine.cpu()}, {machine.threads()} threads")
    print(f"{'problem':>26} {'entries a row':>13} {'pairs_an_entry':>15} {'cubes_an_entry':>15}")
    for n, k, regime in ((100_000, 512, "peaked"), (100_000, 1000, "peaked"), (50_000, 2000, "broad")):
        entries, pairs, cubes = ratios(n, k, regime)
        print(f"{f'{regime} {n} x {k}':>26} {entries:13.1f} {pairs:15.1f} {cubes:15.1f}")
    print(f"{'in Tuning':>26} {'':13} {DEFAULT.pairs_an_entry:15.1f} {DEFAULT.cubes_an_entry:15.1f}")


if __name__ == "__main__":
    main()
