"""What each number of otlabel's Tuning is worth: sweeps with half and with double of it. python benchmarks/tuning.py

Each is changed by itself, the others stay; problems are the mixtures of otlabel-bench with other seeds than its own,
and scores of your own with --logits. Sweeps are the same on every machine, seconds are not: they are shown for what
sweeps do not count (Newton's algebra, rounding), as ratios of processor time in this one run. Minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))  # nothing needs to be installed

import otlabel
from otlabel._solver.outcome import ConvergenceWarning
from otlabel._solver.tuning import DEFAULT, Tuning, tuned
from otlabel.bench.machine import cpu
from otlabel.bench.problems import REGIMES, mixture, read

N, K, SEEDS = 5120, 160, range(1, 7)
TOLERANCES = (1e-4, 1e-7)


def problems(logits: list[Path]) -> list[np.ndarray]:
    made = [mixture(N, K, regime, seed) for regime, seed in itertools.product(REGIMES, SEEDS)]
    return made + [read(path) for path in logits]


def variants() -> Iterator[tuple[str, str, Tuning]]:
    """Half and double of every number."""
    for field in dataclasses.fields(Tuning):
        value = getattr(DEFAULT, field.name)
        for name, other in (("half", value / 2), ("double", value * 2)):
            whole = max(1, round(other)) if isinstance(value, int) else other
            yield field.name, name, dataclasses.replace(DEFAULT, **{field.name: whole})


def measure(tuning: Tuning, scores: list[np.ndarray]) -> tuple[float, float]:
    """The geometric mean of the sweeps, and the seconds of processor time of all solves with their rounding."""
    start, logs = time.process_time(), []
    with tuned(tuning):
        for matrix, tol in itertools.product(scores, TOLERANCES):
            logs.append(math.log(float(otlabel.assign(matrix, tol=tol).n_sweeps)))
    return math.exp(float(np.mean(logs))), time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logits", type=Path, nargs="*", default=[], help="files of scores, as of otlabel-bench")
    parser.add_argument("--only", nargs="*", help="names of numbers; default: all")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    scores = problems(arguments.logits)
    measure(DEFAULT, scores)  # compiles
    sweeps, seconds = measure(DEFAULT, scores)
    chosen = [row for row in variants() if not arguments.only or row[0] in arguments.only]
    rows = []
    for name, how, tuning in tqdm(chosen, unit="variant", disable=None):
        other, taken = measure(tuning, scores)
        rows.append({"number": name, "changed": how, "sweeps": other / sweeps, "seconds": taken / seconds})
    print(f"{cpu()}; {len(scores)} problems, {sweeps:.2f} sweeps, {seconds:.1f} s of processor time as it is")
    print(f"{'number':>20} {'sweeps':>15} {'seconds':>15}   with half, with double, as a multiple")
    for half, double in zip(rows[::2], rows[1::2], strict=True):
        print(
            f"{half['number']:>20} {half['sweeps']:7.3f} {double['sweeps']:7.3f} "
            f"{half['seconds']:7.2f} {double['seconds']:7.2f}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"processor": cpu(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
