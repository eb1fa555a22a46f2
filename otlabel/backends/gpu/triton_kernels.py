"""The kernels for CUDA tensors, in Triton; docs/gpu.md says how each goes over the scores.

Programs are persistent: program p takes groups of ROWS rows p, p + P, p + 2P, ... and adds to column sums of its own,
which ``total`` then adds in order. So no sum depends on which program runs when, and runs are bit-identical. The lists'
column sums are integers, for which order does not matter.

g comes as (k + 1,) float64 with 1/epsilon behind the potentials: Triton would make float32 of a Python number. scan
and fill want to be launched with ``enable_fp_fusion=False``: S/epsilon + g is then rounded twice, as NumPy rounds it,
so that ties stay ties. Scores are rows ``stride`` entries apart; k and stride come divided by ALIGN, which tells the
compiler that several scores can be loaded at once.

A little above 300 lines: the kernels share their ways of reading a tile, and are read, and compiled, side by side.
"""

from __future__ import annotations

import triton
import triton.language as tl

from . import engine

UNIT = tl.constexpr(engine.UNIT)
LOG2E, LN2 = tl.constexpr(1.4426950408889634), tl.constexpr(0.6931471805599453)
_FAR = tl.constexpr(1 << 30)  # beyond every column


@triton.jit
def _potentials(g, k, columns, REAL: tl.constexpr):
    """g of some columns, -inf beyond the last."""
    return tl.load(g + columns, mask=columns < k, other=float("-inf")).to(REAL)


@triton.jit
def _exponents(scores, stride, scale, potentials, k, rows, columns, there):
    """S/epsilon + g of some rows and columns; -inf beyond the last column, and g beyond the last row."""
    inside = there[:, None] & (columns < k)[None, :]
    s = tl.load(scores + rows[:, None] * stride + columns[None, :], mask=inside, other=0.0)
    return s.to(potentials.dtype) * scale + potentials[None, :]


@triton.jit
def _tile(scores, stride, g, k, rows, columns, there, REAL: tl.constexpr):
    """``_exponents`` of columns that are met once."""
    potentials = _potentials(g, k, columns, REAL)
    return _exponents(scores, stride, tl.load(g + k).to(REAL), potentials, k, rows, columns, there)


@triton.jit
def _keep(lse, a, weighted, rows, there, top, total):
    """Store the rows' logsumexp; returns their weight over their total, and the weighted sum so far."""
    row_lse = top.to(tl.float64) + tl.log(total).to(tl.float64)
    tl.store(lse + rows, row_lse, mask=there)
    weight = tl.load(a + rows, mask=there, other=0.0)
    weighted += tl.sum(weight * tl.where(there, row_lse, 0.0), 0)
    return weight.to(total.dtype) / total, weighted


@triton.jit
def _add(sums, columns, k, c):
    """sums += c, of some columns."""
    there = columns < k
    tl.store(sums + columns, tl.load(sums + columns, mask=there, other=0.0) + c.to(tl.float64), mask=there)


@triton.jit
def _power(x, PRECISE: tl.constexpr):
    """Of what ``sweep`` has as exponents."""
    return tl.exp(x) if PRECISE else tl.exp2(x)


@triton.jit(do_not_specialize=["n"], do_not_specialize_on_alignment=["a", "lse"])
def sweep(
    scores,
    stride,
    g,
    a,
    lse,
    partial,
    n,
    k,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    ROWS: tl.constexpr,
    STINT: tl.constexpr,
    STAGES: tl.constexpr,
    PRECISE: tl.constexpr,
    ALIGN: tl.constexpr,
):
    """docs/algorithm.md eq. (1), a row in registers; partial (P, k+1) += c and sum_i a_i lse_i.

    Args:
        scores: (n, k).
        a: (n,) float64 weights.
        lse: (n,) float64, out.
        partial: (P, k+1) float64, zero at first.
        HEAD, TAIL: powers of two that together are k or a little more; TAIL may be 0.
        STINT: groups of rows that float32 adds up before float64 takes over.
        STAGES: groups of rows on their way from memory at a time.
        PRECISE: whether in float64, else in float32.
    """
    k, stride = k * ALIGN, stride * ALIGN
    # Exponents of float32 are to base 2, which the hardware takes powers of.
    unit: tl.constexpr = 1.0 if PRECISE else LOG2E
    nats: tl.constexpr = 1.0 if PRECISE else LN2
    REAL: tl.constexpr = tl.float64 if PRECISE else tl.float32
    scale = (tl.load(g + k) * unit).to(REAL)
    program = tl.program_id(0).to(tl.int64)
    step = tl.num_programs(0).to(tl.int64) * ROWS
    own = partial + program * (k + 1)
    weighted = tl.zeros([], tl.float64)
    head = tl.arange(0, HEAD)
    head_g = (_potentials(g, k, head, tl.float64) * unit).to(REAL)
    if TAIL:
        tail = HEAD + tl.arange(0, TAIL)
        tail_g = (_potentials(g, k, tail, tl.float64) * unit).to(REAL)
    for stint in range(program * ROWS, n, step * STINT):
        head_c = tl.zeros([HEAD], REAL)
        if TAIL:
            tail_c = tl.zeros([TAIL], REAL)
        for start in tl.range(stint, tl.minimum(stint + step * STINT, n), step, num_stages=STAGES):
            rows = start + tl.arange(0, ROWS)
            there = rows < n
            x = _exponents(scores, stride, scale, head_g, k, rows, head, there)
            top = tl.max(x, 1)
            if TAIL:
                y = _exponents(scores, stride, scale, tail_g, k, rows, tail, there)
                top = tl.maximum(top, tl.max(y, 1))
            x = _power(x - top[:, None], PRECISE)
            total = tl.sum(x, 1)
            if TAIL:
                y = _power(y - top[:, None], PRECISE)
                total += tl.sum(y, 1)
            weight, weighted = _keep(lse, a, weighted, rows, there, top * nats, total)
            head_c += tl.sum(x * weight[:, None], 0)
            if TAIL:
                tail_c += tl.sum(y * weight[:, None], 0)
        _add(own, head, k, head_c)
        if TAIL:
            _add(own, tail, k, tail_c)
        tl.debug_barrier()  # another thread may be the next to add here
    tl.store(own + k, tl.load(own + k) + weighted)


@triton.jit(do_not_specialize=["n"], do_not_specialize_on_alignment=["a", "lse"])
def sweep_wide(
    scores,
    stride,
    g,
    a,
    lse,
    partial,
    n,
    k,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    REAL: tl.constexpr,
    ALIGN: tl.constexpr,
):
    """``sweep`` for any k, in any precision: twice over the columns of a few rows, the second time from the cache."""
    k, stride = k * ALIGN, stride * ALIGN
    program = tl.program_id(0).to(tl.int64)
    own = partial + program * (k + 1)
    weighted = tl.zeros([], tl.float64)
    for start in range(program * ROWS, n, tl.num_programs(0).to(tl.int64) * ROWS):
        rows = start + tl.arange(0, ROWS)
        there = rows < n
        top = tl.full([ROWS], float("-inf"), REAL)
        total = tl.zeros([ROWS], REAL)
        for first in range(0, k, COLUMNS):
            x = _tile(scores, stride, g, k, rows, first + tl.arange(0, COLUMNS), there, REAL)
            higher = tl.maximum(top, tl.max(x, 1))
            shift = tl.where(higher == float("-inf"), 0.0, higher)  # nothing but labels out of use so far
            total = total * tl.exp(top - shift) + tl.sum(tl.exp(x - shift[:, None]), 1)
            top = higher
        weight, weighted = _keep(lse, a, weighted, rows, there, top, total)
        for first in range(0, k, COLUMNS):
            columns = first + tl.arange(0, COLUMNS)
            x = _tile(scores, stride, g, k, rows, columns, there, REAL)
            c = tl.sum(tl.exp(x - top[:, None]) * weight[:, None], 0)
            _add(own, columns, k, c)
        tl.debug_barrier()
    tl.store(own + k, tl.load(own + k) + weighted)


@triton.jit(do_not_specialize=["programs"])
def total(partial, out, programs, length, COLUMNS: tl.constexpr, PROGRAMS: tl.constexpr):
    """out (length,) += the rows of partial (programs, length), in an order that is always the same."""
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    there = columns < length
    sums = tl.load(out + columns, mask=there, other=0.0)
    for first in range(0, programs, PROGRAMS):
        rows = first + tl.arange(0, PROGRAMS)
        inside = (rows < programs)[:, None] & there[None, :]
        sums += tl.sum(tl.load(partial + rows[:, None] * length + columns[None, :], mask=inside, other=0.0), 0)
    tl.store(out + columns, sums, mask=there)


@triton.jit(do_not_specialize=["n"], do_not_specialize_on_alignment=["best", "label", "count"])
def scan(
    scores,
    stride,
    g,
    width,
    best,
    label,
    count,
    n,
    k,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    ALIGN: tl.constexpr,
    COUNT: tl.constexpr,
):
    """The best S/epsilon + g of each row, its first label, and how many lie within ``width`` of it, in float64.

    Args:
        width: (1,) float64, nats.
        best: (n,) float64, out. label: (n,) int64, out. count: (n,) int32, out, if COUNT.
    """
    k, stride = k * ALIGN, stride * ALIGN
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    there = rows < n
    top = tl.full([ROWS], float("-inf"), tl.float64)
    which = tl.zeros([ROWS], tl.int32)
    for first in range(0, k, COLUMNS):
        columns = first + tl.arange(0, COLUMNS)
        x = _tile(scores, stride, g, k, rows, columns, there, tl.float64)
        higher = tl.max(x, 1)
        where = tl.min(tl.where(x == higher[:, None], columns[None, :], _FAR), 1)
        which = tl.where(higher > top, where, which)
        top = tl.maximum(top, higher)
    tl.store(best + rows, top, mask=there)
    tl.store(label + rows, which.to(tl.int64), mask=there)
    if COUNT:
        bar = top - tl.load(width)
        near = tl.zeros([ROWS], tl.int32)
        for first in range(0, k, COLUMNS):
            columns = first + tl.arange(0, COLUMNS)
            x = _tile(scores, stride, g, k, rows, columns, there, tl.float64)
            near += tl.sum(((x >= bar[:, None]) & (x > float("-inf"))).to(tl.int32), 1)
        tl.store(count + rows, near, mask=there)


@triton.jit(do_not_specialize=["n"], do_not_specialize_on_alignment=["best", "indptr", "label", "score"])
def fill(
    scores,
    stride,
    g,
    width,
    best,
    indptr,
    label,
    score,
    n,
    k,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    ALIGN: tl.constexpr,
):
    """Write what ``scan`` counted, row by row and ascending: its labels and scores, at indptr (n+1,) int64."""
    k, stride = k * ALIGN, stride * ALIGN
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    there = rows < n
    bar = tl.load(best + rows, mask=there, other=0.0) - tl.load(width)
    place = tl.load(indptr + rows, mask=there, other=0)
    for first in range(0, k, COLUMNS):
        columns = first + tl.arange(0, COLUMNS)
        x = _tile(scores, stride, g, k, rows, columns, there, tl.float64)
        near = (x >= bar[:, None]) & (x > float("-inf")) & there[:, None]
        counted = near.to(tl.int32)
        here = tl.sum(counted, 1)
        if tl.max(here, 0) > 0:  # seldom, where few entries are near: what follows is most of the work
            at = place[:, None] + tl.cumsum(counted, 1) - 1
            s = tl.load(scores + rows[:, None] * stride + columns[None, :], mask=near)
            tl.store(label + at, tl.broadcast_to(columns[None, :], [ROWS, COLUMNS]), mask=near)
            tl.store(score + at, s, mask=near)
            place += here


@triton.jit
def _listed(label, score, g, scale, entry, end, shift):
    """Of some entries of rows: which there are, their labels, and their share relative to shift, 0 beyond the last."""
    listed = entry < end
    j = tl.load(label + entry, mask=listed, other=0)
    s = tl.load(score + entry, mask=listed, other=0.0).to(tl.float64)
    return listed, j, tl.where(listed, tl.exp(s * scale - shift + tl.load(g + j)), 0.0)


@triton.jit(do_not_specialize=["m"], do_not_specialize_on_alignment=["indptr", "label", "score", "lse", "a", "partial"])
def sweep_listed(indptr, label, score, g, lse, a, column_sums, partial, m, k, ROWS: tl.constexpr, LANES: tl.constexpr):
    """F and c of listed entries alone, in float64: a program, of one warp, takes ROWS rows at a time, LANES lanes each.

    So nothing is waited for but the rows' own memory; what a row costs beside its entries, the logarithm and the
    division, a warp pays once for all ROWS; and up to 4 LANES entries, as most rows have, are looked at once.

    Args:
        indptr, label, score: m rows in compressed form.
        lse: (m,) float64: rises are measured from it.
        column_sums: (k,) int64, zero at first: += c in units of 1/UNIT.
        partial: (P,) float64, out: sum_i a_i (logsumexp_i - lse_i) of the program's rows.
    """
    scale = tl.load(g + k)
    weighted = tl.zeros([ROWS], tl.float64)
    step = tl.num_programs(0).to(tl.int64) * ROWS
    for start in range(tl.program_id(0).to(tl.int64) * ROWS, m, step):
        rows = start + tl.arange(0, ROWS)
        there = rows < m
        first, end = tl.load(indptr + rows, mask=there, other=0), tl.load(indptr + rows + 1, mask=there, other=0)
        shift, weight = tl.load(lse + rows, mask=there, other=0.0)[:, None], tl.load(a + rows, mask=there, other=0.0)
        longest = tl.max(end - first, 0)
        entry, end = first[:, None] + tl.arange(0, LANES)[None, :], end[:, None]
        listed_0, j_0, q_0 = _listed(label, score, g, scale, entry, end, shift)
        listed_1, j_1, q_1 = _listed(label, score, g, scale, entry + LANES, end, shift)
        listed_2, j_2, q_2 = _listed(label, score, g, scale, entry + 2 * LANES, end, shift)
        listed_3, j_3, q_3 = _listed(label, score, g, scale, entry + 3 * LANES, end, shift)
        totals = (q_0 + q_1) + (q_2 + q_3)
        for offset in range(4 * LANES, longest, LANES):
            totals += _listed(label, score, g, scale, entry + offset, end, shift)[2]
        total = tl.where(there, tl.sum(totals, 1), 1.0)
        weighted += weight * tl.log(total)
        weight = (weight * UNIT / total)[:, None]
        tl.atomic_add(column_sums + j_0, (q_0 * weight).to(tl.int64), mask=listed_0, sem="relaxed")
        tl.atomic_add(column_sums + j_1, (q_1 * weight).to(tl.int64), mask=listed_1, sem="relaxed")
        tl.atomic_add(column_sums + j_2, (q_2 * weight).to(tl.int64), mask=listed_2, sem="relaxed")
        tl.atomic_add(column_sums + j_3, (q_3 * weight).to(tl.int64), mask=listed_3, sem="relaxed")
        for offset in range(4 * LANES, longest, LANES):
            listed, j, q = _listed(label, score, g, scale, entry + offset, end, shift)
            tl.atomic_add(column_sums + j, (q * weight).to(tl.int64), mask=listed, sem="relaxed")
    tl.store(partial + tl.program_id(0), tl.sum(weighted, 0))
