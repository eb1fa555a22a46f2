"""The only solver loop: k-vectors in float64 on the host, whatever the backend.

It maximises the concave semi-dual F(g) of docs/algorithm.md eq. (2). Passes over the scores are all that costs, so it
makes few: each one also lists the entries that matter near its g, and the steps in between look at those only.
docs/algorithm.md section 3 has this file as pseudo-code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..backends import Kernels
from .dense import by_dense_sweeps, first_look
from .directions import Directions, sinkhorn_step
from .engines import prefers_dense
from .list_model import ListModel
from .marginal import Marginal
from .outcome import Engine, Solution, Step
from .point import Point, Surveyed
from .quantiles import by_quantiles
from .run import Run
from .steps import Box, climb
from .tuning import DEFAULT, Tuning


def solve(
    kernels: Kernels,
    shape: tuple[int, int],
    marginal: Marginal,
    *,
    init: np.ndarray,
    tol: float,
    max_sweeps: int,
    method: str,
    tuning: Tuning = DEFAULT,
    head: int = 0,
    callback: Callable[[Step], object] = lambda step: None,
) -> Solution:
    """Potentials whose column sums are within ``tol`` of the marginal in L1.

    Args:
        kernels: of the scores.
        shape: n, k.
        marginal: of k labels; one whose target is 0 is out of use.
        init: (k,) start; entries of labels not in use are ignored.
        tol, max_sweeps, method, callback: as in ``otlabel.assign``.
        head: passed on to the callback.
    """
    active = marginal.target > 0
    run = Run(kernels, shape, marginal.of(active), active, tol, max_sweeps, tuning, head, callback)
    if method == "lbfgs" and not run.is_blurred():
        engine = _by_cheaper_engine(run, init[active])
    else:
        engine = Engine.SINKHORN
        _by_sinkhorn(run, init[active])
    return run.record.solution(active, run.marginal, engine)


def _by_cheaper_engine(run: Run, g: np.ndarray) -> Engine:
    """Quantile steps first, then dense sweeps or lists; lists too where dense sweeps were not enough."""
    dense, directions = run.dense(), Directions(run.marginal, run.tuning, run.record.tol)
    if dense is None:
        _by_lists(run, g, directions)
        return Engine.LISTS
    first = first_look(run, dense, g)
    if run.record.status is not None:
        return Engine.DENSE
    is_far = first.error > run.tuning.unsettled and run.scores.budget.allows(run.tuning.quantile_steps + 2)
    g = by_quantiles(run, dense, first.g) if is_far else first.g
    if not prefers_dense(lambda: run.depth(g), run.scores.size, run.record.tol, run.tuning):
        _by_lists(run, g, directions, first)
        return Engine.LISTS
    g = by_dense_sweeps(run, dense, first, g, directions)
    if run.record.status is not None:
        return Engine.DENSE
    _by_lists(run, g, directions)
    return Engine.LISTS


def _by_lists(run: Run, g: np.ndarray, directions: Directions, first: Point | None = None) -> None:
    """A survey, steps on what it listed, a survey where that led, and so on. Lists are long: two sets are alive.

    first: the first look, if g is where quantile steps led from there.
    """
    tuning = run.tuning
    reach, sinkhorn_left = np.inf, tuning.most_sinkhorn
    here = run.survey(g, run.width(g, tuning.listed))
    was_led = first is not None and bool(np.any(here.g != first.g))
    if first is not None and was_led and run.record.status is None and not here.improves_on(first):
        here = run.survey(first.g, run.width(first.g, tuning.listed))
    while run.record.status is None:
        step = sinkhorn_step(here, run.marginal)
        if sinkhorn_left and np.abs(step).max() > here.width:
            sinkhorn_left -= 1
            g = here.g + step
            here = run.survey(g, run.width(g, tuning.listed))
            continue
        g, at_edge = _climb_lists(run, here, directions, min(here.width - tuning.margin, reach))
        g = g if np.any(g != here.g) else here.g + step
        width = run.width(g, tuning.listed)
        new = run.survey(g, width if at_edge else min(width, run.near))
        if not new.improves_on(here):
            reach = tuning.retreat * float(np.abs(new.g - here.g).max())
            continue
        is_crowded = at_edge and width < tuning.crowded and new.error > tuning.enough * here.error
        here, reach = new, np.inf
        del new
        if is_crowded and run.record.status is None:
            here = _burst(run, here, directions)


def _climb_lists(run: Run, at: Surveyed, directions: Directions, radius: float) -> tuple[np.ndarray, bool]:
    """Ascend on what was listed, and where that is much, on a part of it once the steps are short.

    Returns:
        g where that led, and whether it is at the edge of the box.
    """
    tuning = run.tuning
    if not run.scores.budget.allows(at.lists.cost_to_list + 1):
        return at.g, False
    at.lists.pay()
    if not at.lists.affords(2):  # what the model begins with, and a step
        return at.g, False
    model = ListModel(at, run.scores, run.marginal, tuning)
    if model.curvature is not None and at.error <= tuning.settled:
        directions.measured(model.curvature)
    goal = max(tuning.enough * run.record.tol, tuning.deepest_goal * at.error)
    box = Box.around(at.g, radius)

    def ascend(model: ListModel, start: Point, box: Box, goal: float) -> tuple[Point, bool]:
        found = climb(model, start, run.marginal, directions, tuning, goal=goal, box=box)
        return found.point, found.at_edge

    end, at_edge = ascend(model, at, box, max(goal, tuning.coarse * at.error))
    # At least a list, its model, a step, and that step on `model`.
    while end.error > goal and not at_edge and at.lists.narrows and model.affords(4):
        width = max(run.near, min(run.width(end.g, tuning.listed_again), 0.5 * at.width))
        inner = model.narrowed(end, width)
        if inner is None:
            break
        if inner.curvature is not None:
            directions.measured(inner.curvature)
        found, at_inner_edge = ascend(inner, end, box.within(Box.around(end.g, width - tuning.margin)), goal)
        trial = model.evaluate(found.g)
        better = trial.error < 0.5 * end.error or (at_inner_edge and trial.objective > end.objective)
        if trial.error > goal and not better:
            break
        end, at_edge = trial, box.touches(trial.g)
    if end.error > goal and not at_edge:
        end, at_edge = ascend(model, end, box, goal)
    return end.g, at_edge


def _burst(run: Run, start: Surveyed, directions: Directions) -> Surveyed:
    """Full sweeps of L-BFGS, a few: where rows are crowded and g has far to go, boxes of lists would hold it up."""
    end = climb(_FullSweeps(run), start, run.marginal, directions, run.tuning, goal=0.0).point
    assert isinstance(end, Surveyed)  # all its points are
    return end


def _by_sinkhorn(run: Run, g: np.ndarray) -> None:
    """The textbook algorithm, docs/algorithm.md eq. (3): a full sweep a step."""
    run.record.patience = run.tuning.sinkhorn_patience
    here = run.survey(g, 0.0)
    while run.record.status is None:
        # Lists are of no use here, but that what is listed is summed in float64: just before that is needed.
        width = run.near if here.error < 2 * run.tuning.rough else 0.0
        here = run.survey(here.g + sinkhorn_step(here, run.marginal), width)


class _FullSweeps:
    """All scores as a model to climb on: a few sweeps."""

    newton_cost = np.inf

    def __init__(self, run: Run):
        self._run, self._left = run, run.tuning.burst

    @property
    def exhausted(self) -> bool:
        return self._left == 0 or self._run.record.status is not None

    def evaluate(self, g: np.ndarray) -> Surveyed:
        self._left -= 1
        return self._run.survey(g, self._run.near)

    def hessian(self, point: Point) -> np.ndarray:
        raise NotImplementedError("newton_cost is infinite")
