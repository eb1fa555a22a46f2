"""From potentials to labels: exactly balanced, at the best total score, with a certificate.

For given sizes, rounding the plan is the unregularised transport problem (docs/algorithm.md section 4). It is solved
from the entropic potentials by successive shortest paths on the graph of the k labels: each path moves one item out of
a label that has too many, along near-ties, into one that has too few.
"""

from __future__ import annotations

import math

import numpy as np

from .._input.problem import are_equal
from .._solver.marginal import Marginal
from .._solver.outcome import Status
from .._solver.outline import solve
from .._solver.tuning import DEFAULT, Tuning
from ..backends import Kernels, Shortlist
from .capacities import Bounds, Capacities


def round_plan(
    kernels: Kernels,
    g: np.ndarray,
    marginal: Marginal,
    bounds: Bounds,
    weights: np.ndarray,
    rounding: str,
    tuning: Tuning = DEFAULT,
) -> tuple[np.ndarray, float]:
    """Labels from solved potentials.

    Args:
        kernels: of the scores, n x k.
        g: (k,) potentials, -inf for labels not in use.
        marginal: of the labels.
        bounds: on their items.
        weights: (n,) of the rows, in any unit; those of weight 0 fill no capacity, and get their argmax. Where others
            differ, labels have sums of weights near their shares, and bounds do not count.
        rounding: "balanced" or "argmax".

    Returns:
        labels (n,) int64, and the gap to the optimum in nats an item (nan for "argmax").
    """
    if rounding == "argmax":
        return kernels.labels(g), float("nan")
    if not are_equal(weights):
        return _balance_weights(kernels, g, marginal, weights, tuning)
    return _balance(kernels, g, marginal, bounds, weights > 0, tuning)


def _balance_weights(
    kernels: Kernels, g: np.ndarray, marginal: Marginal, weights: np.ndarray, tuning: Tuning
) -> tuple[np.ndarray, float]:
    from . import weighted

    mass = weights * ((weights > 0).sum() / weights.sum())
    labels, n, sharpness, tied = kernels.labels(g), len(mass), 1.0, False
    surplus, crowd = _surplus(labels, marginal, mass), max(tuning.surplus * mass.sum(), len(g))
    if surplus > crowd:
        kernels, g, sharpness, _, tied = _sharpen(kernels, g, marginal, mass, labels, crowd, tuning)
    width = _first_width(kernels, g, n, tied, tuning)
    labels, gap = weighted.balance(kernels, g, marginal.target, weights / weights.sum(), width, tuning)
    return labels, gap / sharpness


def _balance(
    kernels: Kernels, g: np.ndarray, marginal: Marginal, bounds: Bounds, counted: np.ndarray, tuning: Tuning
) -> tuple[np.ndarray, float]:
    from .near_tie_paths import move_along_near_ties  # numba's import is paid by those who round
    from .tight import best_of, choose
    from .whole_matrix_paths import move_over_whole_matrix

    n, k = len(counted), len(g)
    crowd = max(tuning.surplus * counted.sum(), k)
    ties, short = tuning.ties, None
    width = _first_width(kernels, g, n, False, tuning)
    if width == np.inf:
        argmax = kernels.labels(g)
    else:  # one look tells the labels and their near ties, which may be all that is needed
        short = kernels.shortlist(g, width)
        argmax = best_of(short, g)
    surplus, sharpness, tied, g = _surplus(argmax, marginal, 1.0 * counted), 1.0, False, g.copy()
    if surplus > crowd:
        short = None
        kernels, g, sharpness, surplus, tied = _sharpen(kernels, g, marginal, 1.0 * counted, argmax, crowd, tuning)
        width = _first_width(kernels, g, n, tied, tuning)
    limits = Capacities.at(g, bounds, np.bincount(argmax[counted], minlength=k))
    # Where single rows cost as much as many, another list for all is the cheaper one.
    few = 0 if getattr(getattr(kernels, "source", None), "in_blocks", False) else tuning.few_items
    labels = np.full(n, -1)
    for _ in range(tuning.rounds):
        if short is None:
            short = kernels.shortlist(g, width)
        # Rounding error is that of the numbers added up, g and scores, however small their sum.
        slack = tuning.noise * (1 + np.abs(short.value).max() + np.abs(g[np.isfinite(g)]).max())
        choose(short, g, labels, counted, limits.target, slack)
        sizes = np.bincount(labels[counted], minlength=k)
        if np.array_equal(sizes, limits.target):
            break
        before = np.maximum(sizes - limits.target, 0).sum()
        left = move_along_near_ties(
            labels, counted, short, g, limits, width, slack, surplus > crowd, tuning.largest_square
        )
        short = None
        routed = left == 0 or width < np.inf
        if left > before / 2 and width < np.inf:  # another list like this one is not enough
            if left <= few:
                routed = move_over_whole_matrix(kernels, labels, counted, g, limits)
            else:
                ties *= tuning.more_ties
                wanted = _width(kernels, g, n, ties, tuning)
                wider = 4 * width if wanted <= width else min(4 * width, wanted)
                width = wider if width < tuning.widest_tie else np.inf
        if not routed:
            raise ValueError(
                "the sizes asked for cannot be met: too many items are allowed too few labels by the -inf in logits. "
                "Allow more, ask for other sizes, or use rounding='argmax'."
            )
    else:
        raise RuntimeError("balanced rounding did not settle; please report these scores as a bug")
    gap = _gap(short, labels, counted, limits, g) / sharpness
    labels[~counted] = argmax[~counted]
    return labels, gap


def _sharpen(
    kernels: Kernels,
    g: np.ndarray,
    marginal: Marginal,
    mass: np.ndarray,
    labels: np.ndarray,
    crowd: float,
    tuning: Tuning,
) -> tuple[Kernels, np.ndarray, float, float, bool]:
    """Potentials that leave little to move, at a lower temperature if need be.

    The optimal labels do not depend on epsilon. Where scores say little, the argmax of a warm plan is far from balanced
    and sweeps at a temperature at which rows differ shift the surplus faster than shortest paths do.

    Args:
        mass: (n,) of the rows, 1 on average over those that count.
        labels: (n,) the best at g.
        crowd: items in surplus that paths can well move: there are more.

    Returns:
        kernels and g (k,) at epsilon/sharpness, the sharpness, the surplus that is left, and whether
        nothing tells apart the rows that make it.
    """
    n, sharpness = len(mass), 1.0
    surplus = _surplus(labels, marginal, mass)
    first = factor = _sharpness_wanted(kernels, g, labels, mass, marginal, tuning)
    idle = 0
    for _ in range(tuning.most_colder if np.isfinite(first) else 0):
        colder = kernels.rescaled(factor)
        solution = solve(
            colder,
            (n, len(g)),
            marginal,
            init=_potentials_at(kernels, g, n, factor, tuning),
            tol=tuning.colder_goal * surplus / mass.sum(),
            max_sweeps=tuning.colder_sweeps,
            method="lbfgs",
            tuning=tuning,
        )
        left = _surplus(colder.labels(solution.g), marginal, mass)
        # A nearly flat plan may take two. Else there are ties, or it is the end of what sweeps can do.
        idle = idle + 1 if left > tuning.colder_worth * surplus else 0
        if idle and (solution.status is not Status.CONVERGED or idle > tuning.most_idle):
            break
        kernels, g, sharpness, surplus = colder, solution.g, factor * sharpness, left
        if surplus <= crowd:
            break
        factor = 2.0**tuning.halvings
    return kernels, g.copy(), sharpness, surplus, not np.isfinite(first)


def _sharpness_wanted(
    kernels: Kernels, g: np.ndarray, labels: np.ndarray, mass: np.ndarray, marginal: Marginal, tuning: Tuning
) -> float:
    """What the temperature is to be divided by for rows to differ by a nat; infinite if nothing tells them apart.

    As some rows of the label with the largest surplus have it: it is they that have to be told apart. Rows of few kinds
    are moved kind by kind, without. (Rows that are the same come out of a matrix product in a few kinds.)
    """
    sizes = np.bincount(labels, weights=mass, minlength=len(g))
    u = int(np.argmax(np.where(sizes > 0, sizes - mass.sum() * marginal.upper, -np.inf)))
    items = np.flatnonzero((mass > 0) & (labels == u))
    some = items[:: -(-len(items) // tuning.told_apart)]
    scores = kernels.rows(some)
    others = np.isfinite(scores).all(axis=0) & np.isfinite(g)
    others[u] = False
    if not others.any() or not np.isfinite(scores[:, u]).all():
        return 2.0**tuning.halvings
    regrets = scores[:, [u]] - scores[:, others]
    spread = float(np.median(np.subtract(*np.percentile(regrets, [75, 25], axis=0))))
    if spread <= tuning.noise * (1 + np.abs(regrets).max()):
        return np.inf
    if len(np.unique(scores, axis=0)) <= tuning.few_kinds * len(some):
        return np.inf
    return 2.0 ** (tuning.halvings * max(1, round(math.log2(1 / spread) / tuning.halvings)))


def _some_rows(kernels: Kernels, n: int, tuning: Tuning) -> np.ndarray:
    """(r, k): S/epsilon of some of n rows, spread evenly."""
    return kernels.rows(np.arange(0, n, -(-n // tuning.told_apart)))


def _potentials_at(kernels: Kernels, g: np.ndarray, n: int, factor: float, tuning: Tuning) -> np.ndarray:
    """(k,) to begin with at epsilon/factor: those of now, times factor.

    So is what is wrong with them; where that is much, those with which labels are alike to some rows, on average.
    """
    if factor * tuning.coarsest_tol < 1:
        return factor * g
    mean = _some_rows(kernels, n, tuning).mean(axis=0)
    return np.where(np.isfinite(g) & np.isfinite(mean), -factor * mean, factor * g)


def _first_width(kernels: Kernels, g: np.ndarray, n: int, tied: bool, tuning: Tuning) -> float:
    """Nats, of the first list; infinite where that is the whole matrix. tied: nothing tells many rows apart."""
    if n * len(g) <= tuning.whole_matrix:
        return np.inf
    if tied:  # potentials have far to go
        return tuning.near_ties_of_many * tuning.near_tie
    return min(_width(kernels, g, n, tuning.ties, tuning), tuning.near_tie)


def _width(kernels: Kernels, g: np.ndarray, n: int, ties: int, tuning: Tuning) -> float:
    """Nats below the best within which some rows have about so many labels."""
    x = _some_rows(kernels, n, tuning) + g
    depth = x.max(axis=1, keepdims=True) - x
    return max(float(np.quantile(depth, min(1.0, ties / len(g)), method="lower")), tuning.nearest_tie)


def _surplus(labels: np.ndarray, marginal: Marginal, mass: np.ndarray) -> float:
    """Items above the shares of their labels, or below them, whichever is more."""
    sizes, n = np.bincount(labels, weights=mass, minlength=len(marginal.upper)), mass.sum()
    above, below = np.maximum(sizes - n * marginal.upper, 0).sum(), np.maximum(n * marginal.lower - sizes, 0).sum()
    return float(max(above, below))


def _gap(short: Shortlist, labels: np.ndarray, counted: np.ndarray, limits: Capacities, g: np.ndarray) -> float:
    """docs/algorithm.md eq. (6): the dual bound at g less the score of the labels, in nats an item."""
    from .tight import scores_of

    used = limits.upper > 0
    smallest = np.minimum(
        (g[used] - limits.hub) * limits.lower[used], (g[used] - limits.hub) * limits.upper[used]
    ).sum()
    n = int(counted.sum())
    bound = float((short.best - scores_of(short, labels))[counted].sum()) - smallest - n * limits.hub
    return bound / n
