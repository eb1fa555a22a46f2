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


def potentials_on_device(scores, epsilon: float, dtype, stop: float = 0.1, max_iterations: int = 10_000, limit=30.0):
    """``potentials`` in torch, on the device of the scores and in the given precision; ``limit`` in seconds."""
    import time

    import torch

    end = time.perf_counter() + limit

    n, k = scores.shape
    power = scores.to(dtype)
    power -= power.amax(1, keepdim=True)
    power /= epsilon
    power.exp_()
    row = torch.full((n,), 1.0 / n, dtype=dtype, device=scores.device)
    for iteration in range(1, max_iterations + 1):
        column = (1.0 / k) / (row @ power)
        new = (1.0 / n) / (power @ column)
        done = iteration % CHECK == 0 and bool((row / new - 1).abs().sum() < stop)
        row = new
        if done or time.perf_counter() > end:
            break
    g = torch.log(column).double().cpu().numpy()
    return g - g.mean(), iteration


def swav_on_device(scores, epsilon: float, iterations: int, repeats: int = 3):
    """The fixed few iterations of SwAV (Caron et al., 2020, appendix) in float32: seconds of some runs, and g (k,)."""
    import time

    import torch

    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        q = scores.float()
        q -= q.max()  # or it overflows
        q /= epsilon
        q.exp_()
        log_column = torch.zeros(q.shape[1], dtype=torch.float64, device=q.device)
        for _ in range(iterations):
            total = q.sum(0)
            log_column -= torch.log(total.double() * q.shape[1])
            q /= total * q.shape[1]
            q /= q.sum(1, keepdim=True) * q.shape[0]
        g = log_column.cpu().numpy()
        times.append(time.perf_counter() - start)
    return times, g - g.mean()
