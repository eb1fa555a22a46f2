"""The compiled loops of dense sweeps: one pass over every score, in float32, and what is certified in float64.

A softmax needs the largest of its row first, and a second pass for the rest. Not here: a row is shifted by its
logsumexp of the last time, which is near enough as long as g does not leap; rows that do are done again. Sums over rows
are float64's every ``ROWS`` rows. Rows of weight 0 are left out.

numba takes a second to compile the first slice that an array is copied to, and most of one for ``+=``: here are loops.
"""

from __future__ import annotations

import numba
import numpy as np

from .numba_loops import ROWS, by_storage
from .numba_places import hits_at, lowest_bit, places_above
from .numba_rows import EDGES, GROUP, LOG2E, add_rows, best_two, count_near, largest, powers
from .numba_vectors import LANES, number

_FAST = {"nnan", "reassoc", "nsz", "contract"}
UNKNOWN = np.float32(1e30)  # bits: a row's shift that nobody knows
_SAFE = np.float32(2.0**10)  # a row's sum of powers, or its inverse, up to which the shift is near enough
_FINITE = np.float32(-3e38)
_G = numba.types.Array(numba.float64, 1, "C", readonly=True)
_I64, _I32 = numba.int64[::1], numba.int32[::1]
_F64, _F32, _MATRIX = numba.float64[::1], numba.float32[::1], numba.float64[:, ::1]


@numba.njit(fastmath=_FAST)
def sweep_rows(scores, scale, g, a, shift, totals, c, squares):
    """As ``sweep``, for other compiled functions: but the row's logsumexp is shift + log2(totals), totals (m,) out."""
    m, k = scores.shape
    p = np.zeros((GROUP, g.size), np.float32)
    inverse, w = np.zeros(GROUP, np.float32), np.zeros(GROUP, np.float32)
    sums = np.zeros((2, g.size), np.float32)
    factor = np.float32(scale)
    for start in range(0, m, GROUP):
        for r in range(GROUP):
            i = start + r
            w[r] = np.float32(0.0)
            if i >= m or a[i] == 0.0:
                continue
            total = np.float32(0.0)
            if shift[i] < UNKNOWN:
                total = powers(scores[i], factor, shift[i], g, p[r])
            if not (total < _SAFE and total * _SAFE > np.float32(1.0)):
                shift[i] = largest(scores[i], factor, g)
                total = powers(scores[i], factor, shift[i], g, p[r])
            totals[i], inverse[r], w[r] = total, np.float32(1.0) / total, np.float32(a[i])
        add_rows(sums[0], sums[1], p, inverse, w)
        if (start + GROUP) % ROWS == 0 or start + GROUP >= m:
            for j in range(k):
                c[j] += sums[0, j]
                squares[j] += sums[1, j]
            sums[:] = np.float32(0.0)


@by_storage(numba.float64, _F32, _F64, _F32, _F64, _F64, numba.float64)
def sweep(scores, scale, g, a, shift, c, squares, weighted):
    """docs/algorithm.md eq. (1) over a block of rows, in one pass.

    Args:
        scores: (m, k) float64, float32, or uint16 holding the bits of float16.
        scale: log2(e)/epsilon.
        g: ``padded`` potentials times log2(e); -inf takes a label out of use.
        a: (m,) row weights of mean 1 or so.
        shift: (m,) near the row's logsumexp, in bits, or ``UNKNOWN``; becomes it.
        c: (k,) the column sums of the rows are added to it.
        squares: (k,) so are sum_i a_i q_ij^2, q_i the row of the plan divided by a_i.
        weighted: what is returned, of the rows before: no sum depends on where blocks end.

    Returns:
        sum_i a_i logsumexp_i, in bits.
    """
    totals = np.empty(a.size, np.float32)
    sweep_rows(scores, scale, g, a, shift, totals, c, squares)
    for i in range(a.size):
        if a[i] != 0.0:
            logsumexp = np.float64(shift[i]) + np.log2(np.float64(totals[i]))
            weighted += a[i] * logsumexp
            shift[i] = np.float32(logsumexp)
    return weighted


@by_storage(numba.float64, _F32, _F64, _F32, _MATRIX, _MATRIX, _F64, numba.float64)
def count(scores, scale, g, a, edges, near, leads, wins, weighted):
    """Which labels the rows would choose, were a label's potential another: what a quantile step wants to know.

    Args:
        scores, scale, g, a, weighted: as in ``sweep``.
        edges: (EDGES,) distances in bits, ascending.
        near: (EDGES, k) weight of the rows in which label j is less than an edge below the best is added to it.
        leads: (k, EDGES) weight of the rows whose best is j, and the next less than an edge below.
        wins: (k,) weight of the rows whose best is j.

    Returns:
        sum_i a_i max_j(S_ij/epsilon + g_j), in bits.
    """
    m, k = scores.shape
    x = np.full((GROUP, g.size), np.float32(-np.inf), np.float32)
    counts = np.zeros((EDGES, g.size), np.float32)
    tops, w, best = np.zeros(GROUP, np.float32), np.zeros(GROUP, np.float32), np.zeros(2, np.float32)
    factor = np.float32(scale)
    for start in range(0, m, GROUP):
        for r in range(GROUP):
            i = start + r
            w[r] = np.float32(0.0)
            if i >= m or a[i] == 0.0:
                continue
            winner = best_two(scores[i], factor, g, x[r], best)
            if best[0] < _FINITE:
                continue
            tops[r], w[r] = best[0], np.float32(a[i])
            weighted += a[i] * best[0]
            wins[winner] += a[i]
            lead = best[0] - best[1]
            for e in range(EDGES):
                leads[winner, e] += a[i] if lead < edges[e] else 0.0
        count_near(x, tops, w, edges, counts)
        if (start + GROUP) % ROWS == 0 or start + GROUP >= m:
            for e in range(EDGES):
                for j in range(k):
                    near[e, j] += counts[e, j]
            counts[:] = np.float32(0.0)
    return weighted


@by_storage(numba.void, _G, _F32, numba.float32, _I64)
def labels(scores, scale, g, bits, width, out):
    """The first label with the largest S_ij/epsilon + g_j in float64; float32 finds the candidates.

    Args:
        scores: as in ``sweep``.
        scale: 1/epsilon.
        g: (k,) potentials in nats.
        bits: the same as in ``sweep``.
        width: bits, twice the error of float32: where the next is further from the best there is no doubt.
        out: (m,) labels; rows without a finite score are left as they are.
    """
    x, best = np.empty(bits.size, np.float32), np.empty(2, np.float32)
    factor = np.float32(scale * LOG2E)
    for i in range(scores.shape[0]):
        winner = best_two(scores[i], factor, bits, x, best)
        if best[0] < _FINITE:
            continue
        if best[0] - best[1] > width:
            out[i] = winner
            continue
        bar, top = best[0] - width, -np.inf
        for j in range(g.size):
            if x[j] >= bar:
                exact = number(scores[i, j]) * scale + g[j]
                if exact > top:
                    top, out[i] = exact, j


@by_storage(
    numba.types.UniTuple(numba.int64, 2),
    _G,
    _F32,
    numba.int64,
    numba.float32,
    numba.float64,
    _F64,
    _I64,
    _I32,
    _F64,
)
def near(scores, scale, g, bits, start, doubt, width, best, counts, label, value):
    """The labels of each row within ``width`` of its best, in float64; float32 finds the candidates.

    Args:
        scores, scale, g, bits: as in ``labels``.
        start: the first row to do.
        doubt: bits: what float32 may take an entry to be further from the best than it is, and ``width``.
        width: nats.
        best: (m,) out: max_j(S_ij/epsilon + g_j).
        counts: (m,) out: entries of each row.
        label, value: out, at least k long: the entries, row by row, S/epsilon.

    Returns:
        the row after the last that was done, which is m unless another might not have found room in ``label``; and how
        many entries there are.
    """
    x, two = np.empty(bits.size + 3 * LANES, np.float32), np.empty(2, np.float32)
    for column in range(bits.size, x.size):
        x[column] = -np.inf
    places = np.empty(x.size // LANES, np.int64)
    factor = np.float32(scale * LOG2E)
    used, i = np.int64(0), start
    while i < scores.shape[0] and used + g.size <= label.size:
        places[0] = best_two(scores[i], factor, bits, x, two) // LANES * LANES
        first, found, bar = used, np.int64(1), max(two[0] - doubt, _FINITE)
        if not two[0] - two[1] > doubt:
            found = places_above(x, bar, places)
        top = -np.inf
        for place in range(found):
            hits = hits_at(x, places[place], bar)
            while hits != 0:
                j = places[place] + lowest_bit(hits)
                hits &= hits - 1
                label[used], value[used] = j, number(scores[i, j]) * scale
                top = max(top, value[used] + g[j])
                used += 1
        last, used = used, first
        for e in range(first, last):
            if value[e] + g[label[e]] >= top - width:
                label[used], value[used] = label[e], value[e]
                used += 1
        best[i], counts[i] = top, used - first
        i += 1
    return i, used


@by_storage(numba.float64, _F64, _F32, _F64, _F64, _F64, numba.float64)
def precise(scores, scale, g, narrow_g, a, shift, c, weighted):
    """``sweep`` in float64, but for the sums of squares; the largest of a row of unknown shift is found in float32.

    narrow_g: g in float32.
    """
    m, k = scores.shape
    p, sums, group = np.empty(g.size), np.zeros(k), 0.0
    for i in range(m):
        if i % ROWS == 0:  # sums of sums: rounding grows with their number, not with that of the rows
            weighted, group = weighted + group, 0.0
            for j in range(k):
                c[j] += sums[j]
                sums[j] = 0.0
        if a[i] == 0.0:
            continue
        total = 0.0
        if shift[i] < UNKNOWN:
            total = powers(scores[i], scale, shift[i], g, p)
        if not (total < _SAFE and total * _SAFE > 1.0):
            shift[i] = np.float64(largest(scores[i], np.float32(scale), narrow_g))
            total = powers(scores[i], scale, shift[i], g, p)
        shift[i] += np.log2(total)
        group += a[i] * shift[i]
        weight = a[i] / total
        for j in range(k):
            sums[j] += weight * p[j]
    for j in range(k):
        c[j] += sums[j]
    return weighted + group
