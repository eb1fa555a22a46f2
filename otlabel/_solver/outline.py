"""The only solver loop: k-vectors in float64 on the host, whatever the backend.

It maximises the concave semi-dual F(g) of docs/algorithm.md eq. (2). Passes over the scores are all that costs, so it
makes few: each one also lists the entries that matter near its g, and the steps in between look at those only
(docs/algorithm.md section 3).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .._result import Status, Step
from ..backends import Kernels, Survey
from .ascent import Pairs, Point, ascend, sinkhorn_step

SMALL = 1 << 15  # entries n*k up to which a survey lists them all
LISTED = 20  # entries of a row are listed by the surveys of a larger problem, about
SAMPLE = 128  # rows that tell which width that is
NARROWEST, WIDEST = 12.0, 500.0  # nats: bounds of the width, by what an entry at its edge still weighs, and can become
MARGIN = 6.0  # nats: g may move by the width less this before the lists are made anew
SHARE = 0.3  # of tol: the error that the steps between two surveys aim for
GAIN = 1e-4  # but no less than this share of the error they began with: the lists know no better
COARSE = 0.1  # when the error has fallen to this share, steps are short: few of the entries listed still matter
NARROW = 5  # entries of a row are then listed, about
THIN = 0.5  # of the entries: where fewer matter, those few are listed by themselves
CROWDED = 18.0  # nats: where the width must be smaller, many labels carry each row and lists are of little use far away
BLUR = 1e-3  # nats: scores that float64 itself rounds by more than this are not worth more than Sinkhorn steps
ROUGH = 1e-4  # L1 error that float32 knows well enough
CERTAIN = 1e-2  # L1 error from which the next survey is better made in float64 at once
BURST = 3  # full sweeps of L-BFGS there
MAX_SINKHORN = 8  # full Sinkhorn steps at most while some column is further from its share than the width
# Surveys without a higher F or a lower error before the solve is called a plateau: Sinkhorn is slow.
PATIENCE = {"lbfgs": 6, "sinkhorn": 50}
FLOOR = 1e-15  # the sums of float64 tell no smaller error
MAX_NEWTON = 4096  # labels up to which a Hessian is worth its memory
PAIRS, CUBES = 8.0, 325.0  # pairs of an entry, and k**3 for each entry, that take as long as to evaluate it


@dataclass(frozen=True)
class Solution:
    """The end of a solve of one head."""

    g: np.ndarray  # (k,) potentials
    error: float
    max_relative_error: float
    n_sweeps: float
    history: np.ndarray  # (surveys, 3): sweeps so far, F, error
    status: Status


def near(tol: float) -> float:
    """The width (nats) for a g whose error is small: what lies beyond it weighs little beside tol."""
    return NARROWEST + 0.5 * float(np.log(1 / min(tol, 1e-3)))


class _Stop(Exception):
    def __init__(self, status: Status):
        self.status = status


class _Solve:
    """One solve: surveys the scores, counts what is looked at, keeps the best point, knows when to stop."""

    def __init__(self, kernels, shape, b, active, tol, max_sweeps, patience, head, callback):
        self.kernels, self.b, self.active, self.tol = kernels, b, active, tol
        self.size, self.rows = shape[0] * shape[1], np.unique(np.linspace(0, shape[0] - 1, SAMPLE).astype(int))
        self.sample_cost = len(self.rows) / shape[0]
        self.max_sweeps, self.patience, self.head, self.callback = max_sweeps, patience, head, callback
        self.history: list[tuple[float, float, float]] = []
        self.sweeps = 0.0
        self.best: Point | None = None
        self.highest = -np.inf
        self.last_progress = 0

    def survey(self, g: np.ndarray, width: float, precise: bool = False) -> Point:
        """F and its gradient at g, gauge mean 0, from every score; with the list of what matters near by."""
        g = g - g.mean()  # before the sweep, so that the certificate is g's own
        precise = precise or (self.best is not None and self.best.error < CERTAIN)
        survey = self.kernels.survey(self._all(g), width, precise)
        self.sweeps += survey.cost
        swept = survey.swept
        objective = float(self.b @ g - swept.logsumexp)
        point = Point(g, objective, swept.log_c[self.active], self.b - swept.c[self.active], None, survey, width)
        rough = survey.rough or width < near(self.tol)  # what is not listed is summed in float32
        if point.error < ROUGH and rough and self.sweeps + 1 <= self.max_sweeps:
            del survey, point
            return self.survey(g, near(self.tol), precise=True)  # float32 is not good enough here
        self._record(point)
        return point

    def blurred(self) -> bool:
        """Whether float64 rounds the scores that matter, not only those that forbid, by more than lists can bear."""
        self.sweeps += self.sample_cost
        best = self.kernels.rows(self.rows)[:, self.active].max(axis=1)
        return bool(2.0**-53 * np.abs(best).max() > BLUR)

    def width(self, g: np.ndarray, listed: float) -> float:
        """The width at which about ``listed`` entries of a row are listed near g."""
        if self.size <= SMALL:
            return WIDEST
        if self.sweeps + 1 + self.sample_cost > self.max_sweeps:
            return near(self.tol)
        x = self.kernels.rows(self.rows)[:, self.active] + g
        self.sweeps += self.sample_cost
        depth = x.max(axis=1, keepdims=True) - x
        return float(np.clip(np.quantile(depth, min(1.0, listed / depth.shape[1]), method="lower"), NARROWEST, WIDEST))

    def model(self, point: Point) -> tuple[Callable[[np.ndarray], Point], Point]:
        """F as the entries listed at ``point`` have it, corrected so that F and its gradient are right there.

        Returns:
            the model, and ``point`` as the model sees it.
        """
        survey = point.survey
        with_hessian = len(self.b) <= MAX_NEWTON and survey.pairs < np.inf
        logsumexp, listed_c = survey.sweep(self._all(point.g))
        self.sweeps += survey.density
        missing = self.b - listed_c[self.active] - point.gradient
        offset = float(self.b @ point.g - logsumexp) - point.objective

        def hessian(g: np.ndarray, c: np.ndarray) -> np.ndarray:
            self.sweeps += survey.density
            h = survey.hessian(self._all(g))
            h = h if self.active.all() else h[np.ix_(self.active, self.active)]
            np.negative(h, out=h)
            h[np.diag_indices(len(h))] += c
            return h

        def at(g: np.ndarray, objective: float, log_c: np.ndarray, c: np.ndarray) -> Point:
            return Point(g, objective, log_c, self.b - c, partial(hessian, g, c) if with_hessian else None)

        def evaluate(g: np.ndarray) -> Point:
            self.sweeps += survey.density
            logsumexp, listed_c = survey.sweep(self._all(g))
            c = listed_c[self.active] + missing
            objective = float(self.b @ g - logsumexp) - offset - float(missing @ (g - point.g))
            # A column that the lists hardly know changes as its own potential does.
            log_c = np.where(c > 1e-12, np.log(np.maximum(c, 1e-12)), point.log_c + g - point.g)
            return at(g, objective, log_c, c)

        return evaluate, at(point.g, point.objective, point.log_c, self.b - point.gradient)

    def climb(self, point: Point, pairs: Pairs, radius: float, goal: float) -> tuple[Point, bool]:
        """Ascend on what was listed at ``point``, and where that is much, on a part of it once the steps are short.

        Returns:
            where that led, as the lists have it, and whether it is at the edge of the box.
        """
        listing = point.survey.listing
        if self.sweeps + listing + 1 > self.max_sweeps:
            return point, False
        self.sweeps += listing
        if self.options(point.survey)["evaluations"] < 1:
            return point, False
        box = point.g - radius, point.g + radius
        model, end = self.model(point)
        options = self.options(point.survey)
        end, at_edge = ascend(model, end, self.b, pairs, box=box, goal=max(goal, COARSE * point.error), **options)
        while end.error > goal and not at_edge and self.options(point.survey)["evaluations"] > 3:
            inside = self.narrowed(point, end)
            if inside is None:
                break
            inner, start = self.model(inside)
            reach = inside.width - MARGIN
            inner_box = np.maximum(box[0], end.g - reach), np.minimum(box[1], end.g + reach)
            trial, at_inner_edge = ascend(
                inner,
                start,
                self.b,
                pairs,
                box=inner_box,
                goal=goal,
                **self.options(inside.survey, point.survey.density),
            )
            trial = model(trial.g)
            better = trial.error < 0.5 * end.error or (at_inner_edge and trial.objective > end.objective)
            if trial.error > goal and not better:
                break
            end = trial
            at_edge = bool(((end.g <= box[0]) | (end.g >= box[1])).any())
        if end.error > goal and not at_edge:
            end, at_edge = ascend(model, end, self.b, pairs, box=box, goal=goal, **self.options(point.survey))
        return end, at_edge

    def narrowed(self, point: Point, end: Point) -> Point | None:
        """``end`` with a list of what matters near it, taken from the list at ``point``; None if that is most of it."""
        width = max(near(self.tol), min(self.width(end.g, NARROW), 0.5 * point.width))
        survey = point.survey.narrowed(self._all(end.g), width)
        self.sweeps += point.survey.density
        if survey.density > THIN * point.survey.density:
            return None
        return Point(end.g, end.objective, end.log_c, end.gradient, None, survey, width)

    def options(self, survey: Survey, spare: float = 0.0) -> dict[str, Any]:
        """Of an ascent on a model: evaluations that leave a sweep, and some to spare, to certify where it leads, ..."""
        left = self.max_sweeps - self.sweeps - 1 - self.sample_cost - spare
        return {
            "evaluations": max(0, int(left / survey.density) - 2),
            "newton_cost": survey.pairs / PAIRS + len(self.b) ** 3 / (CUBES * survey.density * self.size),
        }

    def _all(self, g: np.ndarray) -> np.ndarray:
        full = np.full(len(self.active), -np.inf)
        full[self.active] = g
        return full

    def _record(self, point: Point) -> None:
        self.history.append((self.sweeps, point.objective, point.error))
        count = len(self.history)
        noise = 1e-13 * (1 + abs(point.objective))
        if not point.objective <= self.highest + noise or (self.best and point.error < self.best.error):
            self.last_progress = count
        self.highest = max(self.highest, point.objective)
        # A lower error counts where F is not lower: far out, a rejected trial can have both by accident.
        if (
            self.best is None
            or point.error <= self.tol
            or (point.error < self.best.error and point.objective >= self.best.objective - noise)
        ):
            self.best = dataclasses.replace(point, survey=None)  # lists are long
        if self.callback is not None:
            self.callback(Step(self.head, self.sweeps, point.objective, point.error))
        if point.error <= self.tol:
            raise _Stop(Status.CONVERGED)
        if point.error <= FLOOR:
            raise _Stop(Status.PLATEAU)
        if self.sweeps + 1 > self.max_sweeps:
            raise _Stop(Status.SWEEP_LIMIT)
        if count - self.last_progress >= self.patience:
            raise _Stop(Status.PLATEAU)


def solve(
    kernels: Kernels,
    shape: tuple[int, int],
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
        kernels: of the scores.
        shape: n, k.
        b: (k,) marginal, sums to 1; a label with b_j = 0 is out of use.
        init: (k,) start; entries of labels not in use are ignored.
        tol, max_sweeps, method, callback: as in ``otlabel.assign``.
        head: passed on to the callback.
    """
    active = b > 0
    b = b[active]
    state = _Solve(kernels, shape, b, active, tol, max_sweeps, PATIENCE[method], head, callback)
    if kernels.blur > BLUR and state.blurred():
        method, state.patience = "sinkhorn", PATIENCE["sinkhorn"]
    try:
        _METHODS[method](state, init[active])
        raise AssertionError("a solver method returns only by _Stop")
    except _Stop as stop:
        status = stop.status
    best = state.best
    assert best is not None
    g = np.full(len(active), -np.inf)
    g[active] = best.g
    relative = float(np.max(np.abs(np.expm1(best.log_c - np.log(b)))))
    return Solution(g, best.error, relative, state.sweeps, np.array(state.history), status)


def _sinkhorn(state: _Solve, g: np.ndarray) -> None:
    """The textbook algorithm, docs/algorithm.md eq. (3): a full sweep a step."""
    width = 0.0  # lists are of no use here
    while True:
        point = state.survey(g, width)
        width = near(state.tol) if point.error < 2 * ROUGH else 0.0
        g = point.g + sinkhorn_step(point, state.b)


def _lbfgs(state: _Solve, g: np.ndarray) -> None:
    """A survey, L-BFGS on what it listed, a survey where that led, and so on."""
    b, pairs, reach, sinkhorn_left = state.b, Pairs(state.b), np.inf, MAX_SINKHORN
    point = state.survey(g, state.width(g, LISTED))
    while True:
        step = sinkhorn_step(point, b)
        if sinkhorn_left and np.abs(step).max() > point.width:
            sinkhorn_left -= 1
            point = state.survey(point.g + step, state.width(point.g + step, LISTED))
            continue
        radius = min(point.width - MARGIN, reach)
        goal = max(SHARE * state.tol, GAIN * point.error)
        end, at_edge = state.climb(point, pairs, radius, goal)
        g = end.g if np.any(end.g != point.g) else point.g + step
        width = state.width(g, LISTED)
        new = state.survey(g, width if at_edge else min(width, near(state.tol)))
        if new.objective > point.objective or new.error < point.error:
            crowded = at_edge and width < CROWDED and new.error > 0.3 * point.error
            point, reach = new, np.inf
            if crowded:
                point, _ = ascend(lambda g: state.survey(g, near(state.tol)), point, b, pairs, evaluations=BURST)
        else:
            reach = float(np.abs(new.g - point.g).max()) / 4


_METHODS: dict[str, Callable[[_Solve, np.ndarray], None]] = {"lbfgs": _lbfgs, "sinkhorn": _sinkhorn}
