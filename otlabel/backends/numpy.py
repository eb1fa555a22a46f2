"""Kernels in NumPy and float64: short, for any machine; what the other backends must agree with."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Self

import numpy as np
from scipy.sparse import csr_array
from scipy.special import logsumexp

from .._input.sources import Stored
from . import TINY, Shortlist, Sweep
from . import Survey as AnySurvey

_BLOCK = 1 << 18  # entries of a block of rows: its float64 temporaries stay in the cache


class Survey:
    """The protocol ``otlabel.backends.Survey``."""

    rough, listing = False, 0.0

    def __init__(self, kernels: Kernels, g: np.ndarray, width: float):
        k = kernels.scores.shape[1]
        c, lse, listed = np.zeros(k), [], []
        for rows, scores, x in kernels.exponents(g):
            best = x.max(axis=1, keepdims=True)
            near = (x >= best - width) & np.isfinite(x)
            q = np.exp(x - best)
            total = q.sum(axis=1)
            lse.append(best[:, 0] + np.log(total))
            c += (kernels.a[rows] / total) @ q
            row, label = np.nonzero(near)
            value = scores[near] - lse[-1][row]
            listed.append((near.sum(axis=1), label.astype(np.int32), value))
        counts, labels, values = zip(*listed, strict=True)
        self._a, self._lse = kernels.a, np.concatenate(lse)
        log_c, columns = log_columns(kernels, g, c, self._lse)
        self.swept = Sweep(float(self._a @ self._lse), c, log_c)
        self._list(np.concatenate(counts), np.concatenate(labels), np.concatenate(values))
        self.cost = 1.0 + columns / k

    def _list(self, counts: np.ndarray, label: np.ndarray, value: np.ndarray) -> None:
        self._indptr, self._label, self._value = np.concatenate([[0], np.cumsum(counts)]), label, value
        self.density = len(label) / (len(counts) * len(self.swept.c))
        self.pairs = float((counts.astype(float) ** 2).sum()) / len(label)

    def narrowed(self, g: np.ndarray, width: float) -> Survey:
        x, first = self._value + g[self._label], self._indptr[:-1]
        near = x >= np.repeat(np.maximum.reduceat(x, first) - width, np.diff(self._indptr))
        narrow = copy.copy(self)
        narrow._list(np.add.reduceat(near, first, dtype=np.int64), self._label[near], self._value[near])
        return narrow

    def sweep(self, g: np.ndarray) -> tuple[float, np.ndarray]:
        near = np.exp(self._value + g[self._label])
        total = np.add.reduceat(near, self._indptr[:-1])
        weight = np.repeat(self._a / total, np.diff(self._indptr))
        c = np.bincount(self._label, weights=near * weight, minlength=len(g))
        return float(self._a @ (self._lse + np.log(total))), c

    def hessian(self, g: np.ndarray) -> np.ndarray:
        near = np.exp(self._value + g[self._label])
        row = np.repeat(np.arange(len(self._a)), np.diff(self._indptr))
        near *= (np.sqrt(self._a) / np.add.reduceat(near, self._indptr[:-1]))[row]
        p = csr_array((near, self._label, self._indptr), shape=(len(self._a), len(g)))
        return (p.T @ p).toarray()


class Kernels:
    """The protocol ``otlabel.backends.Kernels``, a block of rows at a time."""

    in_host_memory = True

    def __init__(self, scores: np.ndarray, scale: float, a: np.ndarray, largest: float):
        self.scores, self.scale, self.a, self.largest = scores, scale, a, largest
        self.blur = 2.0**-53 * largest * scale

    def rescaled(self, factor: float) -> Self:
        return type(self)(self.scores, self.scale * factor, self.a, self.largest)

    def seekable(self) -> Self:
        if not isinstance(self.scores, Stored):
            return self
        return type(self)(self.scores.seekable(), self.scale, self.a, self.largest)

    def survey(self, g: np.ndarray, width: float, precise: bool) -> AnySurvey:
        return Survey(self, g, width)

    def labels(self, g: np.ndarray) -> np.ndarray:
        return np.concatenate([x.argmax(axis=1) for _, _, x in self.exponents(g)])

    def shortlist(self, g: np.ndarray, width: float) -> Shortlist:
        best, counts, labels, values = [], [], [], []
        for _, scores, x in self.exponents(g):
            block_best = x.max(axis=1)
            near = (x >= (block_best - width)[:, None]) & np.isfinite(x)
            best.append(block_best)
            counts.append(near.sum(axis=1))
            labels.append(np.nonzero(near)[1].astype(np.int32))
            values.append(scores[near])
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
        return Shortlist(np.concatenate(best), indptr, np.concatenate(labels), np.concatenate(values))

    def regrets(self, items: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        least, which = np.full(self.scores.shape[1], np.inf), np.zeros(self.scores.shape[1], dtype=np.int64)
        step = max(1, _BLOCK // len(least))
        for start in range(0, len(items), step):
            scores = self.rows(items[start : start + step])
            regrets = scores[:, [label]] - scores
            first = regrets.argmin(axis=0)
            regret = regrets[first, np.arange(len(least))]
            which = np.where(regret < least, items[start : start + step][first], which)
            least = np.minimum(least, regret)
        return least, which

    def rows(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.scores[rows].astype(np.float64) * self.scale

    def exponents(self, g: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """S/epsilon and S/epsilon + g, a block of rows at a time."""
        step = max(1, _BLOCK // len(g))
        for start in range(0, self.scores.shape[0], step):
            rows = slice(start, start + step)
            scores = self.scores[rows].astype(np.float64, order="C")
            scores *= self.scale
            yield rows, scores, scores + g


def log_columns(kernels: Kernels, g: np.ndarray, c: np.ndarray, lse: np.ndarray) -> tuple[np.ndarray, int]:
    """log c, from a second pass in the log domain for the columns in use whose sum is tiny; and how many those are."""
    with np.errstate(divide="ignore"):
        log_c, log_a = np.log(c), np.log(kernels.a)
    tiny = np.flatnonzero((c < TINY) & np.isfinite(g))
    if tiny.size:
        parts = [
            logsumexp(x[:, tiny] + (log_a[rows] - lse[rows])[:, None], axis=0) for rows, _, x in kernels.exponents(g)
        ]
        log_c[tiny] = logsumexp(np.stack(parts), axis=0)
    return log_c, len(tiny)
