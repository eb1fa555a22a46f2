"""What the caller's shares or bounds ask of the plan, and of the labels that are made of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._input import bounds as _bounds
from .._input.problem import Problem, are_equal
from .._input.reach import of_head
from .._solver.marginal import Marginal
from .capacities import Bounds


class Aim(NamedTuple):
    """Of one head, of k labels, or k+1 with coverage: of the items whose labels are not known."""

    shares: np.ndarray  # (k,) float64, sum to 1, 0 for labels out of use; with bounds some that lie between them
    marginal: Marginal  # of the plan
    bounds: Bounds  # on the labels' items


def aim_of(problem: Problem, head: int, n: int) -> Aim:
    """What the labels of a head are to be.

    Args:
        n: rows of all processes that fill capacity, and have no known label.

    Raises:
        ValueError: no sizes are like that.
    """
    where, held = of_head(head, len(problem.scores)), problem.held
    covered = 1.0 if problem.coverage is None else problem.coverage
    if problem.bounds is None:
        b = problem.b[head]
        bounds = Bounds.of_shares(b, int(held.items.sum()) + covered * n)
    else:
        bounds = Bounds(*(items[head] for items in problem.bounds))
    full = held.items > bounds.most
    if full.any():
        label = int(np.argmax(full))
        raise ValueError(
            f"known gives label {label}{where} {held.items[label]:,} items, but {bounds.most[label]:,} is the most "
            "that it is to have. Give it a larger share or size_max, or make some of them unknown (-1)."
        )
    least, most = np.maximum(bounds.least - held.items, 0), bounds.most - held.items
    if problem.coverage is not None:
        none = Bounds.of_shares(np.array([1 - covered]), n)
        least, most = np.append(least, none.least), np.append(most, none.most)
    if problem.bounds is not None:
        bounds = Bounds(*_bounds.feasible(least, most, n, where))
        marginal = Marginal.between(bounds.least / n, bounds.most / n)
        return Aim(marginal.target, marginal, bounds)
    if problem.known is not None:
        _check_left(least, most, n)
        # In weights, which may differ where labels are the plan's argmax.
        rest = 1 - held.weights.sum()
        b = np.maximum((held.weights.sum() + rest * covered) * b - held.weights, 0.0)
        b = b / b.sum()
    if problem.coverage is not None:
        b = np.append(covered * b, 1 - covered)
    return Aim(b, Marginal.exactly(b), Bounds(least, most))


def _check_left(least: np.ndarray, most: np.ndarray, n: int) -> None:
    """Raise ValueError if n items cannot fill what known labels (k,) leave."""
    if least.sum() > n or most.sum() < n:
        raise ValueError(
            f"known leaves {n:,} items, but to have their shares the labels still need {least.sum():,} at least and "
            f"{most.sum():,} at most. Make some labels unknown (-1), change b, or pass size_min and size_max."
        )


def within_reach(problem: Problem, head: int, aim: Aim, counted: np.ndarray) -> Aim:
    """The same where -inf among the scores leaves a labelling with such sizes, else ValueError.

    Where it leaves no plan with such shares, the nearest take their place. Of shards nothing is known beforehand.
    """
    if problem.reach is None or not are_equal(problem.a):
        return aim
    from . import feasible  # scipy.optimize's import is paid by those who forbid

    scores, where = problem.scores[head], of_head(head, len(problem.scores))
    reach = problem.reach.of(head)
    return aim._replace(marginal=feasible.within_reach(scores, aim.marginal, aim.bounds, reach, counted, where))
