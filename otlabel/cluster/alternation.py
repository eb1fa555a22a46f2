"""k-means with sizes: labels that are optimal for the centres, centres that are means of the labels, in turns.

Two phases. At first temperatures fall, and centres are means weighted by the plan, whose columns nearly have their
sizes: that finds better optima than hard labels do from the start. Then labels have exact sizes and the best total, so
that the inertia never rises; a last assignment follows the last centres. Of many points the first looks at a sample.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._assign import assign
from .._input.sources import LinearScores
from .._result import Assignment
from .._solver.outcome import ConvergenceWarning
from .centres import first_centres, inertia, means, soft_means

_SAMPLED_ITEMS = 100  # points a cluster in a sample
_SAMPLED = 1 << 14  # points in a sample at least
_HELD = 1 << 27  # scores of points and centres that are held in memory, half a GiB of float32
_WARMEST, _COLDEST, _FALL = 1.0, 0.01, 0.5  # temperatures, in leads of a point's nearest centre; and from step to step
_TOLD_APART = 500  # points that tell the lead
_DEPTH = 4.0  # nats: of what means in the plan are made of
_LOOSE, _CLOSE = 1e-2, 1e-3  # errors of the plan's sizes in the first phase and the second


class Step(NamedTuple):
    """One assignment, as the callback hears of it."""

    phase: str  # "soft" or "exact"
    number: int  # from 1, over all phases
    inertia: float  # weighted sum of squared distances; nan while centres are soft
    sizes: np.ndarray  # (k,)


@dataclass(frozen=True)
class Options:
    """What an alternation is asked for; as ``BalancedKMeans`` says."""

    k: int
    shares: np.ndarray | None
    on_sphere: bool
    init: Any
    max_iter: int
    tol: float
    backend: str
    callback: Callable[[Step], object]


class Clustered(NamedTuple):
    """Labels, and the centres that they are the best for."""

    centres: np.ndarray  # (k, d)
    labels: np.ndarray  # (n,) int64
    inertia: float
    gap: float  # squared distance an item
    prices: np.ndarray  # (k,): labels are the argmin of squared distance - price
    steps: int  # exact ones


def scores_of(points: np.ndarray, centres: np.ndarray) -> LinearScores:
    """|x|^2 less the squared distances of points (n, d) to centres (k, d): linear in x, and as good for labels."""
    return LinearScores(points, 2 * centres, -(centres**2).sum(axis=1))


class Points:
    """Points (n, d), their weights, and what is asked of their labels."""

    def __init__(self, points: np.ndarray, weights: np.ndarray, options: Options):
        self.points, self.weights, self._options = points, weights, options

    def some(self, random: np.random.RandomState) -> Points:
        """A sample of them where they are many, else these."""
        n, most = len(self.points), max(_SAMPLED, _SAMPLED_ITEMS * self._options.k)
        if n < 2 * most:
            return self
        rows = np.sort(random.choice(n, most, replace=False))
        return Points(self.points[rows], self.weights[rows], self._options)

    def labelled(self, centres: np.ndarray, epsilon: float, g: np.ndarray | None, *, exact: bool) -> Assignment:
        """The labels of these centres at a temperature in squared distances, from potentials g (k,) at it."""
        options = self._options
        scores = scores_of(self.points, centres)
        scores.may_be_kept = len(self.points) * options.k <= _HELD
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # sizes are exact whatever the potentials are
            return assign(
                scores,
                epsilon=epsilon,
                b=options.shares,
                rounding="balanced" if exact else "argmax",
                tol=_CLOSE if exact else _LOOSE,
                init=g,
                backend=options.backend,
            )

    def inertia(self, labels: np.ndarray, centres: np.ndarray) -> float:
        """The weighted sum of squared distances."""
        return inertia(self.points, labels, self.weights, centres)

    def means(self, labels: np.ndarray, before: np.ndarray) -> np.ndarray:
        """The centres that are best for labels (n,)."""
        return self._placed(means(self.points, labels, self.weights, before))

    def soft_means(self, found: Assignment, before: np.ndarray) -> np.ndarray:
        """The same for a plan."""
        kernels = found._kernels[0]
        return self._placed(soft_means(self.points, kernels, found.potentials, self.weights, before, _DEPTH))

    def temperatures(self, centres: np.ndarray) -> tuple[float, float]:
        """The warmest and the coldest, from how far a point's nearest centre leads before the next."""
        some = self.points[:: -(-len(self.points) // _TOLD_APART)].astype(np.float64)
        scores = np.sort(scores_of(some, centres.astype(np.float64)).kept().array, axis=1)
        lead = float(np.median(scores[:, -1] - scores[:, -2])) if scores.shape[1] > 1 else 0.0
        lead = lead if lead > 0 else 1.0
        return _WARMEST * lead, _COLDEST * lead

    def _placed(self, centres: np.ndarray) -> np.ndarray:
        if not self._options.on_sphere:
            return centres
        lengths = np.linalg.norm(centres, axis=1, keepdims=True)
        return np.divide(centres, lengths, out=centres.copy(), where=lengths > 0)


def alternate(all_points: Points, options: Options, random: np.random.RandomState) -> Clustered:
    """From first centres to labels that are exactly balanced, and optimal for their centres."""
    some = all_points.some(random)
    centres = first_centres(some.points, options.k, options.init, some.weights, random)
    epsilon, coldest = some.temperatures(centres)
    g, number, total = None, 0, math.inf

    def tell(phase: str, found: Assignment, total: float) -> None:
        nonlocal number
        number += 1
        options.callback(Step(phase, number, total, found.sizes))

    while epsilon > coldest:
        found = some.labelled(centres, epsilon, g, exact=False)
        tell("soft", found, math.nan)
        centres = some.soft_means(found, centres)
        epsilon *= _FALL
        g = found.potentials / _FALL  # prices stay
    if some is not all_points:
        # What a sample has settled on is its own: the others move centres on, and soft steps take half of the time.
        for _ in range(options.max_iter):
            found = all_points.labelled(centres, epsilon, g, exact=False)
            tell("soft", found, math.nan)
            last, g, centres = centres, found.potentials, all_points.soft_means(found, centres)
            total = all_points.inertia(found.labels, last) if total == math.inf else total
            fall = float(found.sizes @ ((centres - last).astype(np.float64) ** 2).sum(axis=1))
            if not fall > options.tol * total:
                break
    before = math.inf
    for step in range(1, options.max_iter + 1):
        found = all_points.labelled(centres, epsilon, g, exact=True)
        total = all_points.inertia(found.labels, centres)
        tell("exact", found, total)
        if step == options.max_iter or not before - total > options.tol * total:
            break
        before, g, centres = total, found.potentials, all_points.means(found.labels, centres)
    return Clustered(centres, found.labels, total, float(found.gap) * epsilon, epsilon * found.potentials, step)
