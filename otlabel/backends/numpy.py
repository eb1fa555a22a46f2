"""Kernels in NumPy and float64: short, for any machine; what the other backends must agree with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
from scipy.special import logsumexp

from . import Shortlist, Sweep

_BLOCK = 1 << 18  # entries of a block of rows: its float64 temporaries stay in the cache


class Kernels:
    """The protocol ``otlabel.backends.Kernels``, a block of rows at a time."""

    def __init__(self, scores: np.ndarray, scale: float, a: np.ndarray):
        self.scores, self.scale, self.a = scores, scale, a

    def rescaled(self, factor: float) -> Self:
        return type(self)(self.scores, self.scale * factor, self.a)

    def sweep(self, g: np.ndarray) -> Sweep:
        c = np.zeros(len(g))
        total_lse = 0.0
        for rows, x in self._exponents(g):
            shift = x.max(axis=1)
            np.exp(x - shift[:, None], out=x)
            total = x.sum(axis=1)
            total_lse += float(self.a[rows] @ (shift + np.log(total)))
            c += (self.a[rows] / total) @ x
        return Sweep(total_lse, c, self.log_c(g, c))

    def log_c(self, g: np.ndarray, c: np.ndarray) -> np.ndarray:
        """log c, from a second pass in the log domain for the labels in use whose sum has underflowed."""
        with np.errstate(divide="ignore"):
            log_c = np.log(c)
        lost = np.flatnonzero((c < 1e-280) & np.isfinite(g))
        if not lost.size:
            return log_c
        parts = []
        for rows, x in self._exponents(g):
            shift = x.max(axis=1)
            with np.errstate(divide="ignore"):
                log_scale = np.log(self.a[rows]) - shift - np.log(np.exp(x - shift[:, None]).sum(axis=1))
            parts.append(logsumexp(x[:, lost] + log_scale[:, None], axis=0))
        log_c[lost] = logsumexp(np.stack(parts), axis=0)
        return log_c

    def labels(self, g: np.ndarray) -> np.ndarray:
        return np.concatenate([x.argmax(axis=1) for _, x in self._exponents(g)])

    def shortlist(self, g: np.ndarray, width: float) -> Shortlist:
        best, counts, labels, values = [], [], [], []
        for rows, x in self._exponents(g):
            block_best = x.max(axis=1)
            near = (x >= (block_best - width)[:, None]) & np.isfinite(g)
            best.append(block_best)
            counts.append(near.sum(axis=1))
            labels.append(np.nonzero(near)[1].astype(np.int32))
            values.append((self.scores[rows].astype(np.float64) * self.scale)[near])
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        return Shortlist(np.concatenate(best), indptr, np.concatenate(labels), np.concatenate(values))

    def rows(self, rows: np.ndarray) -> np.ndarray:
        return self.scores[rows].astype(np.float64) * self.scale

    def _exponents(self, g: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """S/epsilon + g, a block of rows at a time."""
        step = max(1, _BLOCK // len(g))
        for start in range(0, len(self.scores), step):
            rows = slice(start, start + step)
            x = self.scores[rows].astype(np.float64, order="C")
            x *= self.scale
            x += g
            yield rows, x
