"""Balanced labels of items that do not weigh the same: sums of weights within one largest weight of their shares.

Where every item may be split, the best plan is a linear program, of which nearly all is known at cold potentials: items
whose best label has a lead have it. The program for the rest has few variables, and a corner of it splits fewer items
than there are labels. Those are put together so that no label gains or loses more than the heaviest of them (Shmoys and
Tardos, Math. Program. 62, 1993).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from .._solver.tuning import Tuning
from ..backends import Kernels, Shortlist
from .tight import best_of, fill, scores_of

_NEARLY = (1e-6, 1e-4, 1e-2, 0.1)  # nats
_PROGRAMS = 5  # at most
_AS_GOOD = 1e-6  # nats an item: what is proved to that needs no more proof
_WHOLE = 1e-9  # of an item: fractions of a corner that differ by less from 0 or 1 are that


class Plan(NamedTuple):
    """The best plan there is if items may be split."""

    labels: np.ndarray  # (n,) int64, of items that are not split
    split: csr_array  # (items, k) fractions of those that are
    items: np.ndarray  # (items,) which those are
    g: np.ndarray  # (k,) optimal potentials


def balance(
    kernels: Kernels, g: np.ndarray, shares: np.ndarray, weights: np.ndarray, width: float, tuning: Tuning
) -> tuple[np.ndarray, float]:
    """Labels from cold potentials.

    Args:
        kernels: of the scores, n x k.
        g: (k,) potentials at which labels by argmax are nearly balanced; -inf for labels not in use.
        shares: (k,) of the weight.
        weights: (n,), sum to 1; 0 for items that do not count.
        width: nats below an item's best within which labels are worth a look.

    Returns:
        (n,) int64, and the gap in nats an item of mean weight: what the labels score less than the best plan of split
        items. As their sums of weights are not the shares, they may score more.

    Raises:
        ValueError: -inf among the scores leaves no plan with these shares.
    """
    width = min(width, tuning.near_tie)
    short = kernels.shortlist(g, width)
    while short.indptr[-1] - len(short.best) > tuning.weighted_ties * len(g) and width > tuning.nearest_tie:
        width = max(tuning.nearest_tie, width / 4)
        short = kernels.shortlist(g, width)
    while True:
        plan = _best_plan(short, g, shares, weights, max(tuning.weighted_ties * len(g), tuning.weighted_least))
        if plan is not None and (best := _missed(kernels, short, plan.g, weights)) is not None:
            break
        if width == np.inf:
            raise ValueError(
                "the shares asked for cannot be met: too much weight is allowed too few labels by the -inf in logits. "
                "Allow more, change b, or use rounding='argmax'."
            )
        width = 4 * width if width < tuning.widest_tie else np.inf
        short = kernels.shortlist(g, width)
    labels = plan.labels.copy()
    if len(plan.items):
        labels[plan.items] = put_together(plan.split, weights[plan.items])
    used = shares > 0
    bound = best - float(shares[used] @ plan.g[used])
    return labels, bound - float(weights @ scores_of(short, labels))


def _missed(kernels: Kernels, short: Shortlist, g: np.ndarray, weights: np.ndarray) -> float | None:
    """sum_i a_i max_j(S_ij/epsilon + g_j); None if some row has its best label at g where the list does not show it."""
    best = kernels.shortlist(g, 0.0).best
    x = short.value + g[short.label]
    listed = np.maximum.reduceat(x, short.indptr[:-1])
    slack = 1e-9 * (1 + np.abs(short.value).max() + np.abs(g[np.isfinite(g)]).max())
    return float(weights @ best) if (best - listed)[weights > 0].max() <= slack else None


def _best_plan(short: Shortlist, g: np.ndarray, shares: np.ndarray, weights: np.ndarray, most: int) -> Plan | None:
    """What is best of the listed labels; None if they leave no plan.

    Ties go where room is, heavy items first; then items are opened to the linear program, those nearest to another
    label first, until it finds a plan and no other item would do better at its potentials.

    Args:
        most: entries that a program begins with.
    """
    counts = np.diff(short.indptr)
    labels = _filled(short, g, shares, weights, most)
    may_move = np.flatnonzero((counts > 1) & (weights > 0))
    may_move = _in_turns(labels, may_move, _next_best(short, g, labels))
    ends = np.cumsum(counts[may_move])
    opened, allowed, best = np.zeros(len(counts), dtype=bool), most, None
    for _ in range(_PROGRAMS):
        opened[may_move[ends <= allowed]] = True
        plan = _linear_program(short, g, shares, weights, labels, opened)
        if plan is None:
            if not len(ends) or allowed >= ends[-1]:
                break
            allowed *= 4
            continue
        # Where much is tied, potentials of a program are arbitrary: those that it began with may prove more.
        best = min((plan, plan._replace(g=g)), key=lambda one: _worse(short, one, weights))
        leads = _next_best(short, plan.g, plan.labels)
        is_better = leads < -1e-9 * (1 + np.abs(plan.g[shares > 0]).max())
        better = may_move[(is_better & ~opened)[may_move]]
        if not len(better) or _worse(short, best, weights) <= _AS_GOOD:
            break
        worst_first = better[np.argsort(leads[better], kind="stable")]
        opened[worst_first[np.cumsum(counts[worst_first]) <= most]] = True
    return best


def _in_turns(labels: np.ndarray, items: np.ndarray, regrets: np.ndarray) -> np.ndarray:
    """Items, one of each label after the other, so that any label can give; of a label's the cheapest to move first."""
    mixed = np.random.default_rng(0).permutation(len(items))
    order = items[np.lexsort((mixed, regrets[items], labels[items]))]
    of_order = labels[order]
    starts = np.flatnonzero(np.diff(of_order, prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return order[np.lexsort((regrets[order], rank))]


def _worse(short: Shortlist, plan: Plan, weights: np.ndarray) -> float:
    """Nats that a plan's items lie below their best listed labels at its potentials: what is not proved of it."""
    row = np.repeat(np.arange(len(weights)), np.diff(short.indptr))
    x = short.value + plan.g[short.label]
    x = np.where(np.isfinite(x), x, -np.inf)
    top = np.maximum.reduceat(x, short.indptr[:-1])
    own = np.where(short.label == plan.labels[row], x, -np.inf)
    has = np.maximum.reduceat(own, short.indptr[:-1])
    if len(plan.items):
        place = np.full(len(weights), -1)
        place[plan.items] = np.arange(len(plan.items))
        of = place[row]
        part = np.zeros(len(row))
        inside = of >= 0
        part[inside] = plan.split.toarray()[of[inside], short.label[inside]]
        shared = np.bincount(
            row[inside], weights=np.where(part[inside] > 0, part[inside] * x[inside], 0.0), minlength=len(weights)
        )
        has[plan.items] = shared[plan.items]
    return float(weights @ (top - has))


def _filled(short: Shortlist, g: np.ndarray, shares: np.ndarray, weights: np.ndarray, most: int) -> np.ndarray:
    """(n,) labels: of those that are as good as a row's best the one with most room; heavy rows first.

    As good is what is exactly so; but where that leaves more to mend than a program can, what is nearly so too.
    """
    labels, order = best_of(short, g), np.argsort(-weights, kind="stable")
    rounding = 1e-12 * (1 + np.abs(short.value).max() + np.abs(g[np.isfinite(g)]).max())
    each = weights[weights > 0].mean()
    entries = short.indptr[-1] / len(labels)
    for slack in (rounding, *_NEARLY):
        fill(short, g, weights, shares.copy(), labels, order, slack)
        has = np.bincount(labels, weights=weights, minlength=len(g))
        if np.maximum(has - shares, 0).sum() / each < most / entries / 4:
            break
    return labels


def _next_best(short: Shortlist, g: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) nats that each row's label lies above its best other one; negative where another is better."""
    counts = np.diff(short.indptr)
    row = np.repeat(np.arange(len(counts)), counts)
    x = short.value + g[short.label]
    is_own = short.label == labels[row]
    own, other = (np.maximum.reduceat(np.where(which, x, -np.inf), short.indptr[:-1]) for which in (is_own, ~is_own))
    return own - other


def _linear_program(
    short: Shortlist, g: np.ndarray, shares: np.ndarray, weights: np.ndarray, labels: np.ndarray, opened: np.ndarray
) -> Plan | None:
    """The best plan in which items that are not ``opened`` (n,) keep their labels (n,); None if there is none."""
    n, k = len(weights), len(g)
    row = np.repeat(np.arange(n), np.diff(short.indptr))
    entries = np.flatnonzero(opened[row])
    items, of_item = np.unique(row[entries], return_inverse=True)
    e, label, w = len(entries), short.label[entries], weights[row[entries]] / weights.max()
    left = (shares - np.bincount(labels[~opened], weights=weights[~opened], minlength=k)) / weights.max()
    used = np.flatnonzero(shares > 0)
    place = np.full(k, -1)
    place[used] = np.arange(len(used))
    over = np.arange(len(used))
    regrets = short.best[row[entries]] - short.value[entries] - g[label]  # at g, not negative
    unit = float(regrets.max(initial=0.0)) or 1.0  # what the solver calls a number of usual size
    ones = np.ones(len(used))
    found = linprog(
        # What no listed label can mend costs more than any way of mending: it shows by what is left over.
        np.concatenate([w * regrets / unit, np.full(2 * len(used), 4.0 + len(used))]),
        A_eq=coo_array(
            (
                np.concatenate([np.ones(e), w, ones, -ones]),
                (
                    np.concatenate([of_item, len(items) + place[label], len(items) + over, len(items) + over]),
                    np.concatenate([np.arange(e), np.arange(e), e + over, e + len(used) + over]),
                ),
            ),
            shape=(len(items) + len(used), e + 2 * len(used)),
        ).tocsr(),
        b_eq=np.concatenate([np.ones(len(items)), left[used]]),
        method="highs-ds",
    )
    if found.x is None or found.x[e:].sum() > 1e-6:
        return None
    better = np.full(k, -np.inf)
    better[used] = g[used] + unit * found.eqlin.marginals[len(items) :]
    x = np.clip(found.x[:e], 0.0, 1.0)
    x[x < _WHOLE] = 0.0
    is_whole = x > 1 - _WHOLE
    settled = labels.copy()
    settled[items[of_item[is_whole]]] = label[is_whole]
    whole = np.zeros(len(items), dtype=bool)
    whole[of_item[is_whole]] = True
    part = ~whole[of_item] & (x > 0)
    number = np.cumsum(~whole) - 1
    fractions = csr_array((x[part], (number[of_item[part]], label[part])), shape=(int((~whole).sum()), k))
    return Plan(settled, fractions, items[~whole], better)


def put_together(split: csr_array, weights: np.ndarray) -> np.ndarray:
    """Labels (m,) of items whose fractions are given, so that no label's weight changes by more than the largest.

    Each label's fractions, the heaviest item first, fill slots of 1, the last of them in part; an item belongs to each
    slot that it has a part of. Every item into one of its slots, every full slot with one item: such a matching exists,
    for the fractions are one. A slot's item is no lighter than those of the next, which bounds what changes.

    Args:
        split: (m, k), rows sum to 1.
        weights: (m,).
    """
    by_label = split.tocsc()
    rows: list[int] = []
    slots: list[int] = []
    owners: list[int] = []
    is_full: list[bool] = []
    for label in range(split.shape[1]):
        entries = slice(by_label.indptr[label], by_label.indptr[label + 1])
        items, parts = by_label.indices[entries], by_label.data[entries]
        order = np.argsort(-weights[items], kind="stable")
        ends = np.cumsum(parts[order])
        for item, end, part in zip(items[order], ends, parts[order], strict=True):
            first, last = int(end - part + _WHOLE), max(int(np.ceil(end - _WHOLE)) - 1, int(end - part + _WHOLE))
            for slot in range(first, last + 1):
                rows.append(item)
                slots.append(len(owners) + slot)
        count = int(np.ceil(ends[-1] - _WHOLE)) if len(ends) else 0
        owners += [label] * count
        is_full += [slot + 1 <= ends[-1] + _WHOLE for slot in range(count)]
    cost = np.where(np.array(is_full)[slots], 1.0, 2.0)  # full slots first: all of them, since that is possible
    graph = csr_array((cost, (rows, slots)), shape=(split.shape[0], len(owners)))
    item, slot = min_weight_full_bipartite_matching(graph)
    labels = np.empty(split.shape[0], dtype=np.int64)
    labels[item] = np.array(owners)[slot]
    return labels
