"""Quantile steps (docs/algorithm.md eq. 3b): each potential to where its label is the best of its share of the rows."""

from __future__ import annotations

import numpy as np

from ..backends import Counted
from .counting import DenseScores
from .run import Run


def by_quantiles(run: Run, dense: DenseScores, g: np.ndarray) -> np.ndarray:
    """All potentials (m,) at once, a few times, as long as the unregularised dual rises.

    They are right one at a time only. Where they lead down together, half of a step is tried, and then none.
    """
    tuning, marginal = run.tuning, run.marginal
    reach = float(np.clip(run.scores.depth(g), 1.0, tuning.widest))
    longest = 4 * reach  # few rows were asked
    every = run.scores.rows_apart(tuning.sampled_items)
    sampled = tuning.quantile_steps - tuning.whole_steps if every >= tuning.sampled_least else 0
    highest, before, step, halved = -np.inf, g, np.zeros(len(g)), False
    for count in range(tuning.quantile_steps):
        if count == sampled:
            highest, halved, reach = -np.inf, False, longest / 4  # other rows, another dual
        found = dense.count(g, reach, every if count < sampled else 1)
        dual = marginal.support(g) - found.best
        if not dual >= highest:
            if halved:
                return before
            halved, g = True, marginal.gauged(before + 0.5 * step)
            continue
        highest, before, halved = dual, g, False
        step = quantile_step(found, marginal.lower)
        if not marginal.is_exact:
            step = marginal.change(g, step, quantile_step(found, marginal.upper))
        g = marginal.gauged(g + step)
        reach = float(np.clip(2 * np.abs(step).max(), 1.0, longest))
        misplaced = np.abs(marginal.wanted(before, found.wins) - found.wins).sum()
        if misplaced <= tuning.settled and count >= sampled:
            break
    return g


def quantile_step(found: Counted, target: np.ndarray) -> np.ndarray:
    """What each potential has to change by, the others as they are, for its label to have its ``target`` weight (m,).

    Returns:
        (m,) steps in nats, no longer than the last edge; between two edges the weight is taken as linear.
    """
    up = target > found.wins
    after = np.where(up, found.near, found.wins - found.leads)  # (e, m) weights that the labels have after each edge
    passed = np.where(up, after < target, after > target).sum(axis=0)  # edges that are too short
    label, last = np.arange(len(target)), len(found.edges)
    edges = np.concatenate([[0.0], found.edges, found.edges[-1:]])
    inside, outside = np.concatenate([found.wins[None], after, after[-1:]])[[passed, passed + 1], label]
    part = np.divide(
        target - inside, outside - inside, out=np.zeros(len(target)), where=(passed < last) & (target != inside)
    )
    step = edges[passed] + part * (edges[passed + 1] - edges[passed])
    return np.where(up, step, np.where(target < found.wins, -step, 0.0))
