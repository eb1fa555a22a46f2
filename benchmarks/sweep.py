"""How fast one full sweep is, against one read of the same matrix as float32. python benchmarks/sweep.py

Of both engines: a dense sweep in float32, in float64, one that counts for a quantile step, and a survey that also lists
what matters. All use every core; medians of 7 runs, in one process. The potentials are solved ones.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

import otlabel
from otlabel import backends
from otlabel._input.sources import InMemory
from otlabel.bench import machine
from otlabel.bench.problems import REGIMES, mixture

EPSILON, WIDTH = 1 / 25, 16.0


def median_seconds(work, repeats: int = 7) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--k", type=int, default=3000)
    arguments = parser.parse_args()
    n, k = arguments.n, arguments.k
    print(f"{n:,} x {k:,}, {machine.threads()} cores")
    print("| regime | storage | read of float32, ms | dense | float64 | quantile step | survey with lists |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for regime in REGIMES:
        half = mixture(n, k, regime, dtype=np.float16)
        single = half.astype(np.float32)
        g = otlabel.assign(half[: n // 5], epsilon=EPSILON, rounding="argmax", tol=1e-3).potentials
        read = machine.read_seconds(single)
        for scores in (half, single):
            kernels = backends.load("numba").Kernels(
                InMemory(scores), 1 / EPSILON, np.full(n, 1 / n), float(np.abs(single).max())
            )
            dense = kernels.dense()
            looks = (
                lambda dense=dense, g=g: dense.sweep(g),
                lambda dense=dense, g=g: dense.precise(g),
                lambda dense=dense, g=g: dense.count(g, 10.0),
                lambda kernels=kernels, g=g: kernels.survey(g, WIDTH, True),
            )
            ratios = " | ".join(f"{median_seconds(look) / read:.2f}" for look in looks)
            print(f"| {regime} | {scores.dtype} | {1e3 * read:.0f} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
