"""What arithmetic in float32 and float64 may get wrong, and the way around underflow: one rule for all backends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .protocol import TINY, Sweep

FINE = 1e-3  # nats: exponents of float32 that are wrong by no more than this do for a sweep's first looks


def float32_error(largest: float, scale: float, g: np.ndarray) -> float:
    """A bound on the error, in nats, of S/epsilon + g in float32: four roundings.

    Args:
        largest: of |S|.
        scale: 1/epsilon.
        g: (k,) potentials; -inf is exact.
    """
    return 4 * 2.0**-24 * (largest * scale + np.abs(g[np.isfinite(g)]).max())


def float64_blur(largest: float, scale: float) -> float:
    """Nats: float64's own rounding of the largest S/epsilon."""
    return 2.0**-53 * largest * scale


def swept(
    logsumexp: float, c: np.ndarray, g: np.ndarray, log_columns: Callable[[np.ndarray], np.ndarray]
) -> tuple[Sweep, int]:
    """A sweep whose column sums of labels in use may have underflown: those below TINY come from the log domain.

    Args:
        logsumexp: as ``Sweep`` has it.
        c: (k,) column sums as they were added up; overwritten.
        g: (k,) potentials; labels at -inf are not in use, and their c is 0.
        log_columns: log c_j of some columns (m,), by another pass over the scores; only asked where there are any.

    Returns:
        the sweep, and how many columns were computed again.
    """
    with np.errstate(divide="ignore"):
        log_c = np.log(c)
    tiny = np.flatnonzero((c < TINY) & np.isfinite(g))
    if tiny.size:
        log_c[tiny] = log_columns(tiny)
        c[tiny] = np.exp(log_c[tiny])
    return Sweep(logsumexp, c, log_c), len(tiny)
