"""What the caller's shares or bounds ask of the plan, and of the labels that are made of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._input.bounds import feasible
from .._input.problem import Problem, are_equal, of_head
from .._solver.marginal import Marginal
from .capacities import Bounds


class Aim(NamedTuple):
    """Of one head."""

    shares: np.ndarray  # (k,) that were asked for; with bounds some that lie between them
    marginal: Marginal  # of the plan
    bounds: Bounds  # on the labels' items


def aim_of(problem: Problem, head: int, counted: np.ndarray) -> Aim:
    """What the labels of a head are to be.

    Args:
        counted: (n,) bool, the rows of all processes that fill capacity.

    Raises:
        ValueError: no labelling of the scores is like that.
    """
    n, where = int(counted.sum()), of_head(head, len(problem.scores))
    if problem.bounds is None:
        marginal = Marginal.exactly(problem.b[head])
        bounds = Bounds.of_shares(problem.b[head], n)
    else:
        bounds = Bounds(*feasible(*(items[head] for items in problem.bounds), n, where))
        marginal = Marginal.between(bounds.least / n, bounds.most / n)
    shares = marginal.target
    if problem.reach is not None and are_equal(problem.a):
        from .feasible import within_reach  # scipy.optimize's import is paid by those who forbid

        marginal = within_reach(problem.scores[head], marginal, bounds, problem.reach.of(head), counted, where)
    return Aim(shares, marginal, bounds)
