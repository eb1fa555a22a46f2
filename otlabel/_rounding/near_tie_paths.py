"""Successive shortest paths along near ties: the compiled inside of balanced rounding.

A search finds the nearest labels with room for half of what is too much. Along the paths to each of them move as many
items as the paths have at no cost, ties included; so where many are to move there are few searches.
"""

from __future__ import annotations

import numpy as np

from .._system import machine
from .._system.jit import jit
from .._system.threads import interruptible
from ..backends import Shortlist
from .bundles import MANY, OWNER, STOP, Bundles, make_known, move
from .capacities import Capacities
from .search import (
    LOWER,
    NOWHERE,
    ORDER,
    PARENT,
    ROOM,
    SETTLED,
    SIZE,
    TARGET,
    UPPER,
    Graph,
    begin,
    search,
    take_in,
)

_ENTRY, _UNASKED = 24, 1 << 20  # bytes of a near tie in heaps; and as many as are not worth the question
_LEAST = 64  # labels whose ways are known at a time: as many as a path may well have


def move_along_near_ties(
    labels: np.ndarray,
    counted: np.ndarray,
    short: Shortlist,
    g: np.ndarray,
    limits: Capacities,
    width: float,
    slack: float,
    alike: bool,
    largest_square: int,
) -> int:
    """Move items, in place, until every label has its target size, or no shortlist leads there.

    Args:
        labels: (n,) int64, each a row's best at g; changed.
        counted: (n,) bool, rows that fill capacity.
        short: holds every row's own label.
        g: (k,) potentials; changed.
        limits: capacities; target and hub are changed.
        width: nats: what is not on the shortlist was at least as far from its row's best when the list was made.
        slack: nats: ways no longer than this cost nothing: the rounding error of regrets.
        alike: whether many items have the same scores, and are to be moved together.
        largest_square: labels up to which the cheapest ways between all of them are kept, 16 bytes a pair.

    Returns:
        the number of items still above target, of labels from which no path leads to one with room that is sure to be
        the shortest. All that was moved is optimal, whatever is not listed.
    """
    k = len(g)
    rows = min(k, max(_LEAST, largest_square**2 // k))
    graph = Graph.of(np.bincount(labels[counted], minlength=k), g, limits, rows)
    if len(short.label) > _UNASKED:
        machine.require(_ENTRY * len(short.label), "moving items to labels that are as good")
    bundles = Bundles.of(labels, counted, short, k, rows, alike=alike)
    interruptible(lambda: _move_from_all(graph, bundles, labels, width, slack), bundles.stop)
    graph.give_back(g, limits)
    return graph.surplus


def _move_from_all(graph: Graph, bundles: Bundles, labels: np.ndarray, width: float, slack: float) -> None:
    """From all labels at once; where that is not sure of a path, from one after the other."""
    k = len(graph.slot)
    live, together = np.ones(k, dtype=bool), True  # labels from which paths may lead on
    while not bundles.clock[STOP] and (over := live & (graph.sizes[SIZE] > graph.sizes[TARGET])).any():
        sources = over if together else np.arange(k) == np.argmax(over)
        surplus = int((graph.sizes[SIZE] - graph.sizes[TARGET])[sources].sum())
        end = _search(*graph, *bundles, sources, width, (surplus + 1) // 2 if together else 1)
        if graph.state[ROOM] and _move_along_paths(*graph, *bundles, labels, slack):
            continue
        if not graph.state[ROOM] and end == NOWHERE:  # nor will there be a way later: moves begin and end elsewhere
            settled = graph.nodes[ORDER, : graph.state[SETTLED]]
            live[settled[settled < k]] = False
        elif together:
            together = False
        else:
            live[sources] = False


@jit()
def _search(
    sizes, g, lowered, least, ways, degree, slot, reach, nodes, state, trusted,
    indptr, label, value, facts, first, below, key, links, tops, held, clock,
    sources, width, wanted,
):  # fmt: skip
    """``search`` that makes known what it asks for; how it ended."""
    begin(sizes, reach, nodes, state, trusted, sources)
    end = 0
    while clock[STOP] == 0:
        end = search(sizes, g, lowered, least, ways, degree, slot, reach, nodes, state, trusted, width, wanted)
        if end < 0:
            break
        make_known(indptr, label, value, facts, first, key, links, tops, held, clock, least, ways, degree, slot, end)
    return end


@jit()
def _move_along_paths(
    sizes, g, lowered, least, ways, degree, slot, reach, nodes, state, trusted,
    indptr, label, value, facts, first, below, key, links, tops, held, clock,
    labels, slack,
):  # fmt: skip
    """What the paths to the labels with room have to give; whether that was anything."""
    take_in(g, lowered, reach, nodes, state)
    hub, place, moved = slot.size, 0, False
    while place < state[SETTLED] and clock[STOP] == 0:
        sink = nodes[ORDER, place]
        # Some ways may have been forgotten, and are again while others are made known.
        for _ in range(3 if held.size < hub else 0):
            v = sink
            while nodes[PARENT, v] >= 0:
                v = nodes[PARENT, v]
                if v < hub and slot[v] < 0:
                    make_known(
                        indptr, label, value, facts, first, key, links, tops, held, clock, least, ways, degree, slot, v
                    )
        many, v = sizes[TARGET, sink] - sizes[SIZE, sink] if sink < hub else 0, sink
        while nodes[PARENT, v] >= 0 and many > 0:
            u = nodes[PARENT, v]
            length = g[u] - g[v]
            if v == hub:
                many = min(many, sizes[UPPER, u] - sizes[TARGET, u])
            elif u == hub:
                many = min(many, sizes[TARGET, v] - sizes[LOWER, v])
            elif slot[u] < 0 or tops[slot[u], v] < 0:
                many = 0
            else:
                length += least[slot[u], v]
                many = min(many, facts[MANY, links[OWNER, tops[slot[u], v]]])
            # The first of the paths is as it was found, whatever rounding makes of its length.
            many = many if length <= slack or not moved else 0
            v = u
        many = min(many, sizes[SIZE, v] - sizes[TARGET, v]) if many > 0 else 0
        if many <= 0:
            place += 1
            continue
        moved, v = True, sink
        while nodes[PARENT, v] >= 0:
            u = nodes[PARENT, v]
            if v == hub:
                sizes[TARGET, u] += many
            elif u == hub:
                sizes[TARGET, v] -= many
            else:
                b = np.int64(links[OWNER, tops[slot[u], v]])
                move(
                    indptr, label, value, facts, first, below, key, links, tops, least, ways, degree, slot, sizes,
                    labels, b, v, many,
                )  # fmt: skip
            v = u
    return moved
