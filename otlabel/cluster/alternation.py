"""k-means with sizes: labels that are optimal for the centres, centres that are means of the labels, in turns.

Two phases. At first temperatures fall, and centres are means weighted by the plan, whose columns nearly have their
sizes: that finds better optima than hard labels do from the start. Then labels have exact sizes and the best total, so
that the inertia never rises; a last assignment follows the last centres. Of many points the first looks at a sample.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import entr, softmax
from sklearn.exceptions import ConvergenceWarning

from .._arrays.libraries import HOST, Place
from .._assign import assign
from .._input.sources import LinearScores
from .._result import Assignment
from .._solver.outcome import ConvergenceWarning as SizesAreRough
from .centres import first_centres, inertia, means, soft_means

_SAMPLED_ITEMS = 100  # points a cluster in a sample
_SAMPLED = 1 << 14  # points in a sample at least
HELD = 1 << 27  # scores of points and centres that are held in memory, half a GiB of float32
_WARMEST, _COLDEST, _FALL = 1.0, 0.01, 0.5  # temperatures, in leads of a point's nearest centre; and from step to step
_MOST_SHARED = 0.65  # of the labels may share a point in soft steps, on average: where more do, centres become one
_PATIENCE = 5  # soft steps in a row that move centres no less than one before: the plan's own error moves them
_TOLD_APART = 500  # points that tell the lead, and what is shared
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
    bounds: tuple[np.ndarray, np.ndarray] | None  # (k,) least and most points a cluster, in the place of shares
    on_sphere: bool
    init: Any
    max_iter: int
    tol: float
    backend: str
    place: Place  # where scores are computed: the points' own device, or the host
    callback: Callable[[Step], object]


class Clustered(NamedTuple):
    """Labels, and the centres that they are the best for."""

    centres: np.ndarray  # (k, d)
    labels: np.ndarray  # (n,) int64
    inertia: float
    gap: float  # squared distance an item
    prices: np.ndarray  # (k,): labels are the argmin of squared distance - price
    steps: int  # assignments of all points
    interrupted: bool = False


def scores_of(points: Any, centres: np.ndarray, place: Place = HOST) -> LinearScores:
    """|x|^2 less the squared distances of points (n, d) to centres (k, d): linear in x, and as good for labels.

    place: where the points are; the centres are put there.
    """
    return LinearScores(points, place.give_back(2 * centres), place.give_back(-(centres**2).sum(axis=1)))


class Points:
    """Points (n, d), their weights, and what is asked of their labels."""

    def __init__(self, points: np.ndarray, weights: np.ndarray, options: Options, part: float = 1.0):
        self.points, self.weights, self._options = points, weights, options
        self._placed_points = points if options.place == HOST else options.place.give_back(points)
        self._sizes: dict[str, Any] = {"b": options.shares}
        if options.bounds is not None:  # of a part of the points that part, and a whole number
            least, most = options.bounds
            self._sizes = {"size_min": np.floor(part * least), "size_max": np.ceil(part * most)}

    def some(self, random: np.random.RandomState) -> Points:
        """A sample of them where they are many, else these."""
        n, most = len(self.points), max(_SAMPLED, _SAMPLED_ITEMS * self._options.k)
        if n < 2 * most:
            return self
        rows = np.sort(random.choice(n, most, replace=False))
        return Points(self.points[rows], self.weights[rows], self._options, most / n)

    def labelled(self, centres: np.ndarray, epsilon: float, g: np.ndarray | None, *, exact: bool) -> Assignment:
        """The labels of these centres at a temperature in squared distances, from potentials g (k,) at it."""
        options = self._options
        scores = scores_of(self._placed_points, centres, options.place)
        scores.may_be_kept = len(self.points) * options.k <= HELD
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SizesAreRough)  # sizes are exact whatever the potentials are
            found = assign(
                scores,
                epsilon=epsilon,
                rounding="balanced" if exact else "argmax",
                tol=_CLOSE if exact else _LOOSE,
                init=g,
                backend=options.backend,
                **self._sizes,
            )
        if options.place == HOST:
            return found
        return dataclasses.replace(found, labels=options.place.library.to_numpy(found.labels, "labels"))

    def inertia(self, labels: np.ndarray, centres: np.ndarray) -> float:
        """The weighted sum of squared distances."""
        return inertia(self.points, labels, self.weights, centres)

    def means(self, labels: np.ndarray, before: np.ndarray) -> np.ndarray:
        """The centres that are best for labels (n,)."""
        return self._placed(means(self.points, labels, self.weights, before))

    def soft_means(self, found: Assignment, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for a plan, and the (k,) weights of the points in each."""
        centres, mass = soft_means(self.points, found._kernels[0], found.potentials, self.weights, before, _DEPTH)
        return self._placed(centres), mass

    def temperatures(self, centres: np.ndarray) -> tuple[float, float]:
        """The warmest and the coldest, from how far a point's nearest centre leads before the next."""
        scores = np.sort(self._some_scores(centres), axis=1)
        lead = float(np.median(scores[:, -1] - scores[:, -2])) if scores.shape[1] > 1 else 0.0
        lead = lead if lead > 0 else 1.0
        return _WARMEST * lead, _COLDEST * lead

    def shared(self, centres: np.ndarray, epsilon: float, prices: np.ndarray) -> float:
        """How many labels carry a point of the plan at prices (k,), on average: exp of the rows' entropy."""
        plan = softmax((self._some_scores(centres) + prices) / epsilon, axis=1)
        return float(np.exp(entr(plan).sum(axis=1)).mean())

    def _some_scores(self, centres: np.ndarray) -> np.ndarray:
        some = self.points[:: -(-len(self.points) // _TOLD_APART)].astype(np.float64)
        return scores_of(some, centres.astype(np.float64)).kept().array

    def _placed(self, centres: np.ndarray) -> np.ndarray:
        if not self._options.on_sphere:
            return centres
        lengths = np.linalg.norm(centres, axis=1, keepdims=True)
        return np.divide(centres, lengths, out=centres.copy(), where=lengths > 0)


def alternate(points: Points, options: Options, random: np.random.RandomState) -> Clustered:
    """From first centres to labels that are exactly balanced, and optimal for their centres."""
    some = points.some(random)
    run = _Run(first_centres(some.points, options.k, options.init, some.weights, random), points, options)
    try:
        run.anneal(some)
        if some is not points:
            run.follow()
    except KeyboardInterrupt:
        return run.settle(at_once=True)
    return run.settle()


class _Run:
    """Centres, potentials, and the temperature that they are at; what is done to them."""

    def __init__(self, centres: np.ndarray, points: Points, options: Options):
        self._centres, self._points, self._options = centres, points, options
        self._epsilon = 0.0
        self._g: np.ndarray | None = None
        self._assignments = self._of_all = 0

    def anneal(self, some: Points) -> None:
        """Soft steps on some points, while the temperature falls."""
        self._epsilon, coldest = some.temperatures(self._centres)
        prices, most = np.zeros(len(self._centres)), max(2.0, _MOST_SHARED * len(self._centres))
        while self._epsilon > coldest:
            if some.shared(self._centres, self._epsilon, prices) <= most:
                found = self._labelled(some, exact=False)
                self._centres, _ = some.soft_means(found, self._centres)
                prices = self._epsilon * found.potentials
            self._epsilon *= _FALL
            self._g = prices / self._epsilon  # prices stay

    def follow(self) -> None:
        """Soft steps on all points until the centres hardly move: what a sample has settled on is its own.

        They take half of the time of exact ones.
        """
        points, total = self._points, None
        least, idle = math.inf, 0
        for _ in range(self._options.max_iter):
            found, before = self._labelled(points, exact=False), self._centres
            self._g, (self._centres, mass) = found.potentials, points.soft_means(found, before)
            total = points.inertia(found.labels, before) if total is None else total
            moved = float(mass @ ((self._centres - before).astype(np.float64) ** 2).sum(axis=1))
            idle = 0 if moved < least else idle + 1
            least = min(least, moved)
            if not moved > self._options.tol * total or idle == _PATIENCE:
                return

    def settle(self, at_once: bool = False) -> Clustered:
        """Exact steps as long as the inertia falls; when interrupted, what there is.

        at_once: it was, before: one step from where the centres are.
        """
        best: Clustered | None = None
        interrupted = at_once
        try:
            for _ in range(1 if at_once else self._options.max_iter):
                before = math.inf if best is None else best.inertia
                best, found = self._exact_step()
                self._tell("exact", best.inertia, found)  # once there is something to keep
                if not before - best.inertia > self._options.tol * best.inertia:
                    break
                self._centres = self._points.means(best.labels, self._centres)
        except KeyboardInterrupt:
            if best is None:
                raise
            interrupted = True
        assert best is not None  # max_iter is 1 or more
        if interrupted:
            warnings.warn(
                f"interrupted after {best.steps} assignments of all points: what the last led to is kept.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return best._replace(interrupted=interrupted)

    def _exact_step(self) -> tuple[Clustered, Assignment]:
        found = self._labelled(self._points, exact=True)
        self._g = found.potentials
        total, gap = self._points.inertia(found.labels, self._centres), float(found.gap) * self._epsilon
        clustered = Clustered(self._centres, found.labels, total, gap, self._epsilon * self._g, self._of_all)
        return clustered, found

    def _labelled(self, points: Points, *, exact: bool) -> Assignment:
        found = points.labelled(self._centres, self._epsilon, self._g, exact=exact)
        self._assignments += 1
        self._of_all += points is self._points
        if not exact:
            self._tell("soft", math.nan, found)
        return found

    def _tell(self, phase: str, total: float, found: Assignment) -> None:
        self._options.callback(Step(phase, self._assignments, total, found.sizes))
