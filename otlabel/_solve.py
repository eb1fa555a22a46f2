"""The only solver loop: k-vectors in float64 on the host, whatever the backend.

It maximises the concave semi-dual F(g) of docs/algorithm.md eq. (2). One evaluation of F and its gradient is one sweep
over the scores, and sweeps are all that costs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ._result import Status, Step
from .backends import Sweep

MEMORY = 30  # L-BFGS pairs; 2*30 vectors of k cost nothing beside a sweep
PATIENCE = 50  # sweeps without a better F or error before the solve is called a plateau
FAR = 1.0  # nats: while some column is further than this from its share, Sinkhorn steps come first
MAX_SINKHORN_START = 8  # but no more than these
EMPTY = 600.0  # nats: a column this far below its share has no gradient to speak of
STRIDE = 10.0  # a trial step may move g by at most this many times the longest step so far
BACKTRACKS = 12


@dataclass(frozen=True)
class Point:
    """A place the solver has swept. Vectors hold the labels in use only."""

    g: np.ndarray
    objective: float
    log_c: np.ndarray  # log column sums, finite even where c underflows
    gradient: np.ndarray  # b - c

    @property
    def error(self) -> float:
        return float(np.abs(self.gradient).sum())


@dataclass(frozen=True)
class Solution:
    """The end of a solve of one head."""

    g: np.ndarray  # (k,) potentials
    error: float
    max_relative_error: float
    history: np.ndarray  # (sweeps, 2)
    status: Status


class _Stop(Exception):
    def __init__(self, status: Status):
        self.status = status


class _Evaluator:
    """Sweeps, counted; keeps the best point and raises _Stop when there is no more reason to go on."""

    def __init__(self, sweep, b, active, tol, max_sweeps, head, callback):
        self.sweep, self.b, self.active, self.tol = sweep, b, active, tol
        self.max_sweeps, self.head, self.callback = max_sweeps, head, callback
        self.history: list[tuple[float, float]] = []
        self.best: Point | None = None
        self.highest = -np.inf
        self.last_progress = 0

    def __call__(self, g: np.ndarray) -> Point:
        g = (
            g - g.mean()
        )  # gauge: the plan does not see a constant. Before the sweep, so that the certificate is g's own
        full = np.full(len(self.active), -np.inf)
        full[self.active] = g
        swept: Sweep = self.sweep(full)
        point = Point(g, float(self.b @ g - swept.logsumexp), swept.log_c[self.active], self.b - swept.c[self.active])
        self._record(point)
        return point

    def _record(self, point: Point) -> None:
        error = point.error
        self.history.append((point.objective, error))
        count = len(self.history)
        noise = 1e-13 * (1 + abs(point.objective))
        # A lower error counts where F is not lower: far out, a rejected trial can have both by accident.
        if (
            self.best is None
            or error <= self.tol
            or (error < self.best.error and point.objective >= self.best.objective - noise)
        ):
            self.best, self.last_progress = point, count
        if not point.objective <= self.highest + noise:
            self.highest, self.last_progress = point.objective, count
        if self.callback is not None:
            self.callback(Step(self.head, count, point.objective, error))
        if error <= self.tol:
            raise _Stop(Status.CONVERGED)
        if count >= self.max_sweeps:
            raise _Stop(Status.SWEEP_LIMIT)
        if count - self.last_progress >= PATIENCE:
            raise _Stop(Status.PLATEAU)


def solve(
    sweep: Callable[[np.ndarray], Sweep],
    b: np.ndarray,
    *,
    init: np.ndarray,
    tol: float,
    max_sweeps: int,
    method: str,
    head: int = 0,
    callback: Callable[[Step], object] | None = None,
) -> Solution:
    """Potentials whose column sums are within ``tol`` of ``b`` in L1.

    Args:
        sweep: g of shape (k,) -> Sweep; g_j = -inf takes label j out of use.
        b: (k,) marginal, sums to 1.
        init: (k,) start; entries of labels not in use are ignored.
        tol, max_sweeps, method, callback: as in ``otlabel.assign``.
        head: passed on to the callback.
    """
    active = b > 0
    b = b[active]
    evaluate = _Evaluator(sweep, b, active, tol, max_sweeps, head, callback)
    try:
        point = evaluate(init[active])
        _METHODS[method](evaluate, point, b)
        raise AssertionError("a solver method returns only by _Stop")
    except _Stop as stop:
        status = stop.status
    best = evaluate.best
    assert best is not None
    g = np.full(len(active), -np.inf)
    g[active] = best.g
    relative = float(np.max(np.abs(np.expm1(best.log_c - np.log(b)))))
    return Solution(g, best.error, relative, np.array(evaluate.history), status)


def _sinkhorn_step(point: Point, b: np.ndarray) -> np.ndarray:
    """docs/algorithm.md eq. (3): the textbook update of g; never decreases F."""
    return np.log(b) - point.log_c


def _sinkhorn(evaluate: _Evaluator, point: Point, b: np.ndarray) -> None:
    while True:
        point = evaluate(point.g + _sinkhorn_step(point, b))


def _lbfgs(evaluate: _Evaluator, point: Point, b: np.ndarray) -> None:
    """L-BFGS in the variable sqrt(b)*g, in which the Hessian's diagonal is near 1 (docs/algorithm.md section 3)."""
    for _ in range(MAX_SINKHORN_START):
        if np.abs(_sinkhorn_step(point, b)).max() <= FAR:
            break
        point = evaluate(point.g + _sinkhorn_step(point, b))
    root = np.sqrt(b)
    longest = np.abs(_sinkhorn_step(point, b)).max()
    pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=MEMORY)
    while True:
        # While a column is (nearly) empty its entry of the gradient says nothing about how far g_j must go: log c does.
        empty = _sinkhorn_step(point, b).max() > EMPTY
        if pairs and not empty:
            direction = _two_loop(pairs, point.gradient / root) / root
            # Where the plan is saturated y is rounding noise, and the step it suggests can be of any length.
            direction *= min(1.0, STRIDE * longest / np.abs(direction).max())
            new = _search(evaluate, point, direction)
        if not pairs or empty or new is None:
            pairs.clear()
            new = evaluate(point.g + _sinkhorn_step(point, b))
        longest = max(longest, np.abs(new.g - point.g).max())
        s, y = (new.g - point.g) * root, (point.gradient - new.gradient) / root
        if s @ y > 1e-14 * np.sqrt((s @ s) * (y @ y)):
            pairs.append((s, y))
        point = new


def _two_loop(pairs: deque[tuple[np.ndarray, np.ndarray]], gradient: np.ndarray) -> np.ndarray:
    """The ascent direction (Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 7.4)."""
    direction = gradient.copy()
    steps = []
    for s, y in reversed(pairs):
        alpha = (s @ direction) / (s @ y)
        direction -= alpha * y
        steps.append(alpha)
    s, y = pairs[-1]
    direction *= (s @ y) / (y @ y)
    for (s, y), alpha in zip(pairs, reversed(steps), strict=True):
        direction += (alpha - (y @ direction) / (s @ y)) * s
    return direction


def _search(evaluate: _Evaluator, point: Point, direction: np.ndarray) -> Point | None:
    """A step along ``direction`` that raises F, judged by F where F can tell and by the gradient where it cannot.

    The approximate Wolfe conditions of Hager and Zhang (SIAM J. Optim. 16, 2005): near the optimum differences of F
    drown in rounding, but the slope b.d - c.d keeps its digits. Returns None if no step was found.
    """
    slope = float(point.gradient @ direction)
    if not slope > 0:
        return None
    step = 1.0
    noise = 1e-13 * (1 + abs(point.objective))
    for _ in range(BACKTRACKS):
        new = evaluate(point.g + step * direction)
        new_slope = float(new.gradient @ direction)
        rise = new.objective - point.objective
        if rise >= 1e-4 * step * slope or (rise >= -noise and new_slope >= -0.8 * slope):
            return new
        # F is concave along the line, so the slopes bracket its maximum: take their secant, kept off the ends.
        fall = slope - new_slope
        step *= float(np.clip(slope / fall, 0.1, 0.7)) if fall > 0 else 0.5
    return None


_METHODS = {"lbfgs": _lbfgs, "sinkhorn": _sinkhorn}
