"""Vectors of LLVM for rows of scores: how they are read, and what float32 and float64 make of 2**x.

Left to itself LLVM turns loops over rows into code several times slower than the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

F32, _F64, I32, I64 = ir.FloatType(), ir.DoubleType(), ir.IntType(32), ir.IntType(64)
LANES = 16  # float32 of a register of AVX-512; on other processors LLVM splits such vectors
UNROLLED = 4  # vectors in a turn of a loop over a row: as many sums stay apart
STRICT = ["nnan", "nsz", "contract"]  # "reassoc" would cancel the addition that rounds in exponentials
_AHEAD = 4096  # bytes: scores are fetched into the cache this far before they are read: 10 % faster sweeps


@dataclass(frozen=True)
class Precision:
    """How vectors of one type compute 2**x."""

    kind: ir.Type
    lanes: int
    integer: ir.Type
    fraction: int  # bits
    lowest: float  # bits: an exponent outside of these two is cut to them; no square of it is subnormal, which is slow
    highest: float  # sums of powers near 2**highest are not to be used
    polynomial: tuple[float, ...]  # 2**r for |r| <= 1/2, highest power first

    def constant(self, value: float) -> ir.Constant:
        return ir.Constant(self.vector, [value] * self.lanes)

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(self.kind, self.lanes)

    @property
    def integers(self) -> ir.VectorType:
        return ir.VectorType(self.integer, self.lanes)

    def each(self, value: int) -> ir.Constant:
        return ir.Constant(self.integers, [value] * self.lanes)


# Relative error 8e-8: the best there is of this degree, by least squares reweighted (Lawson).
SINGLE = Precision(F32, LANES, I32, 23, -50.0, 126.0, (
    0.001327647151964745, 0.0096755413307274, 0.05550713274961626,
    0.24022119723933102, 0.6931469670638646, 1.0000000716546558,
))  # fmt: skip
# Relative error 2e-17 before rounding: through the zeros of the Chebyshev polynomial, computed with 50 digits.
DOUBLE = Precision(_F64, 8, I64, 52, -1000.0, 1000.0, (
    4.4558179083360645e-10, 7.074194297288521e-09, 1.0178057087733941e-07, 1.3215432535912375e-06,
    1.5252733841556773e-05, 0.00015403530463724353, 0.001333355814640647, 0.009618129107587256,
    0.055504108664821625, 0.24022650695910158, 0.6931471805599453, 1.0,
))  # fmt: skip


def precision_of(array):
    return DOUBLE if array.dtype == numba.float64 else SINGLE


def power(builder, x, precision):
    """2**x, of an x that is cut to what the type can bear: 2**m 2**r, |r| <= 1/2."""
    constant = precision.constant
    x = maximum(builder, x, constant(precision.lowest))
    highest = constant(precision.highest)
    x = builder.select(builder.fcmp_ordered("<", x, highest, flags=STRICT), x, highest)
    magic = constant(1.5 * 2.0**precision.fraction)  # adding it rounds to an integer, which the low bits then hold
    t = builder.fadd(x, magic, flags=STRICT)
    r = builder.fsub(x, builder.fsub(t, magic, flags=STRICT), flags=STRICT)
    p = constant(precision.polynomial[0])
    for coefficient in precision.polynomial[1:]:
        p = builder.fadd(builder.fmul(p, r, flags=STRICT), constant(coefficient), flags=STRICT)
    exponent = builder.shl(builder.bitcast(t, precision.integers), precision.each(precision.fraction))
    bits = builder.add(builder.bitcast(p, precision.integers), exponent)
    return builder.bitcast(bits, precision.vector)


class Row:
    """A row of scores in a loop: its vectors as S_j*scale - shift + g_j."""

    def __init__(self, context, builder, kind, row, scale, shift, g, precision):
        self._builder, self._stored, self._precision = builder, kind.dtype, precision
        array = context.make_array(kind)(context, builder, row)
        self._data, self._k = array.data, builder.extract_value(array.shape, 0)
        self._element = context.get_value_type(kind.dtype)
        self._wide = kind.dtype == numba.float64  # computes in float64, whatever comes of it
        self._scale, self._shift = (self._splat(scalar) for scalar in (scale, shift))
        self._g = g

    def _splat(self, scalar):
        if self._wide and scalar.type == F32:
            scalar = self._builder.fpext(scalar, _F64)
        return splat(self._builder, scalar, self._precision.lanes)

    def each(self, work, unrolled: int = UNROLLED) -> None:
        """work(index, vector, which of ``unrolled``), from left to right; beyond the row g makes vectors -inf."""
        builder, lanes = self._builder, self._precision.lanes
        turn = lanes * unrolled
        turns = builder.udiv(self._k, index_of(turn))
        with cgutils.for_range(builder, turns) as loop:
            first = builder.mul(loop.index, index_of(turn))
            for which in range(unrolled):
                index = builder.add(first, index_of(lanes * which))
                work(index, self._vector(index, self._whole(index)), which)
        done = builder.mul(turns, index_of(turn))
        rest = builder.udiv(builder.sub(self._k, done), index_of(lanes))
        with cgutils.for_range(builder, rest) as loop:
            index = builder.add(done, builder.mul(loop.index, index_of(lanes)))
            work(index, self._vector(index, self._whole(index)), 0)
        done = builder.add(done, builder.mul(rest, index_of(lanes)))
        left = builder.sub(self._k, done)
        with builder.if_then(builder.icmp_unsigned(">", left, index_of(0))):
            work(done, self._vector(done, self._part(done, left)), 0)

    def _pointer(self, index):
        kind = ir.VectorType(self._element, self._precision.lanes)
        return self._builder.bitcast(self._builder.gep(self._data, [index]), kind.as_pointer())

    def _whole(self, index):
        pointer = self._pointer(index)
        _prefetch(self._builder, pointer)
        return self._builder.load(pointer, align=self._stored.bitwidth // 8)

    def _part(self, index, left):
        """The last ``left`` scores of the row, and zeros."""
        lanes = self._precision.lanes
        kind, bits = ir.VectorType(self._element, lanes), ir.VectorType(ir.IntType(1), lanes)
        name = {16: "i16", 32: "f32", 64: "f64"}[self._stored.bitwidth]
        load = cgutils.get_or_insert_function(
            self._builder.module,
            ir.FunctionType(kind, [kind.as_pointer(), I32, bits, kind]),
            f"llvm.masked.load.v{lanes}{name}.p0",
        )
        count = splat(self._builder, self._builder.trunc(left, I32), lanes)
        mask = self._builder.icmp_unsigned("<", numbers(lanes), count)
        alignment = ir.Constant(I32, self._stored.bitwidth // 8)
        return self._builder.call(load, [self._pointer(index), alignment, mask, ir.Constant(kind, None)])

    def _vector(self, index, scores):
        builder, precision = self._builder, self._precision
        doubles = ir.VectorType(_F64, precision.lanes)
        if self._stored == numba.uint16:
            scores = builder.bitcast(scores, ir.VectorType(ir.HalfType(), precision.lanes))
        if scores.type not in (precision.vector, doubles):
            scores = builder.fpext(scores, precision.vector)
        g = load(builder, self._g, index, precision)
        if g.type != scores.type:
            g = builder.fpext(g, doubles)
        x = builder.fsub(builder.fmul(scores, self._scale, flags=STRICT), self._shift, flags=STRICT)
        x = builder.fadd(x, g, flags=STRICT)
        return x if x.type == precision.vector else builder.fptrunc(x, precision.vector)


def splat(builder, scalar, lanes=LANES):
    one = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    one = builder.insert_element(one, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def maximum(builder, x, y):
    return builder.select(builder.fcmp_ordered(">", x, y, flags=STRICT), x, y)


def index_of(value):
    return ir.Constant(I64, value)


def numbers(lanes):
    return ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))


def data_of(context, builder, kind, array):
    return context.make_array(kind)(context, builder, array).data


def load(builder, data, index, precision=SINGLE):
    return builder.load(builder.bitcast(builder.gep(data, [index]), precision.vector.as_pointer()), align=4)


def store(builder, value, data, index):
    builder.store(value, builder.bitcast(builder.gep(data, [index]), value.type.as_pointer()), align=4)


def variable_of(builder, value):
    variable = cgutils.alloca_once(builder, value.type)
    builder.store(value, variable)
    return variable


def sum_of(builder, vectors):
    """One number from the vectors."""
    while len(vectors) > 1:
        vectors = [builder.fadd(*pair, flags=STRICT) for pair in zip(vectors[::2], vectors[1::2], strict=True)]
    kind = vectors[0].type
    name = f"llvm.vector.reduce.fadd.v{kind.count}f{32 if kind.element == F32 else 64}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind.element, [kind.element, kind]), name)
    # "reassoc" here alone: the order of these few is the processor's business.
    return builder.call(function, [ir.Constant(kind.element, -0.0), vectors[0]], fastmath=[*STRICT, "reassoc"])


def largest_of(builder, vectors):
    """The largest number of all vectors of float32."""
    while len(vectors) > 1:
        vectors = [maximum(builder, *pair) for pair in zip(vectors[::2], vectors[1::2], strict=True)]
    kind = ir.FunctionType(F32, [SINGLE.vector])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fmax.v{LANES}f32")
    return builder.call(function, vectors, fastmath=STRICT)


def _prefetch(builder, pointer):
    byte, flag = ir.IntType(8), ir.IntType(32)
    address = builder.gep(builder.bitcast(pointer, byte.as_pointer()), [index_of(_AHEAD)])
    kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), flag, flag, flag])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [address] + [ir.Constant(flag, v) for v in (0, 3, 1)])


@intrinsic
def number(typing_context, stored):
    """A stored score as a float64 of the same value."""
    source = stored

    def code(context, builder, signature, arguments):
        value = arguments[0]
        if source == numba.uint16:
            value = builder.bitcast(value, ir.HalfType())
        return value if source == numba.float64 else builder.fpext(value, _F64)

    return numba.float64(source), code
