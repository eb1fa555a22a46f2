"""What all parts of a solve share."""

from __future__ import annotations

import numpy as np

from ..backends.precision import float64_blur
from .counting import Budget, DenseScores, Scores
from .point import Point, Surveyed
from .record import Record


class Run:
    """What all parts of a solve share: the scores, what was found so far, and how a survey is made."""

    def __init__(self, kernels, shape, marginal, active, tol, max_sweeps, tuning, head, callback):
        budget = Budget(max_sweeps)
        self.scores = Scores(kernels, shape, active, budget, tuning)
        self.marginal, self.tuning, self.head = marginal, tuning, head
        self.record = Record(tol, tuning.patience, budget, tuning, callback)
        self.near = tuning.near(tol)

    def dense(self) -> DenseScores | None:
        """Dense sweeps, where the backend has them and the budget is worth beginning with."""
        return self.scores.dense() if self.scores.budget.allows(self.tuning.dense_budget) else None

    def certify(self, dense: DenseScores, g: np.ndarray) -> Point:
        """F and its gradient at g, gauged, in float64 and from every score; without lists."""
        g = self.marginal.gauged(g)
        swept = dense.precise(g)
        gradient = self.marginal.wanted(g, swept.c) - swept.c
        point = Point(g, self.marginal.support(g) - swept.logsumexp, swept.c, swept.log_c, gradient)
        # A search along a line that finds nothing better is no sign of a plateau: only what leads on counts.
        if point.error < self.record.error:
            self.record.add(point, self.head)
        else:
            self.record.show(point, self.head)
        return point

    def survey(self, g: np.ndarray, width: float) -> Surveyed:
        """F and its gradient at g, gauged, from every score; with the list of what matters near by."""
        g = self.marginal.gauged(g)  # before the sweep, so that the certificate is g's own
        found, rough = self._look(g, width, self.record.error < self.tuning.close)
        rough = rough or width < self.near  # what is not listed is summed in float32
        if found.error < self.tuning.rough and rough and self.scores.budget.allows(1):
            del found  # its lists
            found, _ = self._look(g, self.near, True)
        self.record.add(found.without_lists(), self.head)
        return found

    def _look(self, g: np.ndarray, width: float, precise: bool) -> tuple[Surveyed, bool]:
        swept, rough, lists = self.scores.survey(g, width, precise)
        gradient = self.marginal.wanted(g, swept.c) - swept.c
        objective = self.marginal.support(g) - swept.logsumexp
        return Surveyed(g, objective, swept.c, swept.log_c, gradient, lists, width), rough

    def width(self, g: np.ndarray, listed: int) -> float:
        """The width at which about ``listed`` entries of a row are listed near g."""
        tuning = self.tuning
        if self.scores.size <= tuning.small:
            return tuning.widest
        if not self.scores.budget.allows(1 + self.scores.sample_cost):
            return self.near
        return tuning.width(self.depth(g), listed)

    def depth(self, g: np.ndarray) -> np.ndarray:
        """(r, m) nats that some rows' entries are below their best."""
        x = self.scores.sample() + g
        return x.max(axis=1, keepdims=True) - x

    def is_blurred(self) -> bool:
        """Whether float64 rounds the scores that matter, not only those that forbid, by more than lists can bear."""
        limit = self.tuning.blur
        if self.scores.blur <= limit:
            return False
        if not self.scores.budget.allows(1 + self.scores.sample_cost):
            return True  # nobody can say, and there is no budget for lists
        largest = np.abs(self.scores.sample().max(axis=1)).max()
        return float64_blur(float(largest), 1.0) > limit
