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


def main() -> None:
    print(f"{machine.cpu()}, {machine.threads()} threads")
    print(f"{'problem':>26} {'entries a row':>13} {'pairs_an_entry':>15} {'cubes_an_entry':>15}")
    for n, k, regime in ((100_000, 512, "peaked"), (100_000, 1000, "peaked"), (50_000, 2000, "broad")):
        scores = mixture(n, k, regime)
        g = otlabel.assign(scores, rounding="argmax").potentials
        kernels = backends.load("numba").Kernels(
            InMemory(scores), 1 / EPSILON, np.full(n, 1 / n), float(np.abs(scores).max())
        )
        lists = kernels.survey(g, DEFAULT.narrowest, True)
        entries = lists.density * n * k
        entry = seconds(lambda lists=lists, g=g: lists.sweep(g)) / entries
        pair = seconds(lambda lists=lists, g=g: lists.hessian(g)) / (entries * lists.pairs)
        square = np.eye(k) + np.full((k, k), 0.1)
        cube = seconds(lambda square=square: cho_factor(square, lower=True)) / k**3
        print(f"{f'{regime} {n} x {k}':>26} {entries / n:13.1f} {entry / pair:15.1f} {entry / cube:15.1f}")
    print(f"{'in Tuning':>26} {'':13} {DEFAULT.pairs_an_entry:15.1f} {DEFAULT.cubes_an_entry:15.1f}")


if __name__ == "__main__":
    main()
