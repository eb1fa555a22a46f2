"""The dense way: quantile steps from far away, then a climb on quick sweeps over every score (docs/algorithm.md, 3)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from .counting import DenseScores
from .directions import Directions
from .marginal import Marginal
from .point import Point
from .run import Run
from .steps import climb
from .tuning import Tuning


@dataclass(frozen=True)
class DensePoint(Point):
    """A point of a dense sweep."""

    curvature: np.ndarray  # (m,) of F along each potential, divided by c: 1 where no row is sure of the label
    of_sample: bool = False  # some rows were looked at, not all


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
        point, _ = self.looked_at(g)
        self._run.record.show(point, self._run.head)
        return point

    def looked_at(self, g: np.ndarray, every: int = 1) -> tuple[DensePoint, float]:
        """The point at g as one row of ``every`` so many has it, and how much of its error chance makes, at most."""
        run, marginal, least = self._run, self._run.marginal, self._run.tuning.barely_listed
        gauged = marginal.gauged(g)
        # A label at a kink stays there: rounding would put it on a side, where F is another function.
        g = np.where(gauged == 0, 0.0, self._dense.rounded(gauged))
        logsumexp, c, squares = self._dense.sweep(g, every)
        chance = float(np.sqrt(2 / np.pi * squares * every / run.scores.rows).sum())  # as if rows were independent
        curvature = 1.0 - squares / np.maximum(c, least)
        c = c - self._missing
        # Of columns that are, and should be, emptier than float32 can tell, nothing is known: they stay.
        faint = np.maximum(c, marginal.target) <= least
        gradient = np.where(faint, 0.0, marginal.wanted(g, c) - c)
        log_c = np.log(np.where(faint, marginal.target, np.maximum(c, least)))
        point = DensePoint(g, marginal.support(g) - logsumexp, c, log_c, gradient, curvature, every > 1)
        return point, chance

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


def first_look(run: Run, dense: DenseScores, init: np.ndarray) -> Point:
    """F and its gradient at init; as a sample has them, if that is enough to see that init is far away."""
    model, tuning = DenseModel(run, dense), run.tuning
    # In float64 where that may be all it takes, since somebody knows where to begin, or where it is all the caller has.
    if bool(init.any()) or (dense.is_small and dense.is_wide):
        return run.certify(dense, init)
    every = run.scores.rows_apart(tuning.looked_at)
    if not dense.is_small and every >= tuning.sampled_least:
        point, chance = model.looked_at(init, every)
        if point.error - chance > tuning.unsettled:
            return point
    return model.evaluate(init)


def by_dense_sweeps(run: Run, dense: DenseScores, first: Point, g: np.ndarray, directions: Directions) -> np.ndarray:
    """Climb in float32, certify, and go on in float64 where that was not enough; where it ended.

    Args:
        first: from ``first_look``.
        g: (m,) where quantile steps led from there.
        directions: learns.
    """
    tuning = run.tuning
    model, rough = DenseModel(run, dense), dataclasses.replace(tuning, noise=tuning.float32_noise)
    here = first
    if np.any(g != first.g):
        there = model.evaluate(g)
        here = there if there.improves_on(first) else first
    floor = tuning.float32_part * dense.error(here.g)
    goal = max(tuning.dense_goal * run.record.tol, floor)
    if dense.is_small and run.marginal.is_exact:  # what is compiled knows no kinks
        left = int(run.scores.budget.left - 1)  # but for the certificate
        if left < 0:
            return here.g
        g = dense.climb(here.g, run.marginal.target, goal, left, tuning) if here.error > goal and left > 0 else here.g
        return run.certify(dense, g).g
    at = here if isinstance(here, DensePoint) and not here.of_sample else model.evaluate(here.g)
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
            directions.measured(at.curvature)
    return at
