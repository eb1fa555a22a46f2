"""What of a row matters: the places of its vectors that are near the best, and work on those alone."""

from __future__ import annotations

import dataclasses
import functools

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from .numba_vectors import (
    F32,
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
    power,
    splat,
    store,
    sum_of,
    variable_of,
)

_DEEP = dataclasses.replace(SINGLE, lowest=-60.0)  # no square is taken of these


@intrinsic
def exponents(typing_context, row, scale, g, x):
    """x_j = row_j*scale + g_j; returns the largest of them."""

    def code(context, builder, signature, arguments):
        row, scale, g, x = arguments
        g, x = (data_of(context, builder, signature.args[i], arguments[i]) for i in (2, 3))
        tops = [variable_of(builder, SINGLE.constant(float("-inf"))) for _ in range(UNROLLED)]

        def work(index, value, which):
            store(builder, value, x, index)
            builder.store(maximum(builder, value, builder.load(tops[which])), tops[which])

        Row(context, builder, signature.args[0], row, scale, ir.Constant(F32, 0.0), g, SINGLE).each(work)
        return largest_of(builder, [builder.load(top) for top in tops])

    return numba.float32(row, numba.float32, g, x), code


@intrinsic
def places_above(typing_context, x, bar, places):
    """Where vectors of x begin in which some number is bar or more, into places; returns how many there are.

    x is as long as a whole number of UNROLLED vectors: those are passed over together.
    """

    def code(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        columns, x = builder.extract_value(array.shape, 0), array.data
        bar, places = splat(builder, arguments[1]), data_of(context, builder, signature.args[2], arguments[2])
        count = variable_of(builder, index_of(0))
        with cgutils.for_range(builder, builder.udiv(columns, index_of(UNROLLED * LANES))) as loop:
            first = builder.mul(loop.index, index_of(UNROLLED * LANES))
            indices = [builder.add(first, index_of(LANES * which)) for which in range(UNROLLED)]
            values = [load(builder, x, index) for index in indices]
            top = functools.reduce(lambda one, other: maximum(builder, one, other), values)
            with builder.if_then(_is_any(builder, _hits(builder, top, bar))):
                for index, value in zip(indices, values, strict=True):
                    so_far = builder.load(count)
                    builder.store(index, builder.gep(places, [so_far]))  # without a branch: it could not be guessed
                    found = builder.zext(_is_any(builder, _hits(builder, value, bar)), I64)
                    builder.store(builder.add(so_far, found), count)
        return builder.load(count)

    return numba.int64(x, numba.float32, places), code


@intrinsic
def hits_at(typing_context, x, place, bar):
    """A bit for each number of the vector at a place: whether it is bar or more."""

    def code(context, builder, signature, arguments):
        x, place, bar = arguments
        x = data_of(context, builder, signature.args[0], x)
        return builder.zext(_hits(builder, load(builder, x, place), splat(builder, bar)), I64)

    return numba.int64(x, numba.int64, numba.float32), code


def _is_any(builder, bits):
    return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))


def _hits(builder, values, bar):
    return builder.bitcast(builder.fcmp_ordered(">=", values, bar, flags=STRICT), ir.IntType(LANES))


@intrinsic
def lowest_bit(typing_context, bits):
    """The number of the lowest bit that is set."""

    def code(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return numba.int64(numba.int64), code


@intrinsic
def powers_between(typing_context, x, places, count, top, least, most):
    """In the vectors at the first places x_j becomes 2**(x_j - top) if least <= x_j < most, else 0; returns the sum."""

    def code(context, builder, signature, arguments):
        x, places, count, *bounds = arguments
        x, places = (data_of(context, builder, signature.args[i], arguments[i]) for i in (0, 1))
        top, least, most = (splat(builder, bound) for bound in bounds)
        total, nothing = variable_of(builder, SINGLE.constant(0.0)), SINGLE.constant(0.0)
        with cgutils.for_range(builder, count) as loop:
            index = builder.load(builder.gep(places, [loop.index]))
            value = load(builder, x, index)
            found = power(builder, builder.fsub(value, top, flags=STRICT), _DEEP)
            found = builder.select(builder.fcmp_ordered(">=", value, least, flags=STRICT), found, nothing)
            found = builder.select(builder.fcmp_ordered("<", value, most, flags=STRICT), found, nothing)
            store(builder, found, x, index)
            builder.store(builder.fadd(builder.load(total), found, flags=STRICT), total)
        return sum_of(builder, [builder.load(total)])

    return numba.float32(x, places, numba.int64, numba.float32, numba.float32, numba.float32), code


@intrinsic
def add_at(typing_context, c, w, x, places, count):
    """c_j += w * x_j in the vectors at the first places."""

    def code(context, builder, signature, arguments):
        c, x, places = (data_of(context, builder, signature.args[i], arguments[i]) for i in (0, 2, 3))
        w, count = splat(builder, arguments[1]), arguments[4]
        with cgutils.for_range(builder, count) as loop:
            index = builder.load(builder.gep(places, [loop.index]))
            scaled = builder.fmul(w, load(builder, x, index), flags=STRICT)
            store(builder, builder.fadd(load(builder, c, index), scaled, flags=STRICT), c, index)
        return context.get_dummy_value()

    return numba.void(c, numba.float32, x, places, numba.int64), code
