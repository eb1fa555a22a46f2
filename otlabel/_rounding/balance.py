"""From potentials to labels: exactly balanced, at the best total score, with a certificate.

For given sizes, rounding the plan is the unregularised transport problem (docs/algorithm.md section 4). It is solved
from the entropic potentials by successive shortest paths on the graph of the k labels: each path moves one item out of
a label that has too many, along near-ties, into one that has too few.
"""

from __future__ import annotations

import numpy as np

from .._solver.marginal import Marginal
from .._solver.outcome import Status
from .._solver.outline import solve
from .._solver.tuning import DEFAULT, Tuning
from ..backends import Kernels, Shortlist
from .capacities import Capacities


def round_plan(
    kernels: Kernels,
    g: np.ndarray,
    marginal: Marginal,
    counted: np.ndarray,
    rounding: str,
    tuning: Tuning = DEFAULT,
) -> tuple[np.ndarray, float]:
    """Labels from solved potentials.

    Args:
        kernels: of the scores, n x k.
        g: (k,) potentials, -inf for labels not in use.
        marginal: of the labels.
        counted: (n,) bool, the rows that fill capacity; the others get their argmax.
        rounding: "balanced" or "argmax".

    Returns:
        labels (n,) int64, and the gap to the optimum in nats an item (nan for "argmax").
    """
    if rounding == "argmax":
        return kernels.labels(g), float("nan")
    return _balance(kernels, g, marginal, counted, tuning)


def _balance(
    kernels: Kernels, g: np.ndarray, marginal: Marginal, counted: np.ndarray, tuning: Tuning
) -> tuple[np.ndarray, float]:
    from .near_tie_paths import move_along_near_ties  # numba's import is paid by those who round
    from .whole_matrix_paths import move_over_whole_matrix

    n, k = len(counted), len(g)
    own_argmax = None if counted.all() else kernels.labels(g)
    kernels, g, sharpness = _sharpen(kernels, g, marginal, counted, tuning)
    limits = Capacities.at(g, marginal, int(counted.sum()))
    width = np.inf if n * k <= tuning.whole_matrix else tuning.near_tie
    labels = np.empty(0, dtype=np.int64)
    for _ in range(tuning.rounds):
        short = kernels.shortlist(g, width)
        labels = _keep_tight(short, g, labels, tuning.noise)
        sizes = np.bincount(labels[counted], minlength=k)
        if np.array_equal(sizes, limits.target):
            break
        surplus = np.maximum(sizes - limits.target, 0).sum()
        left = move_along_near_ties(labels, counted, short, g, limits, width, tuning.largest_square)
        routed = left == 0 or width < np.inf
        if 0 < left <= tuning.few_items and width < np.inf:
            routed = move_over_whole_matrix(kernels, labels, counted, g, limits)
        elif left > surplus / 2:
            width = 4 * width if width < tuning.widest_tie else np.inf
        if not routed:
            raise ValueError(
                "the sizes that b asks for cannot be met: too many items are allowed too few labels by the -inf in "
                "logits. Allow more, change b, or use rounding='argmax'."
            )
    else:
        raise RuntimeError("balanced rounding did not settle; please report these scores as a bug")
    gap = _gap(short, labels, counted, limits, g) / sharpness
    if own_argmax is not None:
        labels[~counted] = own_argmax[~counted]
    return labels, gap


def _sharpen(
    kernels: Kernels, g: np.ndarray, marginal: Marginal, counted: np.ndarray, tuning: Tuning
) -> tuple[Kernels, np.ndarray, float]:
    """Potentials that leave little to move, at a lower temperature if need be.

    The optimal labels do not depend on epsilon. Where scores say little, the argmax of a warm plan is far from balanced
    and sweeps at epsilon/4, epsilon/16, ... shift the surplus faster than shortest paths do, one item at a time.

    Returns:
        kernels and g (k,) at epsilon/sharpness, and the sharpness.
    """
    n, k, sharpness = int(counted.sum()), len(g), 1.0
    surplus = _surplus(kernels.labels(g), marginal, counted)
    while surplus > max(tuning.surplus * n, k) and sharpness < tuning.colder**tuning.most_colder:
        colder = kernels.rescaled(tuning.colder)
        solution = solve(
            colder,
            (len(counted), k),
            marginal,
            init=tuning.colder * g,
            tol=tuning.colder_goal * surplus / n,
            max_sweeps=tuning.colder_sweeps,
            method="lbfgs",
            tuning=tuning,
        )
        left = _surplus(colder.labels(solution.g), marginal, counted)
        # While the plan is nearly flat a colder one converges at once and changes little: go on. A solve that does not
        # converge has met ties, or the end of what sweeps can do.
        if left > tuning.colder_worth * surplus and solution.status is not Status.CONVERGED:
            break
        kernels, g, sharpness, surplus = colder, solution.g, tuning.colder * sharpness, left
    return kernels, g.copy(), sharpness


def _surplus(labels: np.ndarray, marginal: Marginal, counted: np.ndarray) -> float:
    """Items above the shares of their labels."""
    sizes = np.bincount(labels[counted], minlength=len(marginal.upper))
    return float(np.maximum(sizes - counted.sum() * marginal.upper, 0).sum())


def _keep_tight(short: Shortlist, g: np.ndarray, labels: np.ndarray, noise: float) -> np.ndarray:
    """The labels that are still their row's best at g, ties included; the argmax for the others."""
    rows = np.repeat(np.arange(len(short.best)), np.diff(short.indptr))
    x = short.value + g[short.label]
    # Rounding error is that of the numbers added up, g and scores, however small their sum.
    slack = noise * (1 + np.abs(short.value).max() + np.abs(g[np.isfinite(g)]).max())
    argmax = np.empty(len(short.best), dtype=np.int64)
    top = np.flatnonzero(x >= short.best[rows])[::-1]  # reversed, so that the first label of a tie is written last
    argmax[rows[top]] = short.label[top]
    if not labels.size:
        return argmax
    kept = np.zeros(len(short.best), dtype=bool)
    own = np.flatnonzero(short.label == labels[rows])
    kept[rows[own]] = x[own] >= short.best[rows[own]] - slack
    return np.where(kept, labels, argmax)


def _gap(short: Shortlist, labels: np.ndarray, counted: np.ndarray, limits: Capacities, g: np.ndarray) -> float:
    """docs/algorithm.md eq. (6): the dual bound at g less the score of the labels, in nats an item."""
    rows = np.repeat(np.arange(len(short.best)), np.diff(short.indptr))
    own = np.flatnonzero(short.label == labels[rows])
    score = np.empty(len(labels))
    score[rows[own]] = short.value[own]
    used = limits.upper > 0
    smallest = np.minimum(
        (g[used] - limits.hub) * limits.lower[used], (g[used] - limits.hub) * limits.upper[used]
    ).sum()
    n = int(counted.sum())
    bound = float((short.best - score)[counted].sum()) - smallest - n * limits.hub
    return bound / n
