"""Shortest paths where labels share no near ties: an edge is looked for among all scores of a label's items.

A label's ways are computed when a path first reaches it, with those of the labels that a path is likely to reach next,
and kept until one of its items moves.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..backends import Kernels
from .capacities import Capacities
from .search import ORDER, PARENT, ROOM, SETTLED, SIZE, TARGET, Graph, ahead, begin, search, take_in


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
    ways, routed = _Ways(kernels.seekable(), labels, counted, g, limits), True
    while routed and ways.graph.surplus:
        routed = ways.move_one()
    ways.graph.give_back(g, limits)
    return routed


class _Ways:
    """The graph, each label's items, and who of them goes where."""

    def __init__(self, kernels: Kernels, labels: np.ndarray, counted: np.ndarray, g: np.ndarray, limits: Capacities):
        self.kernels, self.labels, self.k = kernels, labels, len(g)
        items = np.flatnonzero(counted)
        size = np.bincount(labels[items], minlength=self.k)
        self.graph = Graph.of(size, g, limits, self.k)
        self.graph.degree[:] = self.k
        by_label = np.split(items[np.argsort(labels[items], kind="stable")], np.cumsum(size)[:-1])
        self.members = [list(members) for members in by_label]
        self.who = np.empty((self.k, self.k), dtype=np.int64)
        self.batch = 1

    def move_one(self) -> bool:
        """Along the shortest of all paths from a label with too many items to one that has room."""
        graph = self.graph
        sizes, lasting, passing = graph.sizes, (graph.g, graph.lowered), (graph.reach, graph.nodes, graph.state)
        begin(sizes, *passing, graph.trusted, np.ones(self.k, dtype=bool))
        while (end := search(*graph, np.inf, 1)) >= 0:
            self._make_known(end)
        if not graph.state[ROOM]:
            return False
        take_in(*lasting, *passing)
        path = [int(graph.nodes[ORDER, graph.state[SETTLED] - 1])]
        while graph.nodes[PARENT, path[-1]] >= 0:
            path.append(int(graph.nodes[PARENT, path[-1]]))
        edges = list(itertools.pairwise(reversed(path)))
        # All chosen before the first moves: a label on the path gives one away and gets another.
        chosen = [int(self.who[u, v]) if self.k not in (u, v) else -1 for u, v in edges]
        for (u, v), item in zip(edges, chosen, strict=True):
            if v == self.k:
                sizes[TARGET, u] += 1
            elif u == self.k:
                sizes[TARGET, v] -= 1
            else:
                self._move(item, u, v)
        return True

    def _make_known(self, u: int) -> None:
        """The ways of u, and of some more labels that are next: twice as many each time."""
        graph = self.graph
        distance = np.where(graph.slot < 0, ahead(graph), np.inf)
        distance[u] = -1.0
        nearest = np.argsort(distance, kind="stable")[: self.batch]
        labels = nearest[np.isfinite(distance[nearest])]
        self.batch *= 2
        items = [np.array(self.members[v], dtype=np.int64) for v in labels]
        graph.least[labels], self.who[labels] = self.kernels.regrets(items, labels)
        graph.ways[labels], graph.slot[labels] = np.arange(self.k), labels

    def _move(self, item: int, u: int, v: int) -> None:
        self.members[u].remove(item)
        self.members[v].append(item)
        self.labels[item] = v
        self.graph.sizes[SIZE, u] -= 1
        self.graph.sizes[SIZE, v] += 1
        self.graph.slot[[u, v]] = -1
