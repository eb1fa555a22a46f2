"""Kernels in NumPy and float64: short, for any machine; what the other backends must agree with."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Self

import numpy as np
from scipy.sparse import csr_array
from scipy.special import logsumexp

from .._arrays.score_source import ScoreSource
from . import protocol
from .precision import float64_blur, swept
from .protocol import Shortlist


class Survey:
    """``protocol.Survey``."""

    rough, listing, narrows = False, 0.0, True

    def __init__(self, kernels: Kernels, g: np.ndarray, width: float):
        k = len(g)
        c, lse, listed = np.zeros(k), [], []
        self.squares: np.ndarray | None = np.zeros(k)
        for rows, scores, x in kernels.exponents(g):
            best = x.max(axis=1, keepdims=True)
            near = (x >= best - width) & np.isfinite(x)
            q = np.exp(x - best)
            total = q.sum(axis=1)
            lse.append(best[:, 0] + np.log(total))
            c += (kernels.a[rows] / total) @ q
            self.squares += (kernels.a[rows] / total**2) @ (q * near) ** 2
            row, label = np.nonzero(near)
            value = scores[near] - lse[-1][row]
            listed.append((near.sum(axis=1), label.astype(np.int32), value))
        counts, labels, values = zip(*listed, strict=True)
        self._a, self._lse = kernels.a, np.concatenate(lse)
        self.swept, columns = swept(
            float(self._a @ self._lse), c, g, lambda columns: kernels.log_columns(g, self._lse, columns)
        )
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
        narrow.squares = narrow._summed(narrow._softmax(g)[1] ** 2)
        return narrow

    def sweep(self, g: np.ndarray) -> tuple[float, np.ndarray]:
        total, p = self._softmax(g)
        return float(self._a @ (self._lse + np.log(total))), self._summed(p)

    def hessian(self, g: np.ndarray) -> np.ndarray:
        p = self._softmax(g)[1] * np.repeat(np.sqrt(self._a), np.diff(self._indptr))
        plan = csr_array((p, self._label, self._indptr), shape=(len(self._a), len(g)))
        return (plan.T @ plan).toarray()

    def _summed(self, entries: np.ndarray) -> np.ndarray:
        """(k,): sum_i a_i x_ij of what is listed."""
        weights = np.repeat(self._a, np.diff(self._indptr)) * entries
        return np.bincount(self._label, weights=weights, minlength=len(self.swept.c))

    def _softmax(self, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sum of each row's powers, and what is listed divided by it."""
        near = np.exp(self._value + g[self._label])
        total = np.add.reduceat(near, self._indptr[:-1])
        return total, near / np.repeat(total, np.diff(self._indptr))


class Kernels:
    """``protocol.Kernels``, a block of rows at a time."""

    in_host_memory = True
    block = 1 << 18  # entries of a block of rows: its float64 temporaries stay in the cache

    def __init__(self, source: ScoreSource, scale: float, a: np.ndarray, largest: float):
        self.source, self.scale, self.a, self.largest = source, scale, a, largest
        self.blur = float64_blur(largest, scale)

    def rescaled(self, factor: float) -> Self:
        return type(self)(self.source, self.scale * factor, self.a, self.largest)

    def seekable(self) -> Self:
        return type(self)(self.source.seekable(), self.scale, self.a, self.largest)

    def survey(self, g: np.ndarray, width: float, precise: bool) -> protocol.Survey:
        return Survey(self, g, width)

    def dense(self) -> protocol.Dense | None:
        return None  # NumPy's own passes over a matrix are slow

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

    def regrets(self, items: list[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        least, which = zip(*map(self._regrets, items, labels), strict=True)
        return np.stack(least), np.stack(which)

    def _regrets(self, items: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        k = self.source.shape[1]
        least, which = np.full(k, np.inf), np.zeros(k, dtype=np.int64)
        step = max(1, self.block // k)
        for start in range(0, len(items), step):
            scores = self.rows(items[start : start + step])
            regrets = scores[:, [label]] - scores
            first = regrets.argmin(axis=0)
            regret = regrets[first, np.arange(k)]
            which = np.where(regret < least, items[start : start + step][first], which)
            least = np.minimum(least, regret)
        return least, which

    def rows(self, rows: np.ndarray | slice) -> np.ndarray:
        return self.source[rows].astype(np.float64) * self.scale

    def exponents(self, g: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """S/epsilon and S/epsilon + g, a block of rows at a time."""
        step = max(1, self.block // len(g))
        for start in range(0, self.source.shape[0], step):
            rows = slice(start, start + step)
            scores = self.source[rows].astype(np.float64, order="C")
            scores *= self.scale
            yield rows, scores, scores + g

    def log_columns(self, g: np.ndarray, lse: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """log c_j of some columns, in the log domain. lse (n,): of the rows at g."""
        with np.errstate(divide="ignore"):
            shift = np.log(self.a) - lse
        parts = [logsumexp(x[:, columns] + shift[rows, None], axis=0) for rows, _, x in self.exponents(g)]
        return logsumexp(np.stack(parts), axis=0)
