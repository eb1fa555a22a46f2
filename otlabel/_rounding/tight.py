"""Each row's label at given potentials, where ties leave a choice: compiled."""

from __future__ import annotations

import numpy as np

from .._system.jit import jit
from ..backends import Shortlist


def choose(
    short: Shortlist, g: np.ndarray, labels: np.ndarray, counted: np.ndarray, target: np.ndarray, slack: float
) -> None:
    """Labels that are no longer their row's best become the best; of several, the one with most room.

    Args:
        short: each row's labels near its best.
        g: (k,) potentials.
        labels: (n,) int64, -1 for none; changed.
        counted: (n,) bool, rows that take up room; others get the first of several.
        target: (k,) int64, items that labels should have.
        slack: nats: what is no further from the best is as good.
    """
    _choose(*short, g, labels, counted, target.copy(), slack)


def best_of(short: Shortlist, g: np.ndarray) -> np.ndarray:
    """(n,) int64: each row's best label at g (k,), the first of several; 0 for a row that has none."""
    n, k = len(short.best), len(g)
    labels = np.full(n, -1)
    choose(short, g, labels, np.zeros(n, dtype=bool), np.zeros(k, dtype=np.int64), 0.0)
    return np.maximum(labels, 0)


def scores_of(short: Shortlist, labels: np.ndarray) -> np.ndarray:
    """(n,) S_i,y(i)/epsilon of labels (n,) that are on the shortlist."""
    scores = np.empty(len(labels))
    _scores_of(*short[1:], labels, scores)
    return scores


def fill(
    short: Shortlist,
    g: np.ndarray,
    weights: np.ndarray,
    room: np.ndarray,
    labels: np.ndarray,
    order: np.ndarray,
    slack: float,
) -> None:
    """Of each row's best labels the one with most room, a row after the other in an order (n,).

    Args:
        weights: (n,) that rows take of the room; those of weight 0 keep their labels.
        room: (k,), changed.
        labels: (n,), changed.
        slack: nats: what is no further from the best is as good.
    """
    _fill(*short, g, weights, room, labels, order, slack)


@jit()
def _fill(best, indptr, label, value, g, weights, room, labels, order, slack):
    for i in order:
        if weights[i] == 0.0:
            continue
        for e in range(indptr[i], indptr[i + 1]):
            if value[e] + g[label[e]] >= best[i] - slack and room[label[e]] > room[labels[i]]:
                labels[i] = label[e]
        room[labels[i]] -= weights[i]


@jit()
def _choose(best, indptr, label, value, g, labels, counted, room, slack):
    for i in range(labels.size):
        keeps, ties, found = False, 0, np.int64(-1)
        for e in range(indptr[i], indptr[i + 1]):
            if value[e] + g[label[e]] >= best[i] - slack:
                keeps = keeps or label[e] == labels[i]
                found = np.int64(label[e]) if ties == 0 else found
                ties += 1
        if not keeps:
            labels[i] = found if ties == 1 or not counted[i] else -1
        if counted[i] and labels[i] >= 0:
            room[labels[i]] -= 1
    for i in range(labels.size):
        if labels[i] >= 0:
            continue
        for e in range(indptr[i], indptr[i + 1]):
            tied = value[e] + g[label[e]] >= best[i] - slack
            if tied and (labels[i] < 0 or room[label[e]] > room[labels[i]]):
                labels[i] = label[e]
        if labels[i] >= 0:
            room[labels[i]] -= 1


@jit()
def _scores_of(indptr, label, value, labels, scores):
    for i in range(labels.size):
        for e in range(indptr[i], indptr[i + 1]):
            if label[e] == labels[i]:
                scores[i] = value[e]
