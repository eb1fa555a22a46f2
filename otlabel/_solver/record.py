"""What the surveys of a solve have found: the best point, and whether to go on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .counting import Budget
from .marginal import Marginal
from .outcome import Engine, Solution, Status, Step
from .point import Point
from .tuning import Tuning


class Record:
    """The surveys so far.

    Args:
        tol: the error to reach.
        patience: surveys without a higher F or a lower error that are borne.
        budget: of the solve.
        report: told of every survey.
    """

    def __init__(self, tol: float, patience: int, budget: Budget, tuning: Tuning, report: Callable[[Step], object]):
        self.tol, self.patience = tol, patience
        self.status: Status | None = None  # None: go on
        self._budget, self._tuning, self._report = budget, tuning, report
        self._surveys = 0
        self._history: list[tuple[float, float, float]] = []
        self._best: Point | None = None
        self._highest = -np.inf
        self._last_progress = 0

    @property
    def error(self) -> float:
        """Of the best point."""
        return np.inf if self._best is None else self._best.error

    def show(self, point: Point, head: int) -> None:
        """A full sweep that proves nothing: the caller hears of it. Where no other may follow it was the last."""
        self._history.append((self._budget.spent, point.objective, point.error))
        self._report(Step(head, *self._history[-1]))
        if not self._budget.allows(1):
            self.status = Status.SWEEP_LIMIT

    def add(self, point: Point, head: int) -> None:
        """A survey more; decides on the status."""
        self._surveys += 1
        best, count = self._best, self._surveys
        noise = self._tuning.noise * (1 + abs(point.objective))
        if not point.objective <= self._highest + noise or point.error < self.error:
            self._last_progress = count
        self._highest = max(self._highest, point.objective)
        # A lower error counts where F is not lower: far out, a rejected trial can have both by accident.
        improves = best is None or (point.error < best.error and point.objective >= best.objective - noise)
        if improves or point.error <= self.tol:
            self._best = point
        self.show(point, head)
        self.status = self._verdict(point, count)

    def _verdict(self, point: Point, count: int) -> Status | None:
        if point.error <= self.tol:
            return Status.CONVERGED
        if point.error <= self._tuning.floor:
            return Status.PLATEAU
        if not self._budget.allows(1):
            return Status.SWEEP_LIMIT
        if count - self._last_progress >= self.patience:
            return Status.PLATEAU
        return None

    def solution(self, active: np.ndarray, marginal: Marginal, engine: Engine) -> Solution:
        """The best point as the end of the solve, for all labels; marginal of those in use, engine what was used."""
        best, status = self._best, self.status
        assert best is not None  # a solve begins with a survey
        assert status is not None  # and ends with a status
        g = np.full(len(active), -np.inf)
        g[active] = best.g
        relative = marginal.relative_error(best.log_c)
        return Solution(g, best.error, relative, self._budget.spent, np.array(self._history), status, engine)
