"""Shortest paths where labels share no near ties: a dense Dijkstra that looks at every item of the labels it meets.

The graph is that of ``near_tie_paths``, with all its edges. An edge u -> v is as long as the smallest regret among u's
items, which does not depend on g but for g_u - g_v: a row of such smallest regrets is computed when a path first
reaches u, from the scores of u's items, and kept until one of them moves.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..backends import Kernels
from .capacities import Capacities


def move_over_whole_matrix(
    kernels: Kernels, labels: np.ndarray, counted: np.ndarray, g: np.ndarray, limits: Capacities
) -> bool:
    """Move items, in place, until every label has its target size.

    Args:
        kernels: of the scores.
        labels: (n,) int64, each a row's best at g; changed.
        counted: (n,) bool, rows that fill capacity.
        g: (k,) potentials; changed.
        limits: capacities; target and hub are changed.

    Returns:
        False if -inf among the scores leaves some label no way out.
    """
    graph = _Graph(kernels.seekable(), labels, counted, g, limits)
    while True:
        over = np.flatnonzero(graph.size > limits.target)
        if not over.size:
            return True
        if not graph.move_one(int(over[0])):
            return False


class _Graph:
    """Labels and, last, the hub of spare places."""

    def __init__(self, kernels: Kernels, labels: np.ndarray, counted: np.ndarray, g: np.ndarray, limits: Capacities):
        self.kernels, self.labels, self.g, self.limits, self.k = kernels, labels, g, limits, len(g)
        self.items = np.flatnonzero(counted)
        self.size = np.bincount(labels[self.items], minlength=self.k)
        ends = np.cumsum(self.size)[:-1]
        by_label = np.split(self.items[np.argsort(labels[self.items], kind="stable")], ends)
        self.members = [list(members) for members in by_label]
        self.rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def move_one(self, source: int) -> bool:
        """Along the shortest path from a label with too many items to the nearest that has room."""
        distance, parent = np.full(self.k + 1, np.inf), np.full(self.k + 1, -1)
        settled = np.zeros(self.k + 1, dtype=bool)
        distance[source] = 0.0
        room = np.append(self.size < self.limits.target, False)
        while True:
            u = int(np.argmin(np.where(settled, np.inf, distance)))
            if not np.isfinite(distance[u]) or settled[u]:
                return False
            if room[u]:
                break
            settled[u] = True
            reach = distance[u] + np.maximum(self._lengths(u), 0.0)
            shorter = reach < distance
            distance[shorter], parent[shorter] = reach[shorter], u
        for v in np.flatnonzero(settled[: self.k]):
            self.g[v] += distance[v] - distance[u]
        if settled[self.k]:
            self.limits.hub += distance[self.k] - distance[u]
        self._move(source, u, parent)
        return True

    def _lengths(self, u: int) -> np.ndarray:
        """(k + 1,) of the edges that leave u."""
        limits, g = self.limits, self.g
        if u == self.k:
            return np.append(np.where(limits.target > limits.lower, limits.hub - g, np.inf), np.inf)
        to_hub = g[u] - limits.hub if limits.target[u] < limits.upper[u] else np.inf
        return np.append(self._regrets(u)[0] + g[u] - g, to_hub)

    def _regrets(self, u: int) -> tuple[np.ndarray, np.ndarray]:
        if u not in self.rows:
            if self.members[u]:
                self.rows[u] = self.kernels.regrets(np.array(self.members[u]), u)
            else:
                self.rows[u] = np.full(self.k, np.inf), np.zeros(self.k, dtype=np.int64)
        return self.rows[u]

    def _move(self, source: int, sink: int, parent: np.ndarray) -> None:
        path = [sink]
        while path[-1] != source:
            path.append(int(parent[path[-1]]))
        edges = list(itertools.pairwise(reversed(path)))
        # All chosen before the first moves: a label on the path gives one away and gets another.
        chosen = [int(self._regrets(u)[1][v]) if self.k not in (u, v) else -1 for u, v in edges]
        for (u, v), item in zip(edges, chosen, strict=True):
            if v == self.k:
                self.limits.target[u] += 1
            elif u == self.k:
                self.limits.target[v] -= 1
            else:
                self.members[u].remove(item)
                self.members[v].append(item)
                self.labels[item] = v
                self.size[u] -= 1
                self.size[v] += 1
                self.rows.pop(u, None)
                self.rows.pop(v, None)
