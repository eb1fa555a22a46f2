"""Operations on whole rows: what a dense sweep is made of.

Exponents are in bits, powers of 2: S/epsilon and g come in times log2(e), and half of an exponential's work is gone.
Vectors of k numbers that are made here are padded to whole vectors of ``LANES``.
"""

from __future__ import annotations

import functools

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from .numba_vectors import (
    F32,
    I32,
    I64,
    LANES,
    SINGLE,
    STRICT,
    UNROLLED,
    Row,
    data_of,
    index_of,
    largest_of,
    load,
    maximum,
    numbers,
    power,
    precision_of,
    splat,
    store,
    sum_of,
    variable_of,
)

GROUP = 4  # rows that share what is loaded and stored of the columns
EDGES = 8  # distances from the best at which rows are counted, an even number
LOG2E = 1.4426950408889634


def padded(k: int) -> int:
    """Columns of a padded vector of k."""
    return -(-k // LANES) * LANES


@intrinsic
def powers(typing_context, row, scale, shift, g, p):
    """p_j = 2**(row_j*scale - shift + g_j), cut as ``_power`` says; returns the sum. All in the type of p."""
    precision, number = precision_of(p), p.dtype

    def code(context, builder, signature, arguments):
        row, scale, shift, g, p = arguments
        p = data_of(context, builder, signature.args[4], p)
        sums = [variable_of(builder, precision.constant(0.0)) for _ in range(UNROLLED)]

        def work(index, x, which):
            found = power(builder, x, precision)
            store(builder, found, p, index)
            builder.store(builder.fadd(builder.load(sums[which]), found, flags=STRICT), sums[which])

        g = data_of(context, builder, signature.args[3], g)
        Row(context, builder, signature.args[0], row, scale, shift, g, precision).each(work)
        return sum_of(builder, [builder.load(total) for total in sums])

    return number(row, number, number, g, p), code


@intrinsic
def rough_log2(typing_context, x):
    """log2 of a positive normal number, to a tenth: its exponent, and its mantissa as it is."""

    def code(context, builder, signature, arguments):
        bits = builder.sitofp(builder.bitcast(arguments[0], I32), F32)
        return builder.fsub(builder.fmul(bits, ir.Constant(F32, 2.0**-23)), ir.Constant(F32, 127.0))

    return numba.float32(numba.float32), code


@intrinsic
def largest(typing_context, row, scale, g):
    """The largest row_j*scale + g_j."""

    def code(context, builder, signature, arguments):
        row, scale, g = arguments
        tops = [variable_of(builder, SINGLE.constant(float("-inf"))) for _ in range(UNROLLED)]

        def work(index, x, which):
            builder.store(maximum(builder, x, builder.load(tops[which])), tops[which])

        g = data_of(context, builder, signature.args[2], g)
        Row(context, builder, signature.args[0], row, scale, ir.Constant(F32, 0.0), g, SINGLE).each(work)
        return largest_of(builder, [builder.load(top) for top in tops])

    return numba.float32(row, numba.float32, g), code


@intrinsic
def add_rows(typing_context, c, squares, p, inverse, w):
    """c_j += sum_r w_r q_rj and squares_j += sum_r w_r q_rj^2 over a group of rows, q_rj = p_rj * inverse_r."""

    def code(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        columns, c = builder.extract_value(array.shape, 0), array.data
        squares, p, inverse, w = (data_of(context, builder, signature.args[i], arguments[i]) for i in (1, 2, 3, 4))
        scalars = [
            [splat(builder, builder.load(builder.gep(data, [index_of(r)]))) for r in range(GROUP)]
            for data in (inverse, w)
        ]
        with cgutils.for_range(builder, builder.udiv(columns, index_of(LANES))) as loop:
            index = builder.mul(loop.index, index_of(LANES))
            total, square = load(builder, c, index), load(builder, squares, index)
            for r, (factor, weight) in enumerate(zip(*scalars, strict=True)):
                q = load(builder, p, builder.add(index, builder.mul(columns, index_of(r))))
                q = builder.fmul(q, factor, flags=STRICT)
                weighted = builder.fmul(q, weight, flags=STRICT)
                total = builder.fadd(total, weighted, flags=STRICT)
                square = builder.fadd(square, builder.fmul(weighted, q, flags=STRICT), flags=STRICT)
            store(builder, total, c, index)
            store(builder, square, squares, index)
        return context.get_dummy_value()

    return numba.void(c, squares, p, inverse, w), code


@intrinsic
def best_two(typing_context, row, scale, g, x, best):
    """x_j = row_j*scale + g_j, and the two largest of them into best (2,); returns the first column of the largest."""

    def code(context, builder, signature, arguments):
        row, scale, g, x, best = arguments
        g, x, best = (data_of(context, builder, signature.args[i], arguments[i]) for i in (2, 3, 4))
        nothing, last = SINGLE.constant(float("-inf")), ir.Constant(SINGLE.integers, [2**31 - 1] * LANES)
        first = [variable_of(builder, nothing) for _ in range(2)]
        second = [variable_of(builder, nothing) for _ in range(2)]
        where = [variable_of(builder, last) for _ in range(2)]

        def work(index, value, which):
            store(builder, value, x, index)
            top = builder.load(first[which])
            higher = builder.fcmp_ordered(">", value, top, flags=STRICT)
            lower = maximum(builder, builder.select(higher, top, value), builder.load(second[which]))
            builder.store(lower, second[which])
            builder.store(builder.select(higher, value, top), first[which])
            columns = builder.add(numbers(LANES), splat(builder, builder.trunc(index, I32)))
            builder.store(builder.select(higher, columns, builder.load(where[which])), where[which])

        zero = ir.Constant(F32, 0.0)
        Row(context, builder, signature.args[0], row, scale, zero, g, SINGLE).each(work, unrolled=2)
        tops, seconds, columns = ([builder.load(part) for part in parts] for parts in (first, second, where))
        higher = builder.fcmp_ordered(">", *tops, flags=STRICT)
        upper, lower = builder.select(higher, *tops), builder.select(higher, *reversed(tops))
        lower = maximum(builder, lower, maximum(builder, *seconds))
        largest = largest_of(builder, [upper])
        is_largest = builder.fcmp_ordered("==", upper, splat(builder, largest), flags=STRICT)
        runner_up = largest_of(builder, [builder.select(is_largest, lower, upper)])
        lanes = builder.ctpop(builder.bitcast(is_largest, ir.IntType(LANES)))
        tied = builder.icmp_unsigned(">", lanes, ir.Constant(ir.IntType(LANES), 1))
        builder.store(largest, builder.gep(best, [index_of(0)]))
        builder.store(builder.select(tied, largest, runner_up), builder.gep(best, [index_of(1)]))
        found = [
            builder.select(builder.fcmp_ordered("==", top, splat(builder, largest), flags=STRICT), column, last)
            for top, column in zip(tops, columns, strict=True)
        ]
        earliest = builder.select(builder.icmp_signed("<", *found), *found)
        kind = ir.FunctionType(I32, [SINGLE.integers])
        smallest = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.smin.v{LANES}i32")
        return builder.sext(builder.call(smallest, [earliest]), I64)

    return numba.int64(row, numba.float32, g, x, best), code


@intrinsic
def count_near(typing_context, x, tops, w, edges, counts):
    """counts_ej += w_r over the group's rows in which x_rj > tops_r - edges_e."""

    def code(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        columns, x = builder.extract_value(array.shape, 1), array.data
        tops, w, edges, counts = (data_of(context, builder, signature.args[i], arguments[i]) for i in (1, 2, 3, 4))
        weights = [splat(builder, builder.load(builder.gep(w, [index_of(r)]))) for r in range(GROUP)]

        def bar(r, e):
            top, edge = builder.load(builder.gep(tops, [index_of(r)])), builder.load(builder.gep(edges, [index_of(e)]))
            return splat(builder, builder.fsub(top, edge))

        bars = [[bar(r, e) for r in range(GROUP)] for e in range(EDGES)]
        nothing, bits = SINGLE.constant(0.0), ir.IntType(LANES)

        def hits_of(values, e):
            return [builder.fcmp_ordered(">", *pair, flags=STRICT) for pair in zip(values, bars[e], strict=True)]

        def add(hits, e, index):
            place = builder.add(index, builder.mul(columns, index_of(e)))
            total = load(builder, counts, place)
            for hit, weight in zip(hits, weights, strict=True):
                total = builder.fadd(total, builder.select(hit, weight, nothing), flags=STRICT)
            store(builder, total, counts, place)

        def count_within(values, e, index):
            """For edge e and all below it: what is beyond one edge is beyond those, so most vectors are soon done."""
            hits = hits_of(values, e)
            some = functools.reduce(builder.or_, (builder.bitcast(hit, bits) for hit in hits))
            with builder.if_then(builder.icmp_unsigned("!=", some, ir.Constant(bits, 0))):
                add(hits, e, index)
                add(hits_of(values, e - 1), e - 1, index)  # two at a time: half of the branches
                if e > 1:
                    count_within(values, e - 2, index)

        with cgutils.for_range(builder, builder.udiv(columns, index_of(LANES))) as loop:
            index = builder.mul(loop.index, index_of(LANES))
            values = [load(builder, x, builder.add(index, builder.mul(columns, index_of(r)))) for r in range(GROUP)]
            count_within(values, EDGES - 1, index)
        return context.get_dummy_value()

    return numba.void(x, tops, w, edges, counts), code
