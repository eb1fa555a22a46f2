"""What the caller's shares or bounds ask of the plan, and of the labels that are made of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._input.bounds import feasible, without_needless_choice
from .._input.known import Held
from .._input.problem import Problem, are_equal
from .._input.reach import of_head
from .._solver.marginal import Marginal
from .capacities import Bounds


class Aim(NamedTuple):
    """Of one head, of k labels, or k+1 with coverage: of the items whose labels are not known."""

    shares: np.ndarray  # (k,) float64, sum to 1, 0 for labels out of use; with bounds some that lie between them
    marginal: Marginal  # of the plan
    bounds: Bounds  # on the labels' items


def aim_of(problem: Problem, head: int, weights: np.ndarray) -> Aim:
    """What the labels of a head are to be.

    Args:
        weights: (n,) of the rows of all processes, which sum to 1; 0 for those that have a known label or do not count.

    Raises:
        ValueError: no sizes are like that.
    """
    where, held, n = of_head(head, len(problem.scores)), problem.held, int((weights > 0).sum())
    covered = 1.0 if problem.coverage is None else problem.coverage
    none = Bounds.of_shares(np.array([1 - covered]), n)  # items without a label
    if problem.bounds is None:
        b = _left_over(problem.b[head], held, covered)
        least, most = Bounds.of_shares(b, covered * n)
        if problem.known is not None and _weigh_alike(held, weights):
            least, most = _of_counts(problem.b[head], held, n, covered, none)
        elif problem.known is not None:
            _check_weights(problem.b[head], held, weights)
        if problem.coverage is not None:
            b = np.append(covered * b, 1 - covered)
            least, most = np.append(least, none.least), np.append(most, none.most)
        return Aim(b, Marginal.exactly(b), Bounds(least, most))
    least, most = (items[head] for items in problem.bounds)
    _check_room(held, most, "size_max")
    least, most = np.maximum(least - held.items, 0), most - held.items
    feasible(least, most, (n - int(none.most[0]), n - int(none.least[0])), where)
    if problem.coverage is not None:
        least, most = np.append(least, none.least), np.append(most, none.most)
    bounds = Bounds(*without_needless_choice(least, most, n))
    marginal = Marginal.between(bounds.least / n, bounds.most / n)
    return Aim(marginal.target, marginal, bounds)


def _left_over(b: np.ndarray, held: Held, covered: float) -> np.ndarray:
    """Shares (k,) of what is labelled of the unknown items, so that with the known ones all are b, or nearly."""
    if not held.weights.any():
        return b
    known = held.weights.sum()
    wanted = np.maximum((known + (1 - known) * covered) * b - held.weights, 0.0)
    return wanted / wanted.sum()


def _weigh_alike(held: Held, weights: np.ndarray) -> bool:
    """Whether all items weigh the same, those of known labels too."""
    each = (1 - held.weights.sum()) / (weights > 0).sum()
    return are_equal(weights) and bool(np.abs(held.weights - held.items * each).max() <= 1e-9)


def _check_weights(b: np.ndarray, held: Held, weights: np.ndarray) -> None:
    """Raise ValueError if a label's known items weigh more than its share (k,) and one largest weight."""
    largest = float(weights.max()) * (1 - held.weights.sum())
    over = (held.weights > b + largest) | ((b == 0) & (held.items > 0))
    if over.any():
        label = int(np.argmax(over))
        raise ValueError(
            f"known gives label {label} a weight of {held.weights[label]:.3g}, but its share is {b[label]:.3g}. Give "
            "it a larger share, or make some of them unknown (-1)."
        )


def _of_counts(b: np.ndarray, held: Held, n: int, covered: float, none: Bounds) -> Bounds:
    """What is left for n unknown items, of which ``none`` get no label, of floor and ceiling of all that have one."""
    bounds = Bounds.of_shares(b, int(held.items.sum()) + covered * n)
    _check_room(held, bounds.most, "share")
    least, most = np.maximum(bounds.least - held.items, 0), bounds.most - held.items
    if least.sum() > n - none.least[0] or most.sum() < n - none.most[0]:
        raise ValueError(
            f"known leaves {n:,} items, but to have their shares the labels still need {least.sum():,} at least and "
            f"{most.sum():,} at most. Make some labels unknown (-1), change b, or pass size_min and size_max."
        )
    return Bounds(least, most)


def _check_room(held: Held, most: np.ndarray, what: str) -> None:
    """Raise ValueError if some label has more known items than it is to have at all."""
    full = held.items > most
    if full.any():
        label = int(np.argmax(full))
        raise ValueError(
            f"known gives label {label} {held.items[label]:,} items, but {most[label]:,} is the most that it is to "
            f"have. Give it a larger {what}, or make some of them unknown (-1)."
        )


def without_lost(aim: Aim, lost: np.ndarray, where: str) -> Aim:
    """The same without labels (k,) that no item may have: out of use, as far as they need none.

    Raises:
        ValueError: one of them is to have items.
    """
    if not lost.any():
        return aim
    if (aim.bounds.least[lost] > 0).any():
        label = int(np.flatnonzero(lost & (aim.bounds.least > 0))[0])
        raise ValueError(
            f"every label that is to have items needs one that may have it, but label {label}{where} is forbidden to "
            f"all. Allow it to some, or take it out of use: b[{label}], or its size_min and size_max, are 0 then."
        )
    bounds = Bounds(aim.bounds.least, np.where(lost, 0, aim.bounds.most))
    if aim.marginal.is_exact:
        b = np.where(lost, 0.0, aim.shares)
        return Aim(b / b.sum(), Marginal.exactly(b / b.sum()), bounds)
    upper = np.where(lost, 0.0, aim.marginal.upper)
    if upper.sum() < 1:
        raise ValueError(
            f"the sizes asked for cannot be met{where}: without labels that are forbidden to all the others may not "
            "have all items. Allow more, or raise size_max."
        )
    marginal = Marginal.between(np.minimum(aim.marginal.lower, upper), upper)
    return Aim(marginal.target, marginal, bounds)


def within_reach(problem: Problem, head: int, aim: Aim, counted: np.ndarray) -> Aim:
    """The same where -inf among the scores leaves a labelling with such sizes, else ValueError.

    Where it leaves no plan with such shares, the nearest take their place. Of shards nothing is known beforehand.
    """
    if problem.reach is None or not are_equal(problem.free):
        return aim
    from . import feasible  # scipy.optimize's import is paid by those who forbid

    scores, where = problem.scores[head], of_head(head, len(problem.scores))
    reach = problem.reach.of(head)
    return aim._replace(marginal=feasible.within_reach(scores, aim.marginal, aim.bounds, reach, counted, where))
