"""L-BFGS ascent on a concave function of k potentials, inside a box around where it starts.

In the variable sqrt(b)*g, in which the Hessian's diagonal is near 1 (docs/algorithm.md section 3). The curvature
gathered is kept by the caller and serves the next ascent, on lists made at another point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MEMORY = 80  # pairs; 160 vectors of k cost little beside a sweep, and half as many need more of them
FAR = 1.0  # nats: while some column is further than this from its share, Sinkhorn steps come first
MAX_SINKHORN = 8  # but no more than these
EMPTY = 600.0  # nats: a column this far below its share has no gradient to speak of
STRIDE = 10.0  # a trial step may move g by at most this many times the longest step so far
BACKTRACKS = 12
DAMPING = 1e-9  # of the Hessian's diagonal
EDGE = 0.3  # a climb ends when the error that is left inside the box is this share of that at its edge
CLOSE = 1e-2  # L1 error from which on Newton's step is better than L-BFGS's, where a Hessian can be had
PATIENCE = 30  # steps that do not lower the error by a tenth


@dataclass(frozen=True)
class Point:
    """A place where F was evaluated. Vectors hold the labels in use only."""

    g: np.ndarray
    objective: float
    log_c: np.ndarray  # log column sums, finite even where c underflows
    gradient: np.ndarray  # b - c
    hessian: Callable[[], np.ndarray] | None = None  # of -F, lower triangle, where it costs no more than some sweeps
    survey: Any = None  # what listed the entries there, if the scores were surveyed
    width: float = 0.0  # nats: of that list

    @property
    def error(self) -> float:
        return float(np.abs(self.gradient).sum())


class Pairs:
    """The last MEMORY steps s and changes y of the gradient: an approximate inverse Hessian."""

    def __init__(self, b: np.ndarray):
        self.root = np.sqrt(b)
        self.sinkhorn_left = MAX_SINKHORN
        self._s, self._y = np.empty((MEMORY, len(b))), np.empty((MEMORY, len(b)))
        self._sy, self._yy = np.empty((MEMORY, MEMORY)), np.empty((MEMORY, MEMORY))
        self.clear()

    def clear(self) -> None:
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def add(self, old: Point, new: Point) -> None:
        """Learn from a step, unless rounding error is all there is to learn."""
        s, y = (new.g - old.g) * self.root, (old.gradient - new.gradient) / self.root
        sy = s @ y
        if not sy > 1e-14 * np.sqrt((s @ s) * (y @ y)):
            return
        if self.count == MEMORY:
            for vectors in (self._s, self._y):
                vectors[:-1] = vectors[1:]
            for products in (self._sy, self._yy):
                products[:-1, :-1] = products[1:, 1:]
            self.count -= 1
        last = self.count
        self.count += 1
        self._s[last], self._y[last] = s, y
        older = slice(0, self.count)
        self._sy[older, last] = self._s[older] @ y  # the upper triangle: what came before times what came after
        self._yy[older, last] = self._yy[last, older] = self._y[older] @ y

    def direction(self, gradient: np.ndarray) -> np.ndarray:
        """The ascent direction, in g: the compact form of L-BFGS (Byrd, Nocedal, Schnabel 1994, eq. 3.13)."""
        from scipy.linalg.lapack import dtrtrs  # 0.2 s that a mere import of otlabel does not pay

        m = self.count
        s, y, upper, yy = self._s[:m], self._y[:m], self._sy[:m, :m], self._yy[:m, :m]
        v = gradient / self.root
        gamma = upper[-1, -1] / yy[-1, -1]
        u, _ = dtrtrs(upper, s @ v)
        inner = np.diag(upper) * u + gamma * (yy @ u - y @ v)
        w, _ = dtrtrs(upper, inner, trans=1)
        return (gamma * v + w @ s - gamma * (u @ y)) / self.root


def sinkhorn_step(point: Point, b: np.ndarray) -> np.ndarray:
    """docs/algorithm.md eq. (3): the textbook update of g; never decreases F."""
    return np.log(b) - point.log_c


def ascend(
    evaluate: Callable[[np.ndarray], Point],
    start: Point,
    b: np.ndarray,
    pairs: Pairs,
    *,
    box: tuple[np.ndarray, np.ndarray] | None = None,
    goal: float = 0.0,
    evaluations: int,
    newton_cost: float = 0.0,
) -> tuple[Point, bool]:
    """Climb from ``start`` until the error is ``goal``.

    Args:
        evaluate: g -> Point.
        start: already evaluated, by the same function.
        b: (m,) marginal of the labels in use.
        pairs: curvature so far; added to.
        box: least and largest g, if it is bounded.
        goal: L1 error to stop at.
        evaluations: at most.
        newton_cost: of Newton's direction, in evaluations.

    Returns:
        The point reached, and whether that was at the edge of the box.
    """
    climb = _Climb(evaluate, start, b, box, goal, evaluations, newton_cost)
    try:
        for _ in range(pairs.sinkhorn_left):
            if np.abs(sinkhorn_step(climb.point, b)).max() <= FAR:
                break
            pairs.sinkhorn_left -= 1
            climb.to(climb.at(climb.point.g + sinkhorn_step(climb.point, b)))
        while True:
            old = climb.point
            _step(climb, pairs, b)
            pairs.add(old, climb.point)
    except _Arrived as arrived:
        return climb.best, arrived.args[0]


class _Arrived(Exception):
    """With whether it was at the edge."""


class _Climb:
    """Where an ascent is, how far it may go, and the best it has seen."""

    def __init__(self, evaluate, start, b, box, goal, evaluations, newton_cost):
        self.evaluate, self.b, self.goal, self.left = evaluate, b, goal, evaluations
        self.lower: np.ndarray | float
        self.upper: np.ndarray | float
        self.lower, self.upper = (-np.inf, np.inf) if box is None else box
        self.point = self.best = start
        self.held = np.zeros(len(start.g), dtype=bool)  # labels at the edge of the box that would leave it
        self.longest = float(np.abs(sinkhorn_step(start, b)).max())
        self.since_better, self.lowest = 0, start.error
        self.newton_cost, self.saved = newton_cost, 0.0  # evaluations since Newton last disappointed

    def at(self, g: np.ndarray) -> Point:
        """Evaluate a trial, cut to the box."""
        if self.left < 1 or self.since_better >= PATIENCE:
            raise _Arrived(bool(self.held.any()))
        self.left -= 1
        self.saved += 1
        return self.evaluate(np.clip(g, self.lower, self.upper))

    def to(self, new: Point) -> None:
        """Go to a trial; stop there if it is as good as the goal, or as good as the box allows."""
        self.longest = max(self.longest, float(np.abs(new.g - self.point.g).max()))
        self.point = new
        self.since_better = 0 if new.error < 0.9 * self.lowest else self.since_better + 1
        self.lowest = min(self.lowest, new.error)
        if new.error < self.best.error or new.objective > self.best.objective:
            self.best = new
        if new.error <= self.goal:
            raise _Arrived(False)
        self.held = np.where(new.gradient > 0, new.g >= self.upper, new.g <= self.lower)
        outward = float(np.abs(new.gradient[self.held]).sum())
        if outward > 0:
            # What the labels at the edge do not get, all others have too much of: that cannot be mended here.
            free = np.where(self.held, 0.0, self.b)
            inside = np.where(self.held, 0.0, new.gradient)
            inside -= inside.sum() / max(free.sum(), 1e-300) * free
            if np.abs(inside).sum() <= max(self.goal, EDGE * outward):
                raise _Arrived(True)


def _step(climb: _Climb, pairs: Pairs, b: np.ndarray) -> None:
    """One L-BFGS step; Sinkhorn's where there is none."""
    point = climb.point
    # While a column is (nearly) empty its entry of the gradient says nothing about how far g_j must go: log c does.
    direction, newton = None, False
    if sinkhorn_step(point, b).max() <= EMPTY:
        if climb.saved >= climb.newton_cost and not climb.held.any():
            direction = _newton(point, b)
            newton = direction is not None
            if not newton and _has_newton(point):
                climb.saved = 0.0
        if direction is None and len(pairs):
            direction = np.where(climb.held, 0.0, pairs.direction(np.where(climb.held, 0.0, point.gradient)))
    if direction is not None:
        # Where the plan is saturated y is rounding noise, and the step it suggests can be of any length.
        longest = np.abs(direction).max()
        if longest > 0:
            new = _search(climb, direction * min(1.0, STRIDE * climb.longest / longest))
            if newton and (new is None or new.error > 0.5 * point.error):
                climb.saved = 0.0
            if new is not None:
                climb.to(new)
                return
    pairs.clear()
    climb.to(climb.at(point.g + sinkhorn_step(point, b)))


def _has_newton(point: Point) -> bool:
    return point.hessian is not None and point.error <= CLOSE


def _newton(point: Point, b: np.ndarray) -> np.ndarray | None:
    """Newton's direction, damped; None where there is no Hessian, or it is not positive definite."""
    if not _has_newton(point):
        return None
    from scipy.linalg import cho_factor, cho_solve

    assert point.hessian is not None
    h = point.hessian()
    # Along constant g, which changes nothing, F is flat: this makes it curved there, and only there.
    h += np.outer(b, b)
    # Groups of labels that share hardly an item make it singular to rounding.
    h[np.diag_indices(len(b))] += DAMPING * b
    try:
        return cho_solve(cho_factor(h, lower=True, overwrite_a=True, check_finite=False), point.gradient)
    except np.linalg.LinAlgError:
        return None


def _search(climb: _Climb, direction: np.ndarray) -> Point | None:
    """A step along ``direction`` that raises F, judged by F where F can tell and by the gradient where it cannot.

    The approximate Wolfe conditions of Hager and Zhang (SIAM J. Optim. 16, 2005): near the optimum differences of F
    drown in rounding, but the slope b.d - c.d keeps its digits. Returns None if no step was found.
    """
    point = climb.point
    step = 1.0
    noise = 1e-13 * (1 + abs(point.objective))
    for _ in range(BACKTRACKS):
        new = climb.at(point.g + step * direction)
        moved = new.g - point.g
        slope, new_slope = float(point.gradient @ moved), float(new.gradient @ moved)
        if not slope > 0:
            return None
        rise = new.objective - point.objective
        if rise >= 1e-4 * slope or (rise >= -noise and new_slope >= -0.8 * slope):
            return new
        # F is concave along the line, so the slopes bracket its maximum: take their secant, kept off the ends.
        fall = slope - new_slope
        step *= float(np.clip(slope / fall, 0.1, 0.7)) if fall > 0 else 0.5
    return None
