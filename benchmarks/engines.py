"""Dense sweeps against lists: what each takes, and which one otlabel would choose. python benchmarks/engines.py

Both are forced on the same scores, with rounding="argmax"; medians of three in a row, after one that is not counted: in
turns, BLAS's threads that wait for more of Newton's work would be in the way of the next. Mixtures of 20 million scores
unless --size says otherwise, and scores of your own with --logits. The table in docs/performance.md
comes from here, and the costs in otlabel's Tuning (climb_steps to step_cost) were chosen to fit it.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))  # nothing needs to be installed

import otlabel
from otlabel._solver.tuning import DEFAULT, Tuning, tuned
from otlabel.bench import machine
from otlabel.bench.problems import REGIMES, mixture, read

LABELS = (64, 160, 512, 1000, 3000)
WAYS = {
    "dense": dataclasses.replace(DEFAULT, entry_cost=np.inf),
    "lists": dataclasses.replace(DEFAULT, survey_cost=0.0, entry_cost=0.0, step_cost=0.0),
}


def problems(size: int, logits: list[Path]) -> Iterator[tuple[str, np.ndarray]]:
    for path in logits:
        yield path.stem, read(path)
    for k in LABELS:
        for regime in REGIMES:
            yield f"{regime} {size // k:,} x {k:,}", mixture(size // k, k, regime)


def solved(scores: np.ndarray, tol: float, tuning: Tuning) -> tuple[float, otlabel.Assignment]:
    """Seconds, and the result."""
    with tuned(tuning):
        start = time.perf_counter()
        result = otlabel.assign(scores, tol=tol, rounding="argmax")
    return time.perf_counter() - start, result


def listed(scores: np.ndarray, g: np.ndarray) -> float:
    """The share of the entries that a list near the solution would have."""
    x = scores[DEFAULT.sample_of(len(scores))].astype(np.float64) * 25 + g
    depth = x.max(axis=1, keepdims=True) - x
    return float((depth <= DEFAULT.depth_of(depth, scores.size)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20_000_000, help="n*k of the mixtures")
    parser.add_argument("--logits", type=Path, nargs="*", default=[])
    parser.add_argument("--tol", type=float, nargs="*", default=[1e-2, 1e-4, 1e-6])
    arguments = parser.parse_args()
    print(f"{machine.cpu()}, {machine.threads()} cores")
    print("| scores | tol | listed | dense, ms | sweeps | lists, ms | sweeps | dense / lists | chosen |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---|")
    for name, scores in problems(arguments.size, arguments.logits):
        for tol in arguments.tol:
            runs = {way: [solved(scores, tol, tuning) for _ in range(4)] for way, tuning in WAYS.items()}
            seconds = {way: statistics.median(time for time, _ in found[1:]) for way, found in runs.items()}
            sweeps = {way: found[-1][1].n_sweeps for way, found in runs.items()}
            _, result = solved(scores, tol, DEFAULT)
            cells = (f"{1e3 * seconds[way]:.1f} | {sweeps[way]:.1f}" for way in WAYS)
            ratio = seconds["dense"] / seconds["lists"]
            share = listed(scores, result.potentials)
            print(
                f"| {name} | {tol:g} | {share:.2%} | {' | '.join(cells)} | {ratio:.2f} | {result.engine} |", flush=True
            )


if __name__ == "__main__":
    main()
