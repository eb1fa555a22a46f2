"""From potentials to labels: exactly balanced, at the best total score, with a certificate.

For given sizes, rounding the plan is the unregularised transport problem (docs/algorithm.md section 4). It is solved
from the entropic potentials by successive shortest paths on the graph of the k labels: each path moves one item out of
a label that has too many, along near-ties, into one that has too few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._result import Status
from .._solver.outline import solve
from ..backends import Kernels, Shortlist

DENSE = 1 << 18  # n*k up to which the shortlist is the whole matrix, 36 bytes an entry
WIDTH = 2.0  # nats: the first shortlist of a larger problem; widened when it proves too narrow
WIDEST = 1e4  # nats: a shortlist this wide that is still too narrow gives way to the whole matrix
FEW = 100  # items: as many that found no way on a shortlist are moved by a search of the whole matrix
SURPLUS = 0.005  # of the items: more than this is moved by sweeps at a lower temperature first
COLDEST = 4.0**10  # epsilon is not divided by more than this
ROUNDS = 40
TIGHT = 1e-13  # relative: rounding error allowed between a label's score and its row's best


@dataclass
class Capacities:
    """lower_j <= size_j <= upper_j, and the target that the current potentials ask for."""

    lower: np.ndarray
    upper: np.ndarray
    target: np.ndarray  # sums to the number of items
    hub: float  # potential of the spare places: labels above it hold `lower`, labels below it `upper`


def round_plan(
    kernels: Kernels, g: np.ndarray, b: np.ndarray, counted: np.ndarray, rounding: str
) -> tuple[np.ndarray, float]:
    """Labels from solved potentials.

    Args:
        kernels: of the scores, n x k.
        g: (k,) potentials, -inf for labels not in use.
        b: (k,) shares.
        counted: (n,) bool, the rows that fill capacity; the others get their argmax.
        rounding: "balanced" or "argmax".

    Returns:
        labels (n,) int64, and the gap to the optimum in nats an item (nan for "argmax").
    """
    if rounding == "argmax":
        return kernels.labels(g), float("nan")
    return _balance(kernels, g, b, counted)


def capacities(n: int, b: np.ndarray, g: np.ndarray) -> Capacities:
    """Floor and ceiling of n*b_j; the labels with the smallest potentials are offered the ceiling first."""
    share = n * b
    whole = np.abs(share - np.rint(share)) <= 1e-9
    lower = np.where(whole, np.rint(share), np.floor(share)).astype(np.int64)
    upper = np.where(whole, np.rint(share), np.ceil(share)).astype(np.int64)
    target = lower.copy()
    flexible = np.flatnonzero(upper > lower)
    spare = n - int(lower.sum())
    order = flexible[np.argsort(g[flexible], kind="stable")]
    target[order[:spare]] += 1
    edge = g[order[max(spare - 1, 0) : spare + 1]]  # the last label offered a spare place and the first that is not
    return Capacities(lower, upper, target, float(edge.mean()) if edge.size else 0.0)


def _balance(kernels: Kernels, g: np.ndarray, b: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, float]:
    from .near_tie_paths import fill  # numba's import is paid by those who round
    from .whole_matrix_paths import move_far

    n = int(counted.sum())
    own_argmax = None if counted.all() else kernels.labels(g)
    kernels, g, sharpness = _sharpen(kernels, g, b, counted)
    limits = capacities(n, b, g)
    width = np.inf if counted.size * len(b) <= DENSE else WIDTH
    labels = np.empty(0, dtype=np.int64)
    for _ in range(ROUNDS):
        short = kernels.shortlist(g, width)
        labels = _keep_tight(short, g, labels)
        sizes = np.bincount(labels[counted], minlength=len(b))
        if np.array_equal(sizes, limits.target):
            break
        surplus = np.maximum(sizes - limits.target, 0).sum()
        left = fill(labels, counted, short.indptr, short.label, short.value, g, limits, width)
        routed = left == 0 or width < np.inf
        if 0 < left <= FEW and width < np.inf:
            routed = move_far(kernels, labels, counted, g, limits)
        elif left > surplus / 2:
            width = 4 * width if width < WIDEST else np.inf
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


def _sharpen(kernels: Kernels, g: np.ndarray, b: np.ndarray, counted: np.ndarray) -> tuple[Kernels, np.ndarray, float]:
    """Potentials that leave little to move, at a lower temperature if need be.

    The optimal labels do not depend on epsilon. Where scores say little, the argmax of a warm plan is far from balanced
    and sweeps at epsilon/4, epsilon/16, ... shift the surplus faster than shortest paths do, one item at a time.

    Returns:
        kernels and g (k,) at epsilon/sharpness, and the sharpness.
    """
    n, sharpness = int(counted.sum()), 1.0
    surplus = _surplus(kernels.labels(g), b, counted)
    while surplus > max(SURPLUS * n, len(b)) and sharpness < COLDEST:
        colder = kernels.rescaled(4.0)
        solution = solve(
            colder, (len(counted), len(b)), b, init=4.0 * g, tol=surplus / n / 8, max_sweeps=30, method="lbfgs"
        )
        left = _surplus(colder.labels(solution.g), b, counted)
        # While the plan is nearly flat a colder one converges at once and changes little: go on. A solve that does not
        # converge has met ties, or the end of what sweeps can do.
        if left > 0.7 * surplus and solution.status is not Status.CONVERGED:
            break
        kernels, g, sharpness, surplus = colder, solution.g, 4.0 * sharpness, left
    return kernels, g.copy(), sharpness


def _surplus(labels: np.ndarray, b: np.ndarray, counted: np.ndarray) -> float:
    """Items above the shares of their labels."""
    sizes = np.bincount(labels[counted], minlength=len(b))
    return float(np.maximum(sizes - counted.sum() * b, 0).sum())


def _keep_tight(short: Shortlist, g: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels that are still their row's best at g, ties included; the argmax for the others."""
    rows = np.repeat(np.arange(len(short.best)), np.diff(short.indptr))
    x = short.value + g[short.label]
    # Rounding error is that of the numbers added up, g and scores, however small their sum.
    slack = TIGHT * (1 + np.abs(short.value).max() + np.abs(g[np.isfinite(g)]).max())
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
