"""Random small problems against the oracle, by the thousand: python tests/fuzz.py --problems 10000

Too slow for every test run. Each problem draws its shape, scale, ties, shares, storage, temperature, tolerance, start,
backend, engine and the solver's own limits; labels are compared with SciPy's exact assignment, errors with extended
precision.
"""

from __future__ import annotations

import argparse
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
from tqdm import trange

sys.path.insert(0, str(Path(__file__).parent))

import oracle

import otlabel
from otlabel._solver.tuning import Tuning, tuned
from otlabel.backends import Backend, numba, register

PARTS = "numba in small parts"
ENGINES = {
    "the cheaper one": {},
    "dense": {"entry_cost": np.inf},
    "dense through Python": {"entry_cost": np.inf, "compiled": 1},
    "lists": {"survey_cost": 0.0, "entry_cost": 0.0, "step_cost": 0.0},
}


class InSmallParts:
    """The numba backend with parts of a few rows, as large problems have them."""

    class Kernels(numba.Kernels):
        sizes = numba.Sizes(part=50, dense_part=50, labelled_part=50, converted=200)


register(Backend(PARTS, InSmallParts, requires="numba"))


def random_scores(rng: np.random.Generator) -> np.ndarray:
    n, k = int(rng.integers(1, 60)), int(rng.integers(1, 20))
    if rng.random() < 0.03:
        n, k = int(rng.integers(500, 1500)), int(rng.integers(2, 80))  # duplicates by the hundred
    scores = rng.normal(size=(n, k))
    match rng.integers(9):
        case 1:
            scores = np.round(scores)  # ties
        case 2:
            scores = np.repeat(scores[: max(1, n // 5)], 5, axis=0)[:n]  # duplicated rows
        case 3:
            scores[:, 0] -= 50  # a label nobody wants
        case 4:
            scores[:] = scores[0]  # all items alike
        case 5:
            scores = np.exp(2 * scores)
        case 6:
            scores = scores[0] + 10.0 ** rng.uniform(-14, -6) * scores  # nearly so
        case 7:
            scores[rng.random(n) < 0.6] = scores[0] * rng.integers(2)  # many rows alike, or blank
        case 8:
            scores = rng.integers(0, 3, size=(n, k)) * 1.0
    scores *= 10.0 ** rng.uniform(-6, 7)
    dtype = rng.choice([np.float64, np.float32, np.float16])
    return np.clip(scores, -6e4, 6e4).astype(dtype) if dtype == np.float16 else scores.astype(dtype)


def wanted(c: np.ndarray, g: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """What columns c should be at g, if they may lie between two shares."""
    if lower.sum() >= 1 - 1e-12 or upper.sum() <= 1 + 1e-12:  # no choice
        return lower if lower.sum() >= 1 - 1e-12 else upper
    return np.where(g > 0, lower, np.where(g < 0, upper, np.clip(c, lower, upper)))


def check(rng: np.random.Generator) -> bool:
    """Solve one problem and compare; returns whether it converged."""
    scores = random_scores(rng)
    n, k = scores.shape
    b = np.full(k, 1 / k) if rng.random() < 0.5 else rng.dirichlet(np.full(k, rng.choice([0.05, 1.0])))
    epsilon, tol = float(10.0 ** rng.uniform(-3, 1)), float(10.0 ** rng.uniform(-9, -3))
    # Lists of a few entries, as large problems have them.
    small = int(rng.choice([0, 1 << 18]))
    whole_matrix, few = (int(rng.choice([0, 1 << 22])) for _ in range(2))
    engine = ENGINES[str(rng.choice(list(ENGINES)))]
    paths = {
        "ties": int(rng.integers(1, 9)),
        "near_tie": float(10.0 ** rng.uniform(-3, 1)),
        "surplus": float(rng.choice([0.01, 1.0])),
        "largest_square": int(rng.choice([4, 4096])),
        "looked_at": int(rng.choice([1, 40])),
        "sampled_items": int(rng.choice([1, 10])),
    }
    tuning = Tuning(small=small, listed=3, listed_again=2, whole_matrix=whole_matrix, few_items=few, **paths, **engine)
    backend = str(rng.choice(["numba", PARTS, "numpy"]))
    init = rng.normal(size=k) * 10.0 ** rng.uniform(-1, 3) if rng.random() < 0.2 else None
    lower, upper = oracle.size_limits(n, b)
    has_bounds = n * k <= 2000 and rng.random() < 0.3
    if has_bounds:
        lower, upper = np.maximum(lower - rng.integers(0, n + 1, k), 0), upper + rng.integers(0, n + 1, k)
    sizes = {"size_min": lower, "size_max": upper} if has_bounds else {"b": b}
    max_sweeps = 1000 if rng.random() < 0.8 else int(rng.integers(1, 61))
    with tuned(tuning):
        result = otlabel.assign(
            scores, epsilon=epsilon, tol=tol, backend=backend, init=init, max_sweeps=max_sweeps, **sizes
        )
    assert result.n_sweeps < max_sweeps + 1, f"{result.n_sweeps} sweeps of {max_sweeps}"  # one more for underflow
    assert (lower <= result.sizes).all() and (result.sizes <= upper).all(), f"sizes {result.sizes}"  # noqa: PT018
    wide = scores.astype(np.float64)
    best = oracle.best_score_between(wide, lower, upper) if has_bounds else oracle.best_balanced_score(scores, b)
    found = wide[np.arange(n), result.labels].sum()
    assert abs(best - found) <= 1e-9 * np.abs(wide).sum() + 1e-12, f"score {found}, best {best}"
    size = 1 + np.abs(wide).max() / epsilon + np.abs(result.potentials[np.isfinite(result.potentials)]).max()
    assert abs(result.gap) <= 1e-11 * size, f"gap {result.gap}"
    c = np.asarray(oracle.plan(scores, epsilon, result.potentials, np.full(n, 1 / n)).sum(axis=0), dtype=np.float64)
    truth = float(
        np.abs(c - (wanted(c, result.potentials, lower / n, np.minimum(upper, n) / n) if has_bounds else b)).sum()
    )
    finite = result.potentials[np.isfinite(result.potentials)]
    rounding = 1e-15 * n * (np.abs(wide).max() / epsilon + np.abs(finite).max())
    assert abs(truth - result.error) <= max(0.01 * truth, 1e-9, rounding), f"error {result.error}, truth {truth}"
    return result.converged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    wrong = converged = 0
    for index in trange(arguments.problems, unit="problem", disable=None):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
            try:
                converged += check(np.random.default_rng([arguments.seed, index]))
            except Exception:
                wrong += 1
                print(f"problem {index} of seed {arguments.seed}", file=sys.stderr)
                traceback.print_exc()
    print(f"{arguments.problems} problems, {wrong} wrong, {converged} converged")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
