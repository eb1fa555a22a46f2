"""Kernels for CPUs: one fused pass a sweep, compiled by numba, blocks of rows spread over threads.

Threads are Python's own (the compiled blocks release the interpreter lock): nothing is left running between calls, so
forked and threaded programs are safe. Rows are cut into parts that depend on the shape alone and partial sums are added
in order, so that results are bit-identical for any number of threads.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from . import Shortlist, Sweep
from . import numpy as _numpy

_BLOCK = 1 << 16  # entries of a block: its float64 exponents fit the second-level cache
_PART = 1 << 18  # entries of the smallest part worth a thread's start
_PARTS = 64  # at most: each holds a (k,) partial sum
_VECTOR = {"nnan", "reassoc", "nsz", "contract"}  # lets sums use SIMD; infinities keep their meaning


class Kernels(_numpy.Kernels):
    """The protocol ``otlabel.backends.Kernels``; the log-domain repair of underflowed sums is NumPy's."""

    def sweep(self, g: np.ndarray) -> Sweep:
        def part(start: int, stop: int) -> tuple[float, np.ndarray]:
            c = np.zeros(len(g))
            total = 0.0
            for rows, scores in self._blocks(start, stop):
                total += _sweep(scores, self.scale, g, self.a[rows], c)
            return total, c

        parts = self._run(part)
        c = np.sum([c for _, c in parts], axis=0)
        return Sweep(float(np.sum([total for total, _ in parts])), c, self.log_c(g, c))

    def labels(self, g: np.ndarray) -> np.ndarray:
        labels = np.empty(len(self.scores), dtype=np.int64)

        def part(start: int, stop: int) -> None:
            for rows, scores in self._blocks(start, stop):
                _labels(scores, self.scale, g, labels[rows])

        self._run(part)
        return labels

    def shortlist(self, g: np.ndarray, width: float) -> Shortlist:
        n = len(self.scores)
        best, counts = np.empty(n), np.empty(n, dtype=np.int64)

        def part(start: int, stop: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
            labels, values = [], []
            for rows, scores in self._blocks(start, stop):
                _count_near(scores, self.scale, g, width, best[rows], counts[rows])
                total = int(counts[rows].sum())
                label, value = np.empty(total, dtype=np.int32), np.empty(total)
                _fill_near(scores, self.scale, g, width, best[rows], label, value)
                labels.append(label)
                values.append(value)
            return labels, values

        parts = self._run(part)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        label = np.concatenate([block for labels, _ in parts for block in labels])
        return Shortlist(best, indptr, label, np.concatenate([block for _, values in parts for block in values]))

    def _run(self, part: Callable[[int, int], Any]) -> list[Any]:
        """part(start, stop) over all rows, in parallel; the results in order."""
        n, k = self.scores.shape
        bounds = np.linspace(0, n, int(np.clip(n * k // _PART, 1, min(_PARTS, n))) + 1).astype(int)
        spans = list(itertools.pairwise(bounds))
        threads = min(len(spans), _threads())
        if threads == 1:
            return [part(*span) for span in spans]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda span: part(*span), spans))

    def _blocks(self, start: int, stop: int):
        """Blocks of rows as C-contiguous float32 or float64, views where the caller's array already is."""
        dtype = self.scores.dtype if self.scores.dtype in (np.float32, np.float64) else _wide(self.scores.dtype)
        step = max(1, _BLOCK // self.scores.shape[1])
        for first in range(start, stop, step):
            rows = slice(first, min(first + step, stop))
            yield rows, np.ascontiguousarray(self.scores[rows], dtype=dtype)


def _wide(dtype: np.dtype) -> type[np.floating]:
    """The kernels' dtype that holds every value of a narrower one exactly."""
    return np.float32 if dtype == np.float16 else np.float64


def _threads() -> int:
    limit = os.environ.get("OTLABEL_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, int(limit)) if limit and limit.isdigit() and int(limit) > 0 else cores


@intrinsic
def _as_float64(typing_context, bits):
    """Reinterpret 64 integer bits as a float64."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return numba.float64(numba.int64), code


@intrinsic
def _as_int64(typing_context, number):
    """Reinterpret a float64 as 64 integer bits."""

    def code(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return numba.int64(numba.float64), code


@intrinsic
def _larger(typing_context, x, y):
    """max(x, y) for numbers that are not NaN, in the one form that LLVM turns into SIMD inside a reduction."""

    def code(context, builder, signature, arguments):
        flags = ["nnan", "nsz"]
        return builder.select(builder.fcmp_ordered(">", *arguments, flags=flags), *arguments, flags=flags)

    return x(x, y), code


_MAGIC = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer, which the low bits then hold
_LOG2E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10


@numba.njit(fastmath={"nnan", "contract"})
def _exp(x):
    """exp(x) for x <= 0, relative error 4e-16; 0 below -600, so that no product with it is subnormal.

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
    power = _as_float64((_as_int64(t) + 1023) << 52)  # type: ignore[call-arg, var-annotated]
    return p * power if x > -600.0 else 0.0


def _signatures(result, *rest):
    """One compiled version per storage type; read-only scores are as good as writable ones."""
    g = numba.types.Array(numba.float64, 1, "C", readonly=True)
    storage = [numba.types.Array(dtype, 2, "C", readonly=True) for dtype in (numba.float32, numba.float64)]
    return [result(scores, numba.float64, g, *rest) for scores in storage]


_F64, _I64, _I32 = numba.float64[::1], numba.int64[::1], numba.int32[::1]


@numba.njit(inline="always")
def _exponents(scores, scale, g, x):
    """x_j = S_j/epsilon + g_j of one row; returns the largest."""
    top = -np.inf
    for j in range(g.size):
        x[j] = scores[j] * scale + g[j]
        top = _larger(top, x[j])  # type: ignore[call-arg]
    return top


@numba.njit(_signatures(numba.float64, _F64, _F64), nogil=True, cache=True, fastmath=_VECTOR)
def _sweep(scores, scale, g, a, c):
    """Add the block's rows of Q, docs/algorithm.md eq. (1), to c; return sum_i a_i logsumexp_i."""
    x = np.empty(g.size)
    logsumexp = 0.0
    for i in range(scores.shape[0]):
        top = _exponents(scores[i], scale, g, x)
        total = 0.0
        for j in range(g.size):
            x[j] = _exp(x[j] - top)
            total += x[j]
        logsumexp += a[i] * (top + np.log(total))
        weight = a[i] / total
        for j in range(g.size):
            c[j] += weight * x[j]
    return logsumexp


@numba.njit(_signatures(numba.void, _I64), nogil=True, cache=True)
def _labels(scores, scale, g, labels):
    x = np.empty(g.size)
    for i in range(scores.shape[0]):
        top = _exponents(scores[i], scale, g, x)
        j = 0
        while x[j] < top:
            j += 1
        labels[i] = j


@numba.njit(_signatures(numba.void, numba.float64, _F64, _I64), nogil=True, cache=True)
def _count_near(scores, scale, g, width, best, counts):
    x = np.empty(g.size)
    for i in range(scores.shape[0]):
        best[i] = _exponents(scores[i], scale, g, x)
        count = 0
        for j in range(g.size):
            count += x[j] >= best[i] - width and g[j] > -np.inf
        counts[i] = count


@numba.njit(_signatures(numba.void, numba.float64, _F64, _I32, _F64), nogil=True, cache=True)
def _fill_near(scores, scale, g, width, best, label, value):
    entry = 0
    for i in range(scores.shape[0]):
        for j in range(g.size):
            if scores[i, j] * scale + g[j] >= best[i] - width and g[j] > -np.inf:
                label[entry] = j
                value[entry] = scores[i, j] * scale
                entry += 1
