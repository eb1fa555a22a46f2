"""The exponential of the compiled loops, in float64, in a form that LLVM turns into SIMD."""

from __future__ import annotations

import numba
from llvmlite import ir
from numba.extending import intrinsic


@intrinsic
def _as_float64(typing_context, bits):
    """Reinterpret 64 integer bits as a float64."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return numba.float64(numba.int64), code


@intrinsic
def _as_int64(typing_context, value):
    """Reinterpret a float64 as 64 integer bits."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return numba.int64(numba.float64), code


_MAGIC = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer, which the low bits then hold
_LOG2E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10


@numba.njit(fastmath={"nnan", "contract"})
def exp(x):
    """exp(x) for x <= 700, relative error 4e-16; 0 below -600, so that no product with it is subnormal.

    exp(x) = 2**m exp(r), |r| <= log(2)/2; a polynomial, because LLVM turns that into SIMD, and no call.
    A function of its own, without "reassoc": reordering would cancel the addition of _MAGIC.
    """
    t = max(x, -700.0) * _LOG2E + _MAGIC
    m = t - _MAGIC
    r = (max(x, -700.0) - m * _LN2_HIGH) - m * _LN2_LOW
    p = 1.6059043836821613e-10
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.7557319223985893e-07
    p = p * r + 2.7557319223985888e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 0.0001984126984126984
    p = p * r + 0.001388888888888889
    p = p * r + 0.008333333333333333
    p = p * r + 0.041666666666666664
    p = p * r + 0.16666666666666666
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    power = _as_float64((_as_int64(t) + 1023) << 52)
    return p * power if x > -600.0 else 0.0
