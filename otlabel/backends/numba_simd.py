"""Operations on a chunk of 64 float32 columns, written as LLVM vectors because its loops do not become them.

Left alone, LLVM turns loops over a chunk into code several times slower than the memory. The vectors are 16 lanes wide,
one AVX-512 register; on other processors LLVM splits them.
"""

from __future__ import annotations

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
CHUNK = 64  # columns that are looked at, or passed over, together
_AHEAD = 4096  # bytes: scores are fetched into the cache this far before they are read: 10 % faster sweeps
_F32, _I32 = ir.FloatType(), ir.IntType(32)
_FLAGS = ["nnan", "nsz", "contract", "reassoc"]
_STRICT = ["nnan", "nsz", "contract"]  # reassoc would cancel the addition of _MAGIC


def _vector(element, lanes=LANES):
    return ir.VectorType(element, lanes)


def _splat(builder, scalar):
    vector = builder.insert_element(ir.Constant(_vector(scalar.type), ir.Undefined), scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(vector, vector, ir.Constant(_vector(_I32), [0] * LANES))


def _constant(value):
    return ir.Constant(_vector(_F32), [value] * LANES)


def _pointers(context, builder, kind, array, start, element):
    """Pointers to the vectors of the chunk of a 1-d array that begins at start."""
    data = context.make_array(kind)(context, builder, array).data
    for part in range(CHUNK // LANES):
        index = builder.add(start, ir.Constant(start.type, part * LANES))
        yield builder.bitcast(builder.gep(data, [index]), _vector(element).as_pointer())


def _prefetch(builder, pointer):
    byte, flag = ir.IntType(8), ir.IntType(32)
    address = builder.gep(builder.bitcast(pointer, byte.as_pointer()), [ir.Constant(ir.IntType(64), _AHEAD)])
    kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), flag, flag, flag])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [address] + [ir.Constant(flag, v) for v in (0, 3, 1)])


def _reduce(builder, operation, parts):
    """One number from the vectors: their maximum or their sum."""
    combine = {"fmax": _maximum, "fadd": lambda b, x, y: b.fadd(x, y, flags=_FLAGS)}[operation]
    while len(parts) > 1:
        parts = [combine(builder, *pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
    name = f"llvm.vector.reduce.{operation}.v{LANES}f32"
    if operation == "fmax":
        kind = ir.FunctionType(_F32, [_vector(_F32)])
        arguments = [parts[0]]
    else:
        kind = ir.FunctionType(_F32, [_F32, _vector(_F32)])
        arguments = [ir.Constant(_F32, -0.0), parts[0]]
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, arguments, fastmath=_FLAGS)


def _maximum(builder, x, y):
    return builder.select(builder.fcmp_ordered(">", x, y, flags=_STRICT), x, y)


_MAGIC = 12582912.0  # 1.5 * 2**23: adding it rounds to an integer, which the low bits then hold
_LOG2E = 1.44269504088896341
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
_POLYNOMIAL = (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0)


def _exp(builder, x):
    """exp(x) for -60 <= x <= 0, relative error 2e-7, as 2**m exp(r) with |r| <= log(2)/2; below that exp(-60).

    1e-26 is as good as nothing here, and no product with a weight is subnormal, which would be slow.
    """

    def add(p, q):
        return builder.fadd(p, q, flags=_STRICT)

    def times(p, q):
        return builder.fmul(p, q, flags=_STRICT)

    x = _maximum(builder, x, _constant(-60.0))
    t = add(times(x, _constant(_LOG2E)), _constant(_MAGIC))
    m = add(t, _constant(-_MAGIC))
    r = add(add(x, times(m, _constant(-_LN2_HIGH))), times(m, _constant(-_LN2_LOW)))
    p = _constant(_POLYNOMIAL[0])
    for coefficient in _POLYNOMIAL[1:]:
        p = add(times(p, r), _constant(coefficient))
    ints = _vector(_I32)
    power = builder.shl(
        builder.add(builder.bitcast(t, ints), ir.Constant(ints, [127] * LANES)), ir.Constant(ints, [23] * LANES)
    )
    return times(p, builder.bitcast(power, _vector(_F32)))


@intrinsic
def affine_max(typing_context, row, scale, g, x, start):
    """x_j = row_j * scale + g_j over the chunk; returns the largest. Half precision comes in as uint16, its bits."""
    stored = row.dtype

    def code(context, builder, signature, arguments):
        row_kind, _, g_kind, x_kind, _ = signature.args
        row, scale, g, x, start = arguments
        element = context.get_value_type(stored)
        wide = stored == numba.float64
        factor = _splat(builder, scale if wide else builder.fptrunc(scale, _F32))
        sources = _pointers(context, builder, row_kind, row, start, element)
        shifts = _pointers(context, builder, g_kind, g, start, _F32)
        targets = _pointers(context, builder, x_kind, x, start, _F32)
        values = []
        for source, shift, target in zip(sources, shifts, targets, strict=True):
            _prefetch(builder, source)
            value = builder.load(source, align=stored.bitwidth // 8)
            if stored == numba.uint16:
                value = builder.fpext(builder.bitcast(value, _vector(ir.HalfType())), _vector(_F32))
            value = builder.fmul(value, factor, flags=_STRICT)
            shift = builder.load(shift, align=4)
            if wide:
                shift = builder.fpext(shift, _vector(ir.DoubleType()))
            value = builder.fadd(value, shift, flags=_STRICT)
            if wide:
                value = builder.fptrunc(value, _vector(_F32))
            builder.store(value, target, align=4)
            values.append(value)
        return _reduce(builder, "fmax", values)

    return numba.float32(row, numba.float64, g, x, numba.intp), code


@intrinsic
def take(typing_context, x, start, bar, columns, count):
    """Append the columns of the chunk with x_j >= bar to columns[count:], ascending, and make their x_j -inf.

    Returns the new count.
    """

    def code(context, builder, signature, arguments):
        x_kind, _, _, columns_kind, _ = signature.args
        x, start, bar, columns, count = arguments
        bar = _splat(builder, bar)
        nothing = _constant(float("-inf"))
        bits, ints = _vector(ir.IntType(1)), _vector(_I32)
        compress = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [ints, _I32.as_pointer(), bits]),
            f"llvm.masked.compressstore.v{LANES}i32",
        )
        data = context.make_array(columns_kind)(context, builder, columns).data
        first = _splat(builder, builder.trunc(start, _I32))
        for part, pointer in enumerate(_pointers(context, builder, x_kind, x, start, _F32)):
            value = builder.load(pointer, align=4)
            hits = builder.fcmp_ordered(">=", value, bar)
            lanes = builder.add(first, ir.Constant(ints, [part * LANES + lane for lane in range(LANES)]))
            builder.call(compress, [lanes, builder.gep(data, [count]), hits])
            builder.store(builder.select(hits, nothing, value), pointer, align=4)
            found = builder.ctpop(builder.bitcast(hits, ir.IntType(LANES)))
            count = builder.add(count, builder.zext(found, count.type))
        return count

    return numba.intp(x, numba.intp, numba.float32, columns, numba.intp), code


@intrinsic
def exp_sum(typing_context, x, start, top):
    """x_j becomes exp(x_j - top) over the chunk; returns the sum."""

    def code(context, builder, signature, arguments):
        x, start, top = arguments
        top = _splat(builder, top)
        values = []
        for pointer in _pointers(context, builder, signature.args[0], x, start, _F32):
            value = _exp(builder, builder.fsub(builder.load(pointer, align=4), top, flags=_STRICT))
            builder.store(value, pointer, align=4)
            values.append(value)
        return _reduce(builder, "fadd", values)

    return numba.float32(x, numba.intp, numba.float32), code


@intrinsic
def add_scaled(typing_context, c, w, x, start):
    """c_j += w * x_j over the chunk."""

    def code(context, builder, signature, arguments):
        c_kind, _, x_kind, _ = signature.args
        c, w, x, start = arguments
        w = _splat(builder, w)
        targets = _pointers(context, builder, c_kind, c, start, _F32)
        sources = _pointers(context, builder, x_kind, x, start, _F32)
        for target, source in zip(targets, sources, strict=True):
            scaled = builder.fmul(w, builder.load(source, align=4), flags=_STRICT)
            builder.store(builder.fadd(builder.load(target, align=4), scaled, flags=_STRICT), target, align=4)
        return context.get_dummy_value()

    return numba.void(c, numba.float32, x, numba.intp), code


@intrinsic
def number(typing_context, stored):
    """A stored score as a float64 of the same value."""
    source = stored

    def code(context, builder, signature, arguments):
        value = arguments[0]
        if source == numba.uint16:
            value = builder.bitcast(value, ir.HalfType())
        return value if source == numba.float64 else builder.fpext(value, ir.DoubleType())

    return numba.float64(source), code
