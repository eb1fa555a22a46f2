"""The dense way: quantile steps from far away, then a climb on quick sweeps over every score (docs/algorithm.md, 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .counting import DenseScores
from .directions import Directions
from .point import Point
from .steps import climb

if TYPE_CHECKING:
    from .outline import _Solve

_FLOAT32 = 2e-8  # relative error of a sum of many numbers in float32, as the objective is one


class DenseModel:
    """F and its gradient as float32 has them; with what float64 said at some point, right there.

    Args:
        run: the solve.
        dense: its sweeps.
        spare: sweeps to leave in the budget.
    """

    newton_cost, noise = np.inf, _FLOAT32

    def __init__(self, run: _Solve, dense: DenseScores, spare: float):
        self._run, self._dense, self._spare = run, dense, spare
        self._missing: np.ndarray | float = 0.0

    def put_right(self, at: Point, certified: Point) -> None:
        """Take from a float64 look at a point of this model what float32 does not see."""
        self._missing = self._missing + certified.gradient - at.gradient

    @property
    def exhausted(self) -> bool:
        return not self._run.scores.budget.allows(1 + self._spare)

    def evaluate(self, g: np.ndarray) -> Point:
        marginal = self._run.marginal
        g = self._dense.rounded(marginal.gauged(g))
        logsumexp, c = self._dense.sweep(g)
        c = c - self._missing
        log_c = np.log(np.maximum(c, self._run.tuning.barely_listed))
        return Point(g, marginal.support(g) - logsumexp, c, log_c, marginal.wanted(g, c) - c)

    def hessian(self, point: Point) -> np.ndarray:
        raise NotImplementedError("newton_cost is infinite")


def by_quantiles(run: _Solve, dense: DenseScores, g: np.ndarray) -> np.ndarray:
    """Quantile steps (docs/algorithm.md eq. 3b): all potentials at once, as long as the unregularised dual rises.

    They are right one at a time only. Where they lead down together, half of a step is tried, and then none.
    """
    tuning, target = run.tuning, run.marginal.target
    longest = reach = float(np.clip(dense.spread + np.ptp(g), 1.0, tuning.widest))
    highest, before, step, halved = -np.inf, g, np.zeros(len(g)), False
    for _ in range(tuning.quantile_steps):
        found = dense.count(g, target, reach)
        dual = run.marginal.support(g) - found.best
        if not dual >= highest:
            if halved:
                return before
            halved, g = True, run.marginal.gauged(before + 0.5 * step)
            continue
        highest, before, step, halved = dual, g, found.step, False
        g = run.marginal.gauged(g + step)
        reach = float(np.clip(2 * np.abs(step).max(), 1.0, longest))
        if np.abs(found.wins - target).sum() <= tuning.settled:
            break
    return g


def is_cheaper(run: _Solve, dense: DenseScores, g: np.ndarray) -> bool:
    """Whether a dense climb from g is predicted to take less time than one on lists."""
    tuning = run.tuning
    if tuning.engine != "cheaper" or dense.is_small:
        return tuning.engine != "lists"
    x = run.scores.sample() + g
    depth = x.max(axis=1, keepdims=True) - x
    density = float((depth <= run.width(g, tuning.listed)).mean())
    lists = tuning.list_surveys * (tuning.survey_cost + tuning.entry_cost * density)
    return tuning.dense_sweeps <= lists + tuning.dense_sweeps * tuning.entry_cost * density


def by_dense_sweeps(run: _Solve, dense: DenseScores, g: np.ndarray) -> np.ndarray:
    """Go as far as float32 leads, or as lists are dearer; where that ended. The record says whether it was enough."""
    tuning, budget = run.tuning, run.scores.budget
    spare = 1.0 + run.scores.sample_cost
    model = DenseModel(run, dense, spare)
    here = model.evaluate(g)
    if here.error > tuning.unsettled and budget.allows(tuning.quantile_steps + 2 + spare):
        there = model.evaluate(by_quantiles(run, dense, here.g))
        if there.objective > here.objective or there.error < here.error:
            here = there
    if not is_cheaper(run, dense, here.g):
        return here.g
    floor = tuning.float32_part * dense.error(here.g)
    goal = max(tuning.dense_goal * run.record.tol, floor)
    directions = Directions(run.marginal, tuning)
    if dense.is_small and here.error > goal and budget.allows(1 + spare):
        limit = int(budget.limit - budget.spent - spare)
        g = dense.climb(here.g, run.marginal.target, goal, limit, tuning)
        run.certify(dense, g)
        if run.record.status is not None or not budget.allows(2 + spare):
            return g
        here = model.evaluate(g)
    for _ in range(tuning.certificates):
        if not budget.allows(1 + spare):
            break
        if here.error > goal:
            here = climb(model, here, run.marginal, directions, tuning, goal=goal).point
        before, certified = run.record.error, run.certify(dense, here.g)
        if run.record.status is not None or not 2 * floor < certified.error < tuning.enough * before:
            break
        model.put_right(here, certified)
        here = Point(here.g, here.objective, certified.c, certified.log_c, certified.gradient)
    return here.g
