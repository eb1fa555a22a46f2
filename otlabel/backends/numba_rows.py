"""Operations on whole rows in float32, written as LLVM vectors: what a dense sweep is made of.

Exponents are in bits, powers of 2: S/epsilon and g come in times log2(e), and half of an exponential's work is gone.
Vectors of k numbers that are made here are padded to whole vectors of ``LANES``.
"""

from __future__ import annotations

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from .numba_simd import _STRICT, LANES, _constant, _maximum, _prefetch, _reduce, _splat, _vector

GROUP = 4  # rows that share what is loaded and stored of the columns
EDGES = 8  # distances from the best at which rows are counted
LOG2E = 1.4426950408889634
SHALLOW, DEEP = 126.0, -90.0  # bits: what lies outside is cut to it; sums of powers near 2**126 are not to be used
_F32, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_MAGIC = 12582912.0  # 1.5 * 2**23: adding it rounds to an integer, which the low bits then hold
# 2**r for |r| <= 1/2, relative error 8e-8: the best there is of this degree, by least squares reweighted (Lawson).
_POLYNOMIAL = (
    0.001327647151964745, 0.0096755413307274, 0.05550713274961626,
    0.24022119723933102, 0.6931469670638646, 1.0000000716546558,
)  # fmt: skip
_UNROLLED = 4  # vectors in a turn of a loop over a row: as many sums stay apart


def padded(k: int) -> int:
    """Columns of a padded vector of k."""
    return -(-k // LANES) * LANES


def _power(builder, x):
    """2**x, of an x that is cut to what float32 can bear: 2**m 2**r, |r| <= 1/2."""
    x = _maximum(builder, x, _constant(DEEP))
    x = builder.select(builder.fcmp_ordered("<", x, _constant(SHALLOW), flags=_STRICT), x, _constant(SHALLOW))
    t = builder.fadd(x, _constant(_MAGIC), flags=_STRICT)
    r = builder.fsub(x, builder.fsub(t, _constant(_MAGIC), flags=_STRICT), flags=_STRICT)
    p = _constant(_POLYNOMIAL[0])
    for coefficient in _POLYNOMIAL[1:]:
        p = builder.fadd(builder.fmul(p, r, flags=_STRICT), _constant(coefficient), flags=_STRICT)
    ints = _vector(_I32)
    exponent = builder.shl(builder.bitcast(t, ints), ir.Constant(ints, [23] * LANES))
    return builder.bitcast(builder.add(builder.bitcast(p, ints), exponent), _vector(_F32))


class _Row:
    """A row of scores in a loop: its vectors as S_j*scale - shift + g_j."""

    def __init__(self, context, builder, kind, row, scale, shift, g):
        self._builder, self._stored = builder, kind.dtype
        array = context.make_array(kind)(context, builder, row)
        self._data, self._k = array.data, builder.extract_value(array.shape, 0)
        self._element = context.get_value_type(kind.dtype)
        self._wide = kind.dtype == numba.float64  # is rounded to float32 after all else
        self._scale, self._shift = (_splat(builder, self._cast(scalar)) for scalar in (scale, shift))
        self._g = g

    def _cast(self, scalar):
        return self._builder.fpext(scalar, ir.DoubleType()) if self._wide else scalar

    def each(self, work, unrolled: int = _UNROLLED) -> None:
        """work(index, vector, which of ``unrolled``), from left to right; beyond the row g makes vectors -inf."""
        builder, turn = self._builder, LANES * unrolled
        turns = builder.udiv(self._k, _index(turn))
        with cgutils.for_range(builder, turns) as loop:
            first = builder.mul(loop.index, _index(turn))
            for which in range(unrolled):
                index = builder.add(first, _index(LANES * which))
                work(index, self._vector(index, self._whole(index)), which)
        done = builder.mul(turns, _index(turn))
        rest = builder.udiv(builder.sub(self._k, done), _index(LANES))
        with cgutils.for_range(builder, rest) as loop:
            index = builder.add(done, builder.mul(loop.index, _index(LANES)))
            work(index, self._vector(index, self._whole(index)), 0)
        done = builder.add(done, builder.mul(rest, _index(LANES)))
        left = builder.sub(self._k, done)
        with builder.if_then(builder.icmp_unsigned(">", left, _index(0))):
            work(done, self._vector(done, self._part(done, left)), 0)

    def _pointer(self, index):
        return self._builder.bitcast(
            self._builder.gep(self._data, [index]), ir.VectorType(self._element, LANES).as_pointer()
        )

    def _whole(self, index):
        pointer = self._pointer(index)
        _prefetch(self._builder, pointer)
        return self._builder.load(pointer, align=self._stored.bitwidth // 8)

    def _part(self, index, left):
        """The last ``left`` scores of the row, and zeros."""
        kind, bits = ir.VectorType(self._element, LANES), ir.VectorType(ir.IntType(1), LANES)
        name = {16: "i16", 32: "f32", 64: "f64"}[self._stored.bitwidth]
        load = cgutils.get_or_insert_function(
            self._builder.module,
            ir.FunctionType(kind, [kind.as_pointer(), _I32, bits, kind]),
            f"llvm.masked.load.v{LANES}{name}.p0",
        )
        mask = self._builder.icmp_unsigned("<", _lanes(), _splat(self._builder, self._builder.trunc(left, _I32)))
        alignment = ir.Constant(_I32, self._stored.bitwidth // 8)
        return self._builder.call(load, [self._pointer(index), alignment, mask, ir.Constant(kind, None)])

    def _vector(self, index, scores):
        builder = self._builder
        if self._stored == numba.uint16:
            scores = builder.fpext(builder.bitcast(scores, _vector(ir.HalfType())), _vector(_F32))
        x = builder.fsub(builder.fmul(scores, self._scale, flags=_STRICT), self._shift, flags=_STRICT)
        g = _load(builder, self._g, index)
        if not self._wide:
            return builder.fadd(x, g, flags=_STRICT)
        x = builder.fadd(x, builder.fpext(g, _vector(ir.DoubleType())), flags=_STRICT)
        return builder.fptrunc(x, _vector(_F32))


def _index(value):
    return ir.Constant(_I64, value)


def _lanes():
    return ir.Constant(_vector(_I32), list(range(LANES)))


def _data(context, builder, kind, array):
    return context.make_array(kind)(context, builder, array).data


def _load(builder, data, index):
    return builder.load(builder.bitcast(builder.gep(data, [index]), _vector(_F32).as_pointer()), align=4)


def _store(builder, value, data, index):
    builder.store(value, builder.bitcast(builder.gep(data, [index]), _vector(_F32).as_pointer()), align=4)


def _variable(builder, value):
    variable = cgutils.alloca_once(builder, value.type)
    builder.store(value, variable)
    return variable


@intrinsic
def powers(typing_context, row, scale, shift, g, p):
    """p_j = 2**(row_j*scale - shift + g_j), cut as ``_power`` says; returns the sum."""

    def code(context, builder, signature, arguments):
        row, scale, shift, g, p = arguments
        p = _data(context, builder, signature.args[4], p)
        sums = [_variable(builder, _constant(0.0)) for _ in range(_UNROLLED)]

        def work(index, x, which):
            power = _power(builder, x)
            _store(builder, power, p, index)
            builder.store(builder.fadd(builder.load(sums[which]), power, flags=_STRICT), sums[which])

        g = _data(context, builder, signature.args[3], g)
        _Row(context, builder, signature.args[0], row, scale, shift, g).each(work)
        return _reduce(builder, "fadd", [builder.load(total) for total in sums])

    return numba.float32(row, numba.float32, numba.float32, g, p), code


@intrinsic
def rough_log2(typing_context, x):
    """log2 of a positive normal number, to a tenth: its exponent, and its mantissa as it is."""

    def code(context, builder, signature, arguments):
        bits = builder.sitofp(builder.bitcast(arguments[0], _I32), _F32)
        return builder.fsub(builder.fmul(bits, ir.Constant(_F32, 2.0**-23)), ir.Constant(_F32, 127.0))

    return numba.float32(numba.float32), code


@intrinsic
def largest(typing_context, row, scale, g):
    """The largest row_j*scale + g_j."""

    def code(context, builder, signature, arguments):
        row, scale, g = arguments
        tops = [_variable(builder, _constant(float("-inf"))) for _ in range(_UNROLLED)]

        def work(index, x, which):
            builder.store(_maximum(builder, x, builder.load(tops[which])), tops[which])

        g = _data(context, builder, signature.args[2], g)
        _Row(context, builder, signature.args[0], row, scale, ir.Constant(_F32, 0.0), g).each(work)
        return _reduce(builder, "fmax", [builder.load(top) for top in tops])

    return numba.float32(row, numba.float32, g), code


@intrinsic
def add_rows(typing_context, c, p, w):
    """c_j += sum_r w_r p_rj over a group of rows."""

    def code(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        columns, c = builder.extract_value(array.shape, 0), array.data
        p, w = (_data(context, builder, signature.args[i], arguments[i]) for i in (1, 2))
        weights = [_splat(builder, builder.load(builder.gep(w, [_index(r)]))) for r in range(GROUP)]
        with cgutils.for_range(builder, builder.udiv(columns, _index(LANES))) as loop:
            index = builder.mul(loop.index, _index(LANES))
            total = _load(builder, c, index)
            for r, weight in enumerate(weights):
                power = _load(builder, p, builder.add(index, builder.mul(columns, _index(r))))
                total = builder.fadd(total, builder.fmul(power, weight, flags=_STRICT), flags=_STRICT)
            _store(builder, total, c, index)
        return context.get_dummy_value()

    return numba.void(c, p, w), code


@intrinsic
def best_two(typing_context, row, scale, g, x, best):
    """x_j = row_j*scale + g_j, and the two largest of them into best (2,); returns the first column of the largest."""

    def code(context, builder, signature, arguments):
        row, scale, g, x, best = arguments
        g, x, best = (_data(context, builder, signature.args[i], arguments[i]) for i in (2, 3, 4))
        nothing, last = _constant(float("-inf")), ir.Constant(_vector(_I32), [2**31 - 1] * LANES)
        first = [_variable(builder, nothing) for _ in range(2)]
        second = [_variable(builder, nothing) for _ in range(2)]
        where = [_variable(builder, last) for _ in range(2)]

        def work(index, value, which):
            _store(builder, value, x, index)
            top = builder.load(first[which])
            higher = builder.fcmp_ordered(">", value, top, flags=_STRICT)
            lower = _maximum(builder, builder.select(higher, top, value), builder.load(second[which]))
            builder.store(lower, second[which])
            builder.store(builder.select(higher, value, top), first[which])
            columns = builder.add(_lanes(), _splat(builder, builder.trunc(index, _I32)))
            builder.store(builder.select(higher, columns, builder.load(where[which])), where[which])

        zero = ir.Constant(_F32, 0.0)
        _Row(context, builder, signature.args[0], row, scale, zero, g).each(work, unrolled=2)
        tops, seconds, columns = ([builder.load(part) for part in parts] for parts in (first, second, where))
        higher = builder.fcmp_ordered(">", *tops, flags=_STRICT)
        upper, lower = builder.select(higher, *tops), builder.select(higher, *reversed(tops))
        lower = _maximum(builder, lower, _maximum(builder, *seconds))
        largest = _reduce(builder, "fmax", [upper])
        is_largest = builder.fcmp_ordered("==", upper, _splat(builder, largest), flags=_STRICT)
        runner_up = _reduce(builder, "fmax", [builder.select(is_largest, lower, upper)])
        lanes = builder.ctpop(builder.bitcast(is_largest, ir.IntType(LANES)))
        tied = builder.icmp_unsigned(">", lanes, ir.Constant(ir.IntType(LANES), 1))
        builder.store(largest, builder.gep(best, [_index(0)]))
        builder.store(builder.select(tied, largest, runner_up), builder.gep(best, [_index(1)]))
        found = [
            builder.select(builder.fcmp_ordered("==", top, _splat(builder, largest), flags=_STRICT), column, last)
            for top, column in zip(tops, columns, strict=True)
        ]
        earliest = builder.select(builder.icmp_signed("<", *found), *found)
        kind = ir.FunctionType(_I32, [_vector(_I32)])
        smallest = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.smin.v{LANES}i32")
        return builder.sext(builder.call(smallest, [earliest]), _I64)

    return numba.int64(row, numba.float32, g, x, best), code


@intrinsic
def count_near(typing_context, x, tops, w, edges, counts):
    """counts_ej += w_r over the group's rows in which x_rj > tops_r - edges_e."""

    def code(context, builder, signature, arguments):
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        columns, x = builder.extract_value(array.shape, 1), array.data
        tops, w, edges, counts = (_data(context, builder, signature.args[i], arguments[i]) for i in (1, 2, 3, 4))
        weights = [_splat(builder, builder.load(builder.gep(w, [_index(r)]))) for r in range(GROUP)]

        def bar(r, e):
            top, edge = builder.load(builder.gep(tops, [_index(r)])), builder.load(builder.gep(edges, [_index(e)]))
            return _splat(builder, builder.fsub(top, edge))

        bars = [[bar(r, e) for r in range(GROUP)] for e in range(EDGES)]
        bits = ir.IntType(LANES)
        with cgutils.for_range(builder, builder.udiv(columns, _index(LANES))) as loop:
            index = builder.mul(loop.index, _index(LANES))
            values = [_load(builder, x, builder.add(index, builder.mul(columns, _index(r)))) for r in range(GROUP)]
            hits = [
                builder.bitcast(builder.fcmp_ordered(">", value, least, flags=_STRICT), bits)
                for value, least in zip(values, bars[-1], strict=True)
            ]
            some = builder.or_(builder.or_(hits[0], hits[1]), builder.or_(hits[2], hits[3]))
            with builder.if_then(builder.icmp_unsigned("!=", some, ir.Constant(bits, 0))):
                for e in range(EDGES):
                    place = builder.add(index, builder.mul(columns, _index(e)))
                    total = _load(builder, counts, place)
                    for value, weight, least in zip(values, weights, bars[e], strict=True):
                        near = builder.fcmp_ordered(">", value, least, flags=_STRICT)
                        total = builder.fadd(total, builder.select(near, weight, _constant(0.0)), flags=_STRICT)
                    _store(builder, total, counts, place)
        return context.get_dummy_value()

    return numba.void(x, tops, w, edges, counts), code
