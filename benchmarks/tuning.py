"""What each number of otlabel's Tuning is worth: sweeps with half and with double of it. python benchmarks/tuning.py

Each is changed by itself, the others stay; problems are the mixtures of otlabel-bench with other seeds than its own,
and scores of your own with --logits. Sweeps are the same on every machine. They do not count rounding, whose numbers
are left out here. About five minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))  # nothing needs to be installed

import otlabel
from otlabel._solver.outcome import ConvergenceWarning
from otlabel._solver.tuning import DEFAULT, Tuning, tuned
from otlabel.bench.problems import REGIMES, mixture, read

N, K, SEEDS = 5120, 160, range(1, 7)
TOLERANCES = (1e-4, 1e-7)


def problems(logits: list[Path]) -> list[np.ndarray]:
    made = [mixture(N, K, regime, seed) for regime, seed in itertools.product(REGIMES, SEEDS)]
    return made + [read(path) for path in logits]


def variants() -> Iterator[tuple[str, str, Tuning]]:
    """Half and double of every number that the solver is steered by."""
    names = [field.name for field in dataclasses.fields(Tuning)]
    for name in names[: names.index("whole_matrix")]:
        value = getattr(DEFAULT, name)
        for how, other in (("half", value / 2), ("double", value * 2)):
            whole = max(1, round(other)) if isinstance(value, int) else other
            yield name, how, dataclasses.replace(DEFAULT, **{name: whole})


def sweeps(tuning: Tuning, scores: list[np.ndarray]) -> float:
    """The geometric mean of the sweeps of all problems, by the engine that is chosen, and by lists."""
    found = []
    for engine in (tuning, dataclasses.replace(tuning, survey_cost=0.0, entry_cost=0.0, step_cost=0.0)):
        with tuned(engine):
            found += [
                otlabel.assign(matrix, tol=tol, rounding="argmax").n_sweeps
                for matrix, tol in itertools.product(scores, TOLERANCES)
            ]
    return math.exp(float(np.mean(np.log(found))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logits", type=Path, nargs="*", default=[], help="files of scores, as of otlabel-bench")
    parser.add_argument("--only", nargs="*", help="names of numbers; default: all")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    scores = problems(arguments.logits)
    now = sweeps(DEFAULT, scores)
    chosen = [row for row in variants() if not arguments.only or row[0] in arguments.only]
    rows = []
    for name, how, tuning in tqdm(chosen, unit="variant", disable=None):
        rows.append({"number": name, "changed": how, "sweeps": sweeps(tuning, scores) / now})
    print(f"{len(scores)} problems, {now:.2f} sweeps; as a multiple of that, with")
    print(f"{'':>20} {'half':>7} {'double':>7}")
    for half, double in zip(rows[::2], rows[1::2], strict=True):
        print(f"{half['number']:>20} {half['sweeps']:7.3f} {double['sweeps']:7.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
