"""The dense way: quantile steps from far away, then a climb on quick sweeps over every score (docs/algorithm.md, 3)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from .counting import DenseScores
from .directions import Directions
from .marginal import Marginal
from .point import Point
from .quantiles import by_quantiles
from .run import Run
from .steps import climb
from .tuning import Tuning


@dataclass(frozen=True)
class DensePoint(Point):
    """A point of a dense sweep."""

    curvature: np.ndarray  # (m,) of F along each potential, divided by c: 1 where no row is sure of the label

    def diagonal(self, marginal: Marginal, tuning: Tuning) -> np.ndarray:
        """(m,) of the Hessian of -F, as it would be here if the columns had their shares."""
        return marginal.target * np.clip(self.curvature, tuning.flattest, 1.0)


class DenseModel:
    """F and its gradient as float32 has them; with what float64 said at some point, right there.

    Args:
        run: the solve.
        dense: its sweeps.
    """

    newton_cost = np.inf

    def __init__(self, run: Run, dense: DenseScores):
        self._run, self._dense = run, dense
        self._missing: np.ndarray | float = 0.0

    def put_right(self, at: DensePoint, certified: Point) -> DensePoint:
        """Take from a float64 look at a point of this model what float32 does not see; the point as it is then."""
        self._missing = self._missing + certified.gradient - at.gradient
        return dataclasses.replace(at, c=certified.c, log_c=certified.log_c, gradient=certified.gradient)

    @property
    def exhausted(self) -> bool:
        return not self._run.scores.budget.allows(2)  # this one, and one that certifies

    def evaluate(self, g: np.ndarray) -> DensePoint:
        run, marginal, least = self._run, self._run.marginal, self._run.tuning.barely_listed
        g = self._dense.rounded(marginal.gauged(g))
        logsumexp, c, squares = self._dense.sweep(g)
        curvature = 1.0 - squares / np.maximum(c, least)
        c = c - self._missing
        # Of columns that are, and should be, emptier than float32 can tell, nothing is known: they stay.
        faint = np.maximum(c, marginal.target) <= least
        gradient = np.where(faint, 0.0, marginal.wanted(g, c) - c)
        log_c = np.log(np.where(faint, marginal.target, np.maximum(c, least)))
        point = DensePoint(g, marginal.support(g) - logsumexp, c, log_c, gradient, curvature)
        run.record.show(point, run.head)
        return point

    def hessian(self, point: Point) -> np.ndarray:
        raise NotImplementedError("newton_cost is infinite")


class PreciseModel:
    """F and its gradient in float64."""

    newton_cost = np.inf

    def __init__(self, run: Run, dense: DenseScores):
        self._run, self._dense = run, dense

    @property
    def exhausted(self) -> bool:
        return self._run.record.status is not None or not self._run.scores.budget.allows(1)

    def evaluate(self, g: np.ndarray) -> Point:
        return self._run.certify(self._dense, g)

    def hessian(self, point: Point) -> np.ndarray:
        raise NotImplementedError("newton_cost is infinite")


def start(run: Run, dense: DenseScores, init: np.ndarray) -> Point:
    """The first look, and where quantile steps lead from it if the error is large."""
    model, tuning = DenseModel(run, dense), run.tuning
    # In float64 where that may be all it takes, since somebody knows where to begin, or where it is all the caller has.
    certain = bool(init.any()) or (dense.is_small and dense.is_wide)
    here = run.certify(dense, init) if certain else model.evaluate(init)
    if here.error <= tuning.unsettled or not run.scores.budget.allows(tuning.quantile_steps + 2):
        return here
    there = model.evaluate(by_quantiles(run, dense, here.g))
    return there if there.objective > here.objective or there.error < here.error else here


def by_dense_sweeps(run: Run, dense: DenseScores, here: Point, directions: Directions) -> np.ndarray:
    """Climb in float32, certify, and go on in float64 where that was not enough; where it ended.

    Args:
        here: from ``start``.
        directions: learns.
    """
    tuning = run.tuning
    floor = tuning.float32_part * dense.error(here.g)
    goal = max(tuning.dense_goal * run.record.tol, floor)
    if dense.is_small:
        left = int(run.scores.budget.left - 1)  # but for the certificate
        if left < 0:
            return here.g
        g = dense.climb(here.g, run.marginal.target, goal, left, tuning) if here.error > goal and left > 0 else here.g
        return run.certify(dense, g).g
    model, rough = DenseModel(run, dense), dataclasses.replace(tuning, noise=tuning.float32_noise)
    at = here if isinstance(here, DensePoint) else model.evaluate(here.g)
    for _ in range(tuning.certificates):
        at = _ascend(model, at, run.marginal, directions, rough, goal)
        before, certified = run.record.error, run.certify(dense, at.g)
        if run.record.status is not None:
            return certified.g
        # Where float32 did not get to its goal it knows no better.
        if at.error > goal or not 2 * floor < certified.error < tuning.enough * before:
            break
        at = model.put_right(at, certified)
    patient = dataclasses.replace(tuning, step_patience=tuning.patience)
    return climb(PreciseModel(run, dense), certified, run.marginal, directions, patient, goal=0.0).point.g


def _ascend(
    model: DenseModel, at: DensePoint, marginal: Marginal, directions: Directions, tuning: Tuning, goal: float
) -> DensePoint:
    """A climb in stages: where errors are small, the columns' curvature is what it will be at the end."""
    for stage in (tuning.measured, 0.1 * tuning.measured, 0.0):
        if at.error > max(stage, goal) and not model.exhausted:
            found = climb(model, at, marginal, directions, tuning, goal=max(stage, goal)).point
            assert isinstance(found, DensePoint)  # all its points are
            at = found
        if stage:
            directions.measured(at.diagonal(marginal, tuning))
    return at
