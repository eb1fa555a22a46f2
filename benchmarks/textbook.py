"""The textbook Sinkhorn-Knopp iteration as SeLa states it (Asano et al., 2020, eq. 8), in float64: the peer to beat."""

from __future__ import annotations

import numpy as np

CHECK = 10  # iterations between two looks at the stopping rule


def potentials(scores: np.ndarray, epsilon: float, stop: float = 0.1, max_iterations: int = 10_000):
    """Alternate the two scalings of P**lambda until the sum over rows of |c / c_new - 1| is below ``stop``.

    Returns:
        g (k,) float64 as ``otlabel.assign`` returns it, and the iterations done. Entries that underflow stay lost.
    """
    n, k = scores.shape
    power = scores.astype(np.float64)
    power -= power.max(axis=1, keepdims=True)  # P up to a factor a row, which the row scaling takes up
    power /= epsilon
    np.exp(power, out=power)
    row = np.full(n, 1.0 / n)
    for iteration in range(1, max_iterations + 1):
        column = (1.0 / k) / (row @ power)
        new = (1.0 / n) / (power @ column)
        done = iteration % CHECK == 0 and np.abs(row / new - 1).sum() < stop
        row = new
        if done:
            break
    g = np.log(column)
    return g - g.mean(), iteration
