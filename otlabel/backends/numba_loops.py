"""The compiled loops of the numba backend, each over a block of rows.

Every function releases the interpreter lock. None has "ninf" among its fast-math flags: infinities keep their meaning.
"""

from __future__ import annotations

import functools
import threading

import numba
import numpy as np

from .._system.jit import jit
from .numba_exp import exp
from .numba_places import add_at, exponents, hits_at, lowest_bit, places_above, powers_between
from .numba_rows import LOG2E
from .numba_vectors import LANES, number

NEGLIGIBLE = np.float32(58.0)  # bits: a vector this far below the row's best carries less than 1e-16 of it
FAINT = 1e-4  # share of a row that a Hessian can do without: Newton's steps gain four digits at most
ROWS = 64  # rows taken together; their float32 column sums are added up before float64 takes them
_FAST = {"nnan", "reassoc", "nsz", "contract"}  # sums may be reordered, which SIMD needs
_jit = functools.partial(jit, fastmath=_FAST)
_FINITE, _LN2 = np.float32(-3e38), 0.6931471805599453
_F64, _F32, _I64, _I32 = numba.float64[::1], numba.float32[::1], numba.int64[::1], numba.int32[::1]
_G = numba.types.Array(numba.float64, 1, "C", readonly=True)
_compiling = threading.Lock()


def _when_called(function, signature_of, key_of):
    """The function, compiled when a call first needs it: what takes long is not spent on what is not used."""
    versions = {}

    @functools.wraps(function)
    def call(*arguments):
        key = key_of(arguments)
        with _compiling:
            if key not in versions:
                versions[key] = _jit([signature_of(key)])(function)
        return versions[key](*arguments)

    return call


def when_called(signature):
    """A function that is compiled for one signature, when it is first called."""
    return lambda function: _when_called(function, lambda _: signature, lambda _: None)


def by_storage(result, *rest):
    """A function of (scores, 1/epsilon, ...), compiled for the storage type of the scores when it is first met.

    Read-only scores are as good as others, and as quick to compile for: there is one version of each.
    """

    def signature(dtype):
        return result(numba.types.Array(numba.from_dtype(dtype), 2, "C", readonly=True), numba.float64, *rest)

    return lambda function: _when_called(function, signature, lambda arguments: arguments[0].dtype)


@by_storage(
    numba.types.UniTuple(numba.int64, 2),
    _G,
    _F32,
    numba.int64,
    numba.float64,
    _F64,
    _F64,
    _F64,
    _F64,
    _I64,
    _I32,
    _F64,
)
def survey(scores, scale, g, bits, start, width, a, c, squares, lse, counts, label, value):
    """One sweep over a block of rows, docs/algorithm.md eq. (1), that also lists what matters in each.

    Entries within ``width`` nats of their row's best are listed and evaluated in float64; the rest, a small share of
    the plan, in float32; vectors with nothing within NEGLIGIBLE nats not at all.

    Args:
        scores: (m, k) float64, float32, or uint16 holding the bits of float16.
        scale: 1/epsilon.
        g: (k,); -inf takes a label out of use.
        bits: the same ``padded``, times log2(e).
        start: the first row to do.
        a: (m,) row weights.
        c: (k,) the column sums of the rows are added to it.
        squares: (k,) so are the sums of a_i q_ij^2 over listed entries, q_i the row of the plan divided by a_i.
        lse: (m,) out: logsumexp_j(S_ij/epsilon + g_j).
        counts: (m,) out: entries listed of each row.
        label, value: out, at least k long: the entries, row by row, S/epsilon less the row's logsumexp.

    Returns:
        the row after the last that was done, which is m unless another might not have found room in ``label``; and how
        many entries were listed.
    """
    k = g.size
    x, rest_c = np.empty(bits.size + 3 * LANES, np.float32), np.zeros(bits.size, np.float32)
    for column in range(bits.size, x.size):
        x[column] = -np.inf
    places, near = np.empty(x.size // LANES, np.int64), np.empty(k)
    factor, depth = np.float32(scale * LOG2E), np.float32(width * LOG2E)
    used, i = np.int64(0), start  # a literal 0 is a type of its own, and the callee is compiled twice
    while i < scores.shape[0] and used + k <= label.size:
        row = scores[i]
        highest = exponents(row, factor, bits, x)
        bar = max(highest - depth, _FINITE)
        least = min(bar, max(highest - NEGLIGIBLE, _FINITE))
        places_found = places_above(x, least, places)
        first, top = used, np.float64(highest) * _LN2
        for place in range(places_found):
            hits = hits_at(x, places[place], bar)
            while hits != 0:
                j = places[place] + lowest_bit(hits)
                hits &= hits - 1
                label[used], value[used] = j, number(row[j]) * scale
                near[used - first] = value[used] + g[j] - top
                used += 1
        count = used - first
        total = 0.0
        if least < bar:
            total = np.float64(powers_between(x, places, places_found, highest, least, bar))
        for e in range(count):
            near[e] = exp(near[e])
            total += near[e]
        lse[i] = top + np.log(total)
        counts[i] = count
        weight = a[i] / total
        for e in range(count):
            j, share = np.uint32(label[first + e]), weight * near[e]
            c[j] += share
            squares[j] += share * (near[e] / total)
            value[first + e] -= lse[i]
        if least < bar:
            add_at(rest_c, np.float32(weight), x, places, places_found)
        i += 1
        if i % ROWS == 0 or i == scores.shape[0] or used + k > label.size:
            for column in range(k):
                c[column] += rest_c[column]
                rest_c[column] = np.float32(0.0)
    return i, used


@when_called(numba.float64(_I64, _I32, _F64, _G, _F64, _F64))
def sweep_listed(indptr, label, value, g, a, c):
    """``survey`` of listed entries alone, with relative values.

    Adds to c; returns sum_i a_i (logsumexp_i - the one that the values are relative to).
    """
    m = indptr.size - 1
    longest = 0
    for i in range(0, m, ROWS):
        longest = max(longest, indptr[min(i + ROWS, m)] - indptr[i])
    near = np.empty(longest)  # of some rows at a time: it stays in the cache
    weighted = 0.0
    for start in range(0, m, ROWS):
        stop = min(start + ROWS, m)
        first, last = indptr[start], indptr[stop]
        # Gather, exponential, row by row, scatter: each a loop by itself, or the first would keep the others from SIMD.
        for e in range(last - first):
            near[e] = value[first + e] + g[np.uint32(label[first + e])]
        for e in range(last - first):
            near[e] = exp(near[e])
        for i in range(start, stop):
            row = near[indptr[i] - first : indptr[i + 1] - first]
            total = 0.0
            for e in range(row.size):
                total += row[e]
            weighted += a[i] * np.log(total)
            weight = a[i] / total
            for e in range(row.size):
                row[e] *= weight
        for e in range(last - first):
            c[np.uint32(label[first + e])] += near[e]
    return weighted


@when_called(numba.void(_I64, _I32, _F64, _G, _F64, numba.float64[:, ::1]))
def hessian_listed(indptr, label, value, g, a, h):
    """Add sum_i a_i p_i p_i^T, p_i row i of the plan of the listed entries, to the lower triangle of h (k, k).

    Entries of less than ``FAINT`` are left out: more than half, and each a miss of the cache for every other.
    """
    p, labels = np.empty(g.size), np.empty(g.size, np.int64)
    for i in range(indptr.size - 1):
        count = 0
        for e in range(indptr[i], indptr[i + 1]):
            share = exp(value[e] + g[np.uint32(label[e])])
            if share >= FAINT:
                p[count], labels[count] = share, label[e]
                count += 1
        total = 0.0
        for e in range(count):
            total += p[e]
        for e in range(count):
            p[e] /= total
            weight = a[i] * p[e]
            for f in range(e + 1):
                h[labels[e], labels[f]] += weight * p[f]


@when_called(numba.types.Tuple((_I64, _I32, _F64))(_I64, _I32, _F64, _G, _F64, numba.float64, _F64))
def within(indptr, label, value, g, a, width, squares):
    """Of listed entries, those within ``width`` of their row's best; squares as in ``survey``, of what is left.

    Returns:
        counts (m,), and the entries kept: label, value.
    """
    m, kept = indptr.size - 1, 0
    counts, near = np.zeros(m, np.int64), np.empty(g.size)
    kept_label, kept_value = np.empty(label.size, np.int32), np.empty(label.size)
    for i in range(m):
        best, first, total = -np.inf, kept, 0.0
        for e in range(indptr[i], indptr[i + 1]):
            x = value[e] + g[np.uint32(label[e])]
            near[e - indptr[i]] = x
            best = max(best, x)
        for e in range(indptr[i], indptr[i + 1]):
            if near[e - indptr[i]] >= best - width:
                kept_label[kept], kept_value[kept] = label[e], value[e]
                near[kept - first] = near[e - indptr[i]] - best
                kept += 1
        counts[i] = kept - first
        for e in range(counts[i]):
            near[e] = exp(near[e])
            total += near[e]
        for e in range(counts[i]):
            squares[np.uint32(kept_label[first + e])] += a[i] * (near[e] / total) ** 2
    return counts, kept_label[:kept], kept_value[:kept]


@by_storage(numba.void, numba.int64, _I64, _I64, _F64, _I64)
def regrets(scores, scale, label, rows, items, least, which):
    """The least (S_i,label - S_ij)/epsilon so far and its item, for each j, updated with some of the rows."""
    for place in range(rows.size):
        row, item = scores[rows[place]], items[place]
        own = number(row[label]) * scale
        for j in range(row.size):
            regret = own - number(row[j]) * scale
            closer = regret < least[j]
            least[j] = regret if closer else least[j]
            which[j] = item if closer else which[j]


@by_storage(numba.void, _G, _F64, _F64, _I64, _F64, _F64)
def log_columns(scores, scale, g, log_a, lse, columns, peak, total):
    """log c_j of the given columns, in the log domain: peak_j + log(total_j), updated with the block's rows."""
    for i in range(scores.shape[0]):
        if log_a[i] == -np.inf:
            continue
        for e in range(columns.size):
            j = columns[e]
            x = number(scores[i, j]) * scale + g[j] - lse[i] + log_a[i]
            if x == -np.inf:
                continue
            if x > peak[e]:
                total[e] = total[e] * np.exp(peak[e] - x) + 1.0
                peak[e] = x
            else:
                total[e] += np.exp(x - peak[e])
