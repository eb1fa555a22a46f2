"""What a solve will need beside its scores, compared with what is there, before it starts."""

from __future__ import annotations

import numpy as np

from ._solver.engines import has_dense, prefers_dense
from ._solver.tuning import Tuning
from ._system import machine
from .backends import Kernels
from .backends.protocol import ENTRY

_ROOM = 3.2  # the lists of two surveys, and what is taken from one; for a few sweeps four may be alive
_TIED = 36  # bytes of an entry that is as good as the row's best: balanced rounding lists it, and keeps it in a heap
_ITEM = 64  # bytes an item for labels, potentials and bookkeeping
_VECTORS = 64  # of k, beside L-BFGS's: partial sums


def check(kernels: list[Kernels], shape: tuple[int, int], init: np.ndarray, tol: float, tuning: Tuning) -> None:
    """Raise MemoryError if the solves of all heads, one after the other, need more than is free.

    Args:
        kernels: of each head.
        shape: n, k.
        init: (h, k) potentials to start from.
        tol, tuning: of the solves, which say how wide lists will be.
    """
    if not all(head.in_host_memory for head in kernels):
        return  # what a device lacks its library tells, and its lists are bounded
    most = _needed(shape, shape[1], shape[1], tol, tuning)  # if all entries were listed
    if most > machine.free_memory():
        needed = max(estimate(head, shape, g, tol, tuning) for head, g in zip(kernels, init, strict=True))
        machine.require(needed, f"labelling {shape[0]:,} items with {shape[1]:,} labels")


def estimate(kernels: Kernels, shape: tuple[int, int], init: np.ndarray, tol: float, tuning: Tuning) -> float:
    """Bytes that the solve of one head allocates, from what lies near the best of some rows."""
    n, k = shape
    x = kernels.rows(tuning.sample_of(n)) + init
    depth = x.max(axis=1, keepdims=True) - x
    listed = float(min(k, tuning.listed))  # dense sweeps list nothing; but what rounds their plan does
    tied = float((depth <= tuning.nearest_tie).sum(axis=1).mean())
    if not (has_dense(kernels) and prefers_dense(lambda: depth, n * k, tol, tuning)):
        listed = max(float((depth <= tuning.near(tol)).sum(axis=1).mean()), listed)
    return _needed(shape, listed, tied, tol, tuning)


def _needed(shape: tuple[int, int], listed: float, tied: float, tol: float, tuning: Tuning) -> float:
    """Bytes for the solve of one head and its rounding, with so many entries of a row listed, and tied."""
    n, k = shape
    hessian = 4 * 8 * k**2 if k <= tuning.largest_square else 0
    vectors = _VECTORS + 2 * tuning.pairs(tol)
    return n * (listed * ENTRY * _ROOM + (tied - 1) * _TIED + _ITEM) + 8 * k * vectors + hessian
