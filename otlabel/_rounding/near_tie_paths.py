"""Successive shortest paths on the graph of labels: the compiled inside of balanced rounding.

Nodes are the k labels and a hub of spare places. An item i of label u is an edge u -> v for each v on its shortlist;
its length is the regret of docs/algorithm.md eq. (4), never negative. An edge u -> hub lets u keep one item more, up
to its upper capacity; hub -> v makes v give up a place, down to its lower one. A shortest path from a label above its
target to one below it costs least; Dijkstra's distances are then taken into g, which keeps every regret non-negative,
hence every intermediate labelling optimal for its own sizes.
"""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

from .._system.jit import jit
from ..backends import Shortlist
from .capacities import Capacities


def move_along_near_ties(
    labels: np.ndarray,
    counted: np.ndarray,
    short: Shortlist,
    g: np.ndarray,
    limits: Capacities,
    width: float,
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
        largest_square: labels up to which the cheapest ways between them are kept, 12 bytes a pair.

    Returns:
        the number of items still above target, of labels from which no path leads to one with room that is sure to be
        the shortest. All that was moved is optimal, whatever is not listed.
    """
    hub = np.array([limits.hub])
    rows = len(g) if len(g) <= largest_square else 1
    _best, indptr, label, value = short
    bounds = limits.lower, limits.upper, limits.target
    left = _fill(labels, counted, indptr, label, value, g, *bounds, hub, width, rows)
    limits.hub = float(hub[0])
    return int(left)


@jit()
def _cheapest(u, first, after, labels, indptr, label, value, least, through):
    """The least regret without g, S_iu - S_iv over the items of u, for each label v; and the item that has it."""
    least[:] = np.inf
    i = first[u]
    while i >= 0:
        own = 0.0
        for entry in range(indptr[i], indptr[i + 1]):
            if label[entry] == u:
                own = value[entry]
        for entry in range(indptr[i], indptr[i + 1]):
            v = label[entry]
            if own - value[entry] < least[v]:
                least[v] = own - value[entry]
                through[v] = i
        i = after[i]


@jit()
def _fill(labels, counted, indptr, label, value, g, lower, upper, target, hub_g, width, rows):
    n, k = labels.size, g.size
    hub = k
    # Items of a label: a doubly linked list, so that a move is a few writes.
    first = np.full(k, -1, dtype=np.int64)
    after = np.full(n, -1, dtype=np.int64)
    before = np.full(n, -1, dtype=np.int64)
    size = np.zeros(k, dtype=np.int64)
    for i in range(n):
        if counted[i]:
            u = labels[i]
            size[u] += 1
            if indptr[i + 1] - indptr[i] == 1:  # nowhere to go: most items, not to be looked at again
                continue
            after[i] = first[u]
            if first[u] >= 0:
                before[first[u]] = i
            first[u] = i

    # The cheapest way from each label to each other: without g, and kept until an item of that label moves. Where
    # labels are very many there is one row, made anew each time.
    least = np.empty((rows, k))
    through = np.empty((rows, k), dtype=np.int32)  # the item that goes this way
    known = np.zeros(k, dtype=np.bool_)

    distance = np.full(k + 1, np.inf)
    settled = np.zeros(k + 1, dtype=np.bool_)
    parent = np.empty(k + 1, dtype=np.int64)
    item = np.empty(k + 1, dtype=np.int64)
    touched = np.empty(k + 1, dtype=np.int64)
    dead = np.zeros(k + 1, dtype=np.bool_)  # no path leads on from here; none will, as moves begin and end elsewhere
    lowered = np.zeros(k)  # by how much each g_u has fallen: unlisted edges from u are width - lowered[u] long, or more
    left = 0

    for source in range(k):
        while size[source] > target[source]:
            if dead[source]:
                left += size[source] - target[source]
                break
            # Dijkstra from the source to the nearest label with room.
            touched[0] = source
            n_touched = 1
            distance[source] = 0.0
            nearest = np.inf  # distance of the nearest label with room so far: no longer path matters
            sink = -1  # that label
            trusted = np.inf  # no unlisted edge leads less far
            heap = [(0.0, source)]
            while len(heap) > 0:
                length, u = heappop(heap)
                if settled[u] or length > distance[u]:
                    continue  # reached by a shorter path meanwhile
                if length >= min(nearest, trusted):
                    break
                settled[u] = True
                if u == hub:
                    for v in range(k):
                        if target[v] > lower[v]:
                            reach = distance[u] + max(hub_g[0] - g[v], 0.0)
                            if reach < distance[v] and reach < nearest:
                                if distance[v] == np.inf:
                                    touched[n_touched] = v
                                    n_touched += 1
                                distance[v] = reach
                                heappush(heap, (reach, v))
                                parent[v] = hub
                                if size[v] < target[v]:
                                    nearest = reach
                                    sink = v
                    continue
                trusted = min(trusted, distance[u] + width - lowered[u])
                if target[u] < upper[u]:
                    reach = distance[u] + max(g[u] - hub_g[0], 0.0)
                    if reach < distance[hub] and reach < nearest:
                        if distance[hub] == np.inf:
                            touched[n_touched] = hub
                            n_touched += 1
                        distance[hub] = reach
                        heappush(heap, (reach, hub))
                        parent[hub] = u
                row = u if rows == k else 0
                if not known[u]:
                    _cheapest(u, first, after, labels, indptr, label, value, least[row], through[row])
                    known[u] = rows == k
                for v in range(k):
                    reach = distance[u] + max(least[row, v] + g[u] - g[v], 0.0)
                    if reach < distance[v] and reach < nearest:
                        if distance[v] == np.inf:
                            touched[n_touched] = v
                            n_touched += 1
                        distance[v] = reach
                        heappush(heap, (reach, np.int64(v)))  # type: ignore[misc]
                        parent[v] = u
                        item[v] = through[row, v]
                        if size[v] < target[v]:
                            nearest = reach
                            sink = v
            if nearest > trusted:
                sink = -1
                dead[source] = True
            if sink >= 0:
                for t in range(n_touched):
                    v = touched[t]
                    if settled[v]:
                        if v == hub:
                            hub_g[0] += distance[v] - distance[sink]
                        else:
                            g[v] += distance[v] - distance[sink]
                            lowered[v] += distance[sink] - distance[v]
                v = sink
                while v != source:
                    u = parent[v]
                    if v == hub:
                        target[u] += 1
                    elif u == hub:
                        target[v] -= 1
                    else:
                        i = item[v]
                        if before[i] >= 0:
                            after[before[i]] = after[i]
                        else:
                            first[u] = after[i]
                        if after[i] >= 0:
                            before[after[i]] = before[i]
                        before[i] = -1
                        after[i] = first[v]
                        if first[v] >= 0:
                            before[first[v]] = i
                        first[v] = i
                        labels[i] = v
                        size[u] -= 1
                        size[v] += 1
                        known[u] = known[v] = False
                    v = u
            for t in range(n_touched):
                distance[touched[t]] = np.inf
                settled[touched[t]] = False
                if sink < 0 and not nearest > trusted:
                    dead[touched[t]] = True
    return left
