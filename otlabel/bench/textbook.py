"""Two loops that others use, each written once, in the operators that NumPy's arrays and torch's tensors share."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

CHECK = 10  # iterations between two looks at SeLa's stopping rule


def scalings(
    power: Any,
    *,
    tol: float | None = None,
    stop: float = 0.1,
    max_iterations: int = 10_000,
    limit: float = float("inf"),
) -> tuple[Any, int]:
    """Sinkhorn-Knopp as SeLa states it (Asano et al., 2020, eq. 8): scale rows and columns of P**lambda in turn.

    Args:
        power: (n, k) P**lambda, up to a factor a row. Entries that underflow stay lost.
        tol: stop when the column sums of the plan are this far from 1/k, in L1. By default stop as SeLa's code does,
            when the sum over rows of |c / c_new - 1| is below ``stop``.
        limit: seconds after which to give up.

    Returns:
        The column scaling (k,), whose logarithm is g, and the iterations done: two products with the matrix each.
    """
    n, k = power.shape
    end = time.perf_counter() + limit
    row, column = power[:, 0] * 0 + 1.0 / n, None  # a vector of whatever library the matrix is of
    for iteration in range(1, max_iterations + 1):
        mass = row @ power
        if tol is not None and column is not None and abs(column * mass - 1 / k).sum() <= tol:
            break
        column = (1.0 / k) / mass
        new = (1.0 / n) / (power @ column)
        done = tol is None and iteration % CHECK == 0 and bool(abs(row / new - 1).sum() < stop)
        row = new
        if done or time.perf_counter() > end:
            break
    return column, iteration


def kernel(scores: Any, epsilon: float, dtype: Any = np.float64) -> Any:
    """P**lambda up to a factor a row, which the row scaling takes up."""
    power = scores.astype(dtype)
    power -= power.max(axis=1, keepdims=True)
    power /= epsilon
    return np.exp(power, out=power)


def potentials(scores: np.ndarray, epsilon: float, **options: Any) -> tuple[np.ndarray, int]:
    """``scalings`` of NumPy scores, in float64: g (k,) as ``otlabel.assign`` returns it, and the iterations."""
    column, iterations = scalings(kernel(scores, epsilon), **options)
    g = np.log(column)
    return g - g.mean(), iterations


def potentials_on_device(scores: Any, epsilon: float, dtype: Any, **options: Any) -> tuple[np.ndarray, int]:
    """``scalings`` of a torch tensor, on its device and in the given precision; gives up after 30 seconds."""
    power = scores.to(dtype)
    power -= power.amax(1, keepdim=True)
    power /= epsilon
    column, iterations = scalings(power.exp_(), limit=30.0, **options)
    g = column.log().double().cpu().numpy()
    return g - g.mean(), iterations


def swav(q: Any, iterations: int) -> list[Any]:
    """The fixed few iterations of SwAV (Caron et al., 2020, appendix A.1), in place.

    Args:
        q: (n, k) exp(scores / epsilon), scaled so that nothing overflows. It becomes the plan.

    Returns:
        What the columns were divided by, (k,) each time: g is minus the sum of their logarithms.
    """
    n, k = q.shape
    totals = []
    for _ in range(iterations):
        totals.append(q.sum(0) * k)
        q /= totals[-1]
        q /= q.sum(1)[:, None] * n
    return totals
