"""The graph of labels, and Dijkstra's algorithm on it: compiled, and it stops where it wants to know more.

Nodes are the k labels and a hub of spare places. An item i of label u is an edge u -> v for each label v; its length is
the regret of docs/algorithm.md eq. (4), never negative. An edge u -> hub lets u keep one item more, up to its upper
capacity; hub -> v makes v give up a place, down to its lower one. A shortest path from a label above its target to one
below it costs least; distances are then taken into g, which keeps every regret non-negative, hence every intermediate
labelling optimal for its own sizes.

Compiled functions take few arrays, each with rows that have names: numba takes seconds for tuples of many.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._system.jit import jit
from .capacities import Capacities

ENOUGH, NOWHERE, UNSURE = -1, -2, -3  # how a search ends: room found; no way on; none that is sure to be the shortest
SIZE, TARGET, LOWER, UPPER = range(4)  # rows of Graph.sizes
# Rows of Graph.reach: distances of what was reached; the same, but inf where that is settled; the least of each block.
_DISTANCE, _AHEAD, _NEAREST = range(3)
_BLOCK = 64  # nodes
PARENT, ORDER = range(2)  # of Graph.nodes: -1 at a source; what is settled, the nearest first
SETTLED, _PENDING, ROOM = range(3)  # of Graph.state: nodes; one whose edges are to be looked at, or -1; room found


class Graph(NamedTuple):
    """The labels and, as number k, the hub."""

    sizes: np.ndarray  # (4, k) int64
    g: np.ndarray  # (k+1,) potentials, and the price of the hub's places
    lowered: np.ndarray  # (k,) by how much each g has fallen
    least: np.ndarray  # (rows, k) the shortest way from a label to each other that has one, less what g contributes
    ways: np.ndarray  # (rows, k) int32, which those are ...
    degree: np.ndarray  # (rows,) int64, ... and how many
    slot: np.ndarray  # (k,) int64, the label's row of these; -1: not known
    reach: np.ndarray  # (3, k+1)
    nodes: np.ndarray  # (2, k+1) int64
    state: np.ndarray  # (3,) int64
    trusted: np.ndarray  # (1,) no edge that is not known leads less far

    @classmethod
    def of(cls, size: np.ndarray, g: np.ndarray, limits: Capacities, rows: int) -> Graph:
        """With room for the ways of so many labels at a time."""
        k = len(g)
        return cls(
            np.stack([size, limits.target, limits.lower, limits.upper]),
            np.append(g, limits.hub),
            np.zeros(k),
            np.empty((rows, k)),
            np.empty((rows, k), dtype=np.int32),
            np.zeros(rows, dtype=np.int64),
            np.full(k, -1),
            np.empty((3, k + 1)),
            np.empty((2, k + 1), dtype=np.int64),
            np.zeros(3, dtype=np.int64),
            np.zeros(1),
        )

    @property
    def surplus(self) -> int:
        """Items above their label's target."""
        return int(np.maximum(self.sizes[SIZE] - self.sizes[TARGET], 0).sum())

    def give_back(self, g: np.ndarray, limits: Capacities) -> None:
        """What has become of the potentials and limits that it was made of."""
        g[:], limits.hub = self.g[:-1], float(self.g[-1])
        limits.target[:] = self.sizes[TARGET]


@jit()
def begin(sizes, reach, nodes, state, trusted, sources):
    """A search from the labels above their targets among ``sources`` (k,) bool."""
    for v in range(nodes.shape[1]):
        is_source = v < sources.size and sources[v] and sizes[SIZE, v] > sizes[TARGET, v]
        reach[_DISTANCE, v] = reach[_AHEAD, v] = 0.0 if is_source else np.inf
        block = v // _BLOCK
        reach[_NEAREST, block] = min(reach[_AHEAD, v], reach[_NEAREST, block] if v % _BLOCK else np.inf)
        nodes[PARENT, v] = -1
    state[SETTLED], state[_PENDING], state[ROOM] = 0, -1, 0
    trusted[0] = np.inf


@jit(fastmath={"nnan", "nsz"})  # which lets the look for the nearest become SIMD
def search(sizes, g, lowered, least, ways, degree, slot, reach, nodes, state, trusted, width, wanted):
    """Settle nodes until labels with room for ``wanted`` items are among them.

    Args:
        sizes, ...: of a ``Graph``.
        width: nats: edges that are not known were at least as long when the others were listed.

    Returns:
        how it ended, or a label whose row of ``least`` is needed: the search goes on when it is called again.
    """
    hub = slot.size
    distance, ahead, near, parent = reach[_DISTANCE], reach[_AHEAD], reach[_NEAREST], nodes[PARENT]
    while True:
        u = state[_PENDING]
        if u < 0:
            nearest, block = np.inf, 0
            for place in range(hub // _BLOCK + 1):
                nearest = min(nearest, near[place])
            if nearest == np.inf:
                return NOWHERE
            if nearest > trusted[0]:
                return UNSURE
            while near[block] != nearest:
                block += 1
            u = block * _BLOCK
            while ahead[u] != nearest:
                u += 1
            ahead[u] = near[block] = np.inf
            for v in range(block * _BLOCK, min((block + 1) * _BLOCK, hub + 1)):
                near[block] = min(near[block], ahead[v])
            nodes[ORDER, state[SETTLED]] = u
            state[SETTLED] += 1
            if u < hub and sizes[SIZE, u] < sizes[TARGET, u]:
                state[ROOM] += sizes[TARGET, u] - sizes[SIZE, u]
                if state[ROOM] >= wanted:
                    return ENOUGH
        if u < hub and slot[u] < 0:
            state[_PENDING] = u
            return u
        state[_PENDING] = -1
        if u == hub:
            for v in range(hub):
                length = distance[u] + max(g[hub] - g[v], 0.0)
                if sizes[TARGET, v] > sizes[LOWER, v] and length < distance[v]:
                    distance[v] = ahead[v] = length
                    near[v // _BLOCK] = min(near[v // _BLOCK], length)
                    parent[v] = u
            continue
        trusted[0] = min(trusted[0], distance[u] + width - lowered[u])
        length = distance[u] + max(g[u] - g[hub], 0.0)
        if sizes[TARGET, u] < sizes[UPPER, u] and length < distance[hub]:
            distance[hub] = ahead[hub] = length
            near[hub // _BLOCK] = min(near[hub // _BLOCK], length)
            parent[hub] = u
        row = slot[u]
        for place in range(degree[row]):
            v = ways[row, place]
            length = distance[u] + max(least[row, v] + g[u] - g[v], 0.0)
            if length < distance[v]:
                distance[v] = ahead[v] = length
                near[v // _BLOCK] = min(near[v // _BLOCK], length)
                parent[v] = u


@jit()
def take_in(g, lowered, reach, nodes, state):
    """Distances into g: the edges of the shortest paths to what is settled are 0 long then, and no edge less."""
    last = reach[_DISTANCE, nodes[ORDER, state[SETTLED] - 1]]
    for place in range(state[SETTLED]):
        v = nodes[ORDER, place]
        fall = last - reach[_DISTANCE, v]
        g[v] -= fall
        if v < lowered.size:
            lowered[v] += fall


def ahead(graph: Graph) -> np.ndarray:
    """(k,) distances of labels that a search has reached and not settled; inf for others."""
    return graph.reach[_AHEAD, :-1]
