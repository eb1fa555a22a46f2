"""Climbs between two surveys: steps along directions, inside a box around where they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .directions import Directions, Kind, sinkhorn_step
from .list_model import Model
from .marginal import Marginal
from .outcome import Ended
from .point import Point
from .tuning import Tuning


@dataclass(frozen=True)
class Box:
    """How far g (m,) may go."""

    lower: np.ndarray | float = -np.inf
    upper: np.ndarray | float = np.inf

    @classmethod
    def around(cls, g: np.ndarray, radius: float) -> Box:
        """All g that differ from (m,) potentials by a radius at most."""
        return cls(g - radius, g + radius)

    def within(self, other: Box) -> Box:
        """What is in both."""
        return Box(np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper))

    def cut(self, g: np.ndarray) -> np.ndarray:
        """g, where it is outside at the nearest edge."""
        return np.clip(g, self.lower, self.upper)

    def touches(self, g: np.ndarray) -> bool:
        """Whether some potential is at its edge."""
        return bool(((g <= self.lower) | (g >= self.upper)).any())

    def held(self, point: Point) -> np.ndarray:
        """(m,) bool: labels at the edge that the gradient would lead out."""
        return np.where(point.gradient > 0, point.g >= self.upper, point.g <= self.lower)


class Climbed(NamedTuple):
    """Where a climb led, and why it ended."""

    point: Point  # the best that was met, as the model has it
    why: Ended
    at_edge: bool  # whether some labels were held back by the box


class Trial(NamedTuple):
    """Where a search along a direction led; None if no step along it climbs, or no more may be tried."""

    point: Point | None
    evaluations: int


def climb(
    model: Model,
    start: Point,
    marginal: Marginal,
    directions: Directions,
    tuning: Tuning,
    *,
    goal: float,
    box: Box | None = None,
) -> Climbed:
    """Ascend until the error is ``goal``.

    Args:
        model: what to ascend on.
        start: a point of it.
        marginal: of the labels in use.
        directions: what is known of F's curvature; learns.
        goal: L1 error to stop at.
        box: that g may not leave.
    """
    box = Box() if box is None else box
    here = best = start
    held = np.zeros(len(start.g), dtype=bool)
    longest = float(np.abs(sinkhorn_step(start, marginal)).max())
    lowest, since_lower = start.error, 0
    directions.begin()
    while True:
        if since_lower >= tuning.step_patience:
            return Climbed(best, Ended.STALLED, bool(held.any()))
        # Where F has kinks a search keeps to the part around it that has none; Sinkhorn's steps know of them.
        smooth = box if marginal.is_exact else box.within(Box(*marginal.orthant(here.g, here.gradient)))
        kind, direction = directions.next(model, here, held, held if smooth is box else smooth.held(here))
        if kind is Kind.SINKHORN:
            trial = _step(model, here, box, direction)
        else:
            trial = _search(model, here, smooth, direction, min(tuning.stride * longest, tuning.widest), tuning)
        if trial.point is None and model.exhausted:
            return Climbed(best, Ended.EXHAUSTED, bool(held.any()))
        if trial.point is None:
            directions.failed(kind, trial.evaluations)
            continue
        longest = max(longest, float(np.abs(trial.point.g - here.g).max()))
        before, here = here, trial.point
        since_lower = 0 if here.error < (1 - tuning.gain) * lowest else since_lower + 1
        lowest = min(lowest, here.error)
        if here.error < best.error or here.objective > best.objective:
            best = here
        if here.error <= goal:
            return Climbed(best, Ended.GOAL, False)
        held = box.held(here)
        if _is_done_inside(here, held, marginal, goal, tuning.enough):
            return Climbed(best, Ended.EDGE, True)
        directions.learn(kind, before, here, trial.evaluations)


def _is_done_inside(point: Point, held: np.ndarray, marginal: Marginal, goal: float, enough: float) -> bool:
    """Whether the labels that are not held are right among themselves.

    What the labels at the edge do not get, all others have too much of: that cannot be mended inside the box.
    """
    outward = float(np.abs(point.gradient[held]).sum())
    if outward == 0:
        return False
    inside = np.where(held, 0.0, point.gradient)
    if marginal.is_exact:  # else labels at a kink give and take
        free = np.where(held, 0.0, marginal.target)
        inside -= inside.sum() / max(free.sum(), np.finfo(float).tiny) * free
    return bool(np.abs(inside).sum() <= max(goal, enough * outward))


def _step(model: Model, point: Point, box: Box, step: np.ndarray) -> Trial:
    """A step that needs no search: Sinkhorn's."""
    if model.exhausted:
        return Trial(None, 0)
    return Trial(model.evaluate(box.cut(point.g + step)), 1)


def _search(model: Model, point: Point, box: Box, direction: np.ndarray, longest: float, tuning: Tuning) -> Trial:
    """A step along ``direction`` that raises F, judged by F where F can tell and by the gradient where it cannot.

    The approximate Wolfe conditions of Hager and Zhang (SIAM J. Optim. 16, 2005): near the optimum differences of F
    drown in rounding, but the slope b.d - c.d keeps its digits.
    """
    length = np.abs(direction).max()
    if not length > 0:
        return Trial(None, 0)
    # Where the plan is saturated y is rounding noise, and the step it suggests can be of any length.
    direction = direction * min(1.0, longest / length)
    noise = tuning.noise * (1 + abs(point.objective))
    step = 1.0
    for tried in range(tuning.backtracks):
        if model.exhausted:
            return Trial(None, tried)
        new = model.evaluate(box.cut(point.g + step * direction))
        moved = new.g - point.g
        slope, new_slope = float(point.gradient @ moved), float(new.gradient @ moved)
        if not slope > 0:
            return Trial(None, tried + 1)
        rise = new.objective - point.objective
        if rise >= tuning.rise * slope or (rise >= -noise and new_slope >= -tuning.flattened * slope):
            return Trial(new, tried + 1)
        # F is concave along the line, so the slopes bracket its maximum: take their secant, kept off the ends.
        fall = slope - new_slope
        step *= float(np.clip(slope / fall, tuning.shortest_cut, tuning.longest_cut)) if fall > 0 else 0.5
    return Trial(None, tuning.backtracks)
