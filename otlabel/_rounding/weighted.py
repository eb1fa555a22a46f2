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
from .tight import best_of, scores_of

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
    """
    width = min(width, tuning.near_tie)
    short = kernels.shortlist(g, width)
    while short.indptr[-1] - len(short.best) > tuning.weighted_ties * len(g) and width > tuning.nearest_tie:
        width = max(tuning.nearest_tie, width / 4)
        short = kernels.shortlist(g, width)
    while True:
        plan = _best_plan(short, g, shares, weights, width)
        if plan is not None and (gap := _missed(kernels, short, plan.g, weights)) is not None:
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
    bound = gap - float(shares[used] @ plan.g[used])
    return labels, bound - float(weights @ scores_of(short, labels))


def _missed(kernels: Kernels, short: Shortlist, g: np.ndarray, weights: np.ndarray) -> float | None:
    """sum_i a_i max_j(S_ij/epsilon + g_j); None if some row has its best label at g where the list does not show it."""
    best = kernels.shortlist(g, 0.0).best
    x = short.value + g[short.label]
    listed = np.maximum.reduceat(x, short.indptr[:-1])
    slack = 1e-9 * (1 + np.abs(short.value).max() + np.abs(g[np.isfinite(g)]).max())
    return float(weights @ best) if (best - listed)[weights > 0].max() <= slack else None


def _best_plan(short: Shortlist, g: np.ndarray, shares: np.ndarray, weights: np.ndarray, width: float) -> Plan | None:
    """What is best of the listed labels; None if they leave no plan, or something not listed might be better."""
    n, k, counts = len(short.best), len(g), np.diff(short.indptr)
    row = np.repeat(np.arange(n), counts)
    reduced = short.best[row] - short.value - g[short.label]  # regrets at g, not negative
    labels = best_of(short, g)
    open_rows = (counts > 1) & (weights > 0)
    left = shares - np.bincount(labels[~open_rows], weights=weights[~open_rows], minlength=k)
    entries = np.flatnonzero(open_rows[row])
    items, of_item = np.unique(row[entries], return_inverse=True)
    e, label, w = len(entries), short.label[entries], weights[row[entries]]
    scale = 1 / max(float(weights.max()), np.finfo(float).tiny)
    used = np.flatnonzero(shares > 0)
    place = np.full(k, -1)
    place[used] = np.arange(len(used))
    # What no listed label can mend costs more than any regret: it is found out by what is left over.
    penalty = min(width, 1e3 * (1 + float(reduced.max(initial=0.0)))) * 4
    over = np.arange(len(used))
    found = linprog(
        np.concatenate([scale * w * reduced[entries], np.full(2 * len(used), penalty)]),
        A_eq=coo_array(
            (
                np.concatenate([np.ones(e), scale * w, np.ones(len(used)), -np.ones(len(used))]),
                (
                    np.concatenate([of_item, len(items) + place[label], len(items) + over, len(items) + over]),
                    np.concatenate([np.arange(e), np.arange(e), e + over, e + len(used) + over]),
                ),
            ),
            shape=(len(items) + len(used), e + 2 * len(used)),
        ).tocsr(),
        b_eq=np.concatenate([np.ones(len(items)), scale * left[used]]),
        method="highs-ds",
    )
    if found.x is None or found.x[e:].sum() > 1e-6:
        return None
    duals = np.zeros(k)
    duals[used] = found.eqlin.marginals[len(items) :]
    better = np.where(shares > 0, g + duals, -np.inf)
    x = np.clip(found.x[:e], 0.0, 1.0)
    x[x < _WHOLE] = 0.0
    biggest = np.maximum.reduceat(x, np.flatnonzero(np.diff(of_item, prepend=-1))) if e else np.zeros(0)
    whole = biggest > 1 - _WHOLE
    chosen = x > 1 - _WHOLE
    labels[items[of_item[chosen]]] = label[chosen]
    part = (~whole)[of_item] & (x > 0)
    split = np.flatnonzero(~whole)
    number = np.full(len(items), -1)
    number[split] = np.arange(len(split))
    fractions = csr_array((x[part], (number[of_item[part]], label[part])), shape=(len(split), k))
    return Plan(labels, fractions, items[split], better)


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
