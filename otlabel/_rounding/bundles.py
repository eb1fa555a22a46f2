"""Items that may move, those of the same scores as one bundle, and the cheapest of them on each way between labels.

Every way u -> v keeps the bundles of u that list v in a pairing heap (Fredman, Sedgewick, Sleator and Tarjan 1986), the
cheapest on top: a move costs its own entries. A label's heaps are made when a path first reaches it.

Each function is called in one place only, if that can be: LLVM would compile it for each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._system.jit import jit
from ..backends import Shortlist
from .search import SIZE

_BITS = 0x7FFFFFFF
# Rows of Bundles.facts: a row of the shortlist; the first of the group's bundles, and the one after its last; the first
# of the bundle's entries in heaps; its label; how many items it has, 0 if it is not in use; one of them; its neighbours
# among the bundles of the label, or -1.
_ROW, _START, _STOP, _ENTRY, _AT, MANY, _TOP, _AFTER, _BEFORE = range(9)
# Rows of Bundles.links: the bundle that an entry is of; its first child; the next child of its parent; the one before,
# or the parent of the first. -1 for none.
OWNER, _CHILD, _RIGHT, _LEFT = range(4)
_NEXT, STOP = range(2)  # of Bundles.clock


class Bundles(NamedTuple):
    """B bundles at most, each with as many entries in heaps as its scores have on the shortlist; E in all.

    Items of the same scores are a group, which has one bundle for each label at most.
    """

    indptr: np.ndarray  # of the shortlist
    label: np.ndarray
    value: np.ndarray
    facts: np.ndarray  # (9, B) int64
    first: np.ndarray  # (k,) int64, a bundle of each label; -1
    below: np.ndarray  # (n,) int64, the next item of the same bundle; -1
    key: np.ndarray  # (E,) what the way costs, less what g contributes
    links: np.ndarray  # (4, E) int32
    tops: np.ndarray  # (rows, k) int32, of each way's heap, as in ``Graph.least``; -1: it is empty; -2: no such way
    held: np.ndarray  # (rows,) int64, the label of each row; -1
    clock: np.ndarray  # (2,) int64, the row that is next to be given away; whether all is to stop

    @classmethod
    def of(
        cls, labels: np.ndarray, counted: np.ndarray, short: Shortlist, k: int, rows: int, *, alike: bool
    ) -> Bundles:
        """Of the items that have somewhere to go; with ``alike``, those of the same scores are together."""
        _, indptr, label, value = short
        degrees = np.diff(indptr)
        movable = np.flatnonzero(counted & (degrees > 1))
        group, row = np.arange(len(movable)), movable
        if alike:
            found, table = np.empty(len(movable), dtype=np.int64), np.full(1 << int(2 * len(movable)).bit_length(), -1)
            row = found[: _grouped(indptr, label, value, movable, table, group, found)]
        bundles = np.minimum(np.bincount(group, minlength=len(row)), degrees[row])
        start = np.concatenate([[0], np.cumsum(bundles)])
        facts = np.full((9, start[-1]), -1)
        facts[_ROW], facts[_START], facts[_STOP] = np.repeat([row, start[:-1], start[1:]], bundles, axis=1)
        ends = np.cumsum(degrees[facts[_ROW]])
        facts[_ENTRY], facts[MANY] = ends - degrees[facts[_ROW]], 0
        entries = int(ends[-1]) if len(ends) else 0
        first, below = np.full(k, -1), np.full(len(labels), -1)
        _fill(facts, first, below, labels, movable, start[group])
        return cls(
            indptr,
            label,
            value,
            facts,
            first,
            below,
            np.empty(entries),
            np.empty((4, entries), dtype=np.int32),
            np.empty((rows, k), dtype=np.int32),
            np.full(rows, -1),
            np.zeros(2, dtype=np.int64),
        )

    def stop(self) -> None:
        """Tell what is compiled, and runs in another thread, to come to an end."""
        self.clock[STOP] = 1


@jit()
def _grouped(indptr, label, value, movable, table, group, row):
    """group (m,) and row (G,) of the movable items; returns G. Rows that are the same have the same hash."""
    bits, groups = value.view(np.int64), 0
    for place in range(movable.size):
        i = movable[place]
        first, degree = indptr[i], indptr[i + 1] - indptr[i]
        code = np.int64(degree)
        for e in range(first, first + degree):
            code ^= (bits[e] ^ (bits[e] >> 32) ^ label[e]) & _BITS
            code = (code * 0x5851F42D) & _BITS  # of 31 bits, so that nothing overflows
            code ^= code >> 15
        where = code & (table.size - 1)
        while table[where] >= 0:
            known = row[table[where]]
            same = indptr[known + 1] - indptr[known] == degree
            for e in range(degree if same else 0):
                other = indptr[known] + e
                same = same and label[other] == label[first + e] and bits[other] == bits[first + e]
            if same:
                break
            where = (where + 1) & (table.size - 1)
        if table[where] < 0:
            table[where] = groups
            row[groups] = i
            groups += 1
        group[place] = table[where]
    return groups


@jit()
def _fill(facts, first, below, labels, movable, start):
    """The items into bundles; start (m,): a bundle of each one's group."""
    for place in range(movable.size):
        i = movable[place]
        b = _bundle(facts, start[place], labels[i])
        if facts[MANY, b] == 0:
            _link(facts, first, b, labels[i])
        below[i] = facts[_TOP, b]
        facts[_TOP, b] = i
        facts[MANY, b] += 1


@jit(cache=False)
def _bundle(facts, b, v):
    """The bundle of the same group that has label v, or one that is not in use, or -1."""
    free = -1
    for other in range(facts[_START, b], facts[_STOP, b]):
        if facts[MANY, other] == 0:
            free = other if free < 0 else free
        elif facts[_AT, other] == v:
            return other
    return free


@jit(cache=False)
def _link(facts, first, b, v):
    facts[_AT, b] = v
    facts[_BEFORE, b] = -1
    facts[_AFTER, b] = first[v]
    if first[v] >= 0:
        facts[_BEFORE, first[v]] = b
    first[v] = b


@jit(cache=False)
def make_known(indptr, label, value, facts, first, key, links, tops, held, clock, least, ways, degree, slot, u):
    """The heaps of label u, in the place of another's where labels are very many."""
    row = clock[_NEXT]
    clock[_NEXT] = (row + 1) % held.size
    if held[row] >= 0:
        slot[held[row]] = -1
    held[row] = u
    slot[u] = row
    degree[row] = 0
    for v in range(slot.size):
        tops[row, v] = -2
    b = first[u]
    while b >= 0 and clock[STOP] == 0:
        _enter(indptr, label, value, facts, key, links, tops, least, ways, degree, row, b)
        b = facts[_AFTER, b]


@jit(cache=False)
def move(
    indptr, label, value, facts, first, below, key, links, tops, least, ways, degree, slot, sizes, labels, b, v, many
):
    """So many items of bundle b to label v."""
    u, into = facts[_AT, b], _bundle(facts, b, v)
    all_go, i = many == facts[MANY, b], facts[_TOP, b]
    for _ in range(many):
        labels[i] = v
        i = below[i]
    if all_go and (into < 0 or facts[MANY, into] == 0):  # nothing but the label changes
        into, is_new = b, True
    else:
        is_new = facts[MANY, into] == 0
        for _ in range(many):
            i = facts[_TOP, b]
            facts[_TOP, b] = below[i]
            below[i] = facts[_TOP, into]
            facts[_TOP, into] = i
        facts[MANY, into] += many
        facts[MANY, b] -= many
    if all_go:
        if slot[u] >= 0:
            _leave(indptr, label, facts, key, links, tops, least, slot[u], b)
        before, after = facts[_BEFORE, b], facts[_AFTER, b]
        if before >= 0:
            facts[_AFTER, before] = after
        else:
            first[u] = after
        if after >= 0:
            facts[_BEFORE, after] = before
    if is_new:
        _link(facts, first, into, v)
        if slot[v] >= 0:
            _enter(indptr, label, value, facts, key, links, tops, least, ways, degree, slot[v], into)
    sizes[SIZE, u] -= many
    sizes[SIZE, v] += many


@jit(cache=False)
def _enter(indptr, label, value, facts, key, links, tops, least, ways, degree, row, b):
    """The bundle into the heaps of its label, which are known."""
    u, first, last = facts[_AT, b], indptr[facts[_ROW, b]], indptr[facts[_ROW, b] + 1]
    own = 0.0
    for e in range(first, last):
        own = value[e] if label[e] == u else own
    for e in range(first, last):
        v, x = label[e], facts[_ENTRY, b] + e - first
        if v != u:
            key[x] = own - value[e]
            links[OWNER, x] = b
            links[_CHILD, x] = links[_LEFT, x] = links[_RIGHT, x] = -1
            if tops[row, v] == -2:
                ways[row, degree[row]] = v
                degree[row] += 1
            tops[row, v] = _meld(key, links, np.int64(tops[row, v]), x)
            least[row, v] = key[tops[row, v]]


@jit(cache=False)
def _leave(indptr, label, facts, key, links, tops, least, row, b):
    """The bundle out of the heaps of its label."""
    u, first, last = facts[_AT, b], indptr[facts[_ROW, b]], indptr[facts[_ROW, b] + 1]
    for e in range(first, last):
        v, x = label[e], facts[_ENTRY, b] + e - first
        if v == u:
            continue
        left, right = links[_LEFT, x], links[_RIGHT, x]
        heap = _melded(key, links, np.int64(links[_CHILD, x]))
        if left >= 0:
            links[_CHILD if links[_CHILD, left] == x else _RIGHT, left] = right
            if right >= 0:
                links[_LEFT, right] = left
            heap = _meld(key, links, heap, np.int64(tops[row, v]))
        tops[row, v] = heap
        least[row, v] = key[heap] if heap >= 0 else np.inf


@jit(cache=False)
def _melded(key, links, x):
    """One heap of x and all to its right: two by two from the left, and then one by one from the right; -1 of none."""
    pairs = np.int64(-1)
    while x >= 0:
        y = np.int64(links[_RIGHT, x])
        rest = np.int64(-1)
        if y >= 0:
            rest = np.int64(links[_RIGHT, y])
            links[_LEFT, y] = links[_RIGHT, y] = -1
        links[_LEFT, x] = links[_RIGHT, x] = -1
        top = _meld(key, links, y, x)
        links[_RIGHT, top] = pairs
        pairs = top
        x = rest
    whole = np.int64(-1)
    while pairs >= 0:
        rest = np.int64(links[_RIGHT, pairs])
        links[_RIGHT, pairs] = -1
        whole = _meld(key, links, whole, pairs)
        pairs = rest
    return whole


@jit(cache=False)
def _meld(key, links, x, y):
    """One heap of two, the first of which may be empty; its top."""
    if x < 0:
        return y
    if key[y] < key[x]:
        x, y = y, x
    child = links[_CHILD, x]
    links[_RIGHT, y], links[_LEFT, y] = child, x
    if child >= 0:
        links[_LEFT, child] = y
    links[_CHILD, x] = y
    return x
