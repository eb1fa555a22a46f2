"""Dense sweeps on CPUs: every score, in float32, at the speed of memory. ``protocol.Dense``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from .._arrays.score_source import ScoreSource
from . import numba_dense_loops as compiled
from .numba_loops import ROWS
from .numba_rows import EDGES, LOG2E, padded
from .precision import float32_error, swept
from .protocol import Counted, Sweep


class _Kernels(Protocol):
    """What is asked of the kernels of the same scores."""

    source: ScoreSource
    scale: float
    a: np.ndarray
    largest: float
    sizes: Any

    def run(self, part: Callable[[int, int], Any], smallest: int) -> list[Any]: ...

    def blocks(self, start: int, stop: int, least: int = 1) -> Iterator[tuple[slice, np.ndarray]]: ...

    def log_columns(self, g: np.ndarray, lse: np.ndarray, columns: np.ndarray) -> np.ndarray: ...


_DEPTH = 32.0  # nats below the row's best: what lies deeper does not matter
_NEAR = 5.0  # nats that a potential may move, and most rows' shifts still serve
_FINEST = 0.1  # nats: the least of the distances that are told apart ...
_RANGE = 1000.0  # ... or this part of the largest


class Dense:
    """``protocol.Dense`` of the scores of ``kernels``, which are in host memory."""

    def __init__(self, kernels: _Kernels):
        n, k = kernels.source.shape
        self._kernels, self._n = kernels, n
        self._weights = kernels.a * n  # around 1, for float32's sake
        self._bits = kernels.scale * LOG2E
        self._shift, self._at = np.full(n, compiled.UNKNOWN, dtype=np.float32), np.zeros(k)
        self.is_wide = kernels.source[0:1].dtype == np.float64

    def error(self, g: np.ndarray) -> float:
        # The row's shift is taken off before anything is rounded: what is left of an entry that matters is -g_j or so.
        return float32_error(_DEPTH, 1.0, g)

    def rounded(self, g: np.ndarray) -> np.ndarray:
        return bits(g)[: len(g)].astype(np.float64) / LOG2E

    def sweep(self, g: np.ndarray, every: int = 1) -> tuple[float, np.ndarray, np.ndarray]:
        wide = bits(g)
        self._forget_if_far(g)

        def block(scores: np.ndarray, rows: slice, sums: np.ndarray, weighted: float) -> float:
            weights, shift = self._weights[rows], self._shift[rows]
            return compiled.sweep(scores, self._bits, wide, weights, shift, sums[0], sums[1], weighted)

        logsumexp, sums = self._over_rows(block, (2, len(g)), every)
        c, squares = np.where(np.isneginf(g), 0.0, sums)
        seen = self._n if every == 1 else float(c.sum())  # of the weights
        if seen == 0.0:
            return self.sweep(g)  # all that were looked at weigh nothing
        return logsumexp / LOG2E / seen, c / seen, squares / seen

    def count(self, g: np.ndarray, reach: float, every: int = 1) -> Counted:
        finest = max(_FINEST, reach / _RANGE)
        edges = finest * (max(reach, 2 * finest) / finest) ** np.linspace(0, 1, EDGES)
        wide, distances = bits(g), bits(edges)[:EDGES]

        def block(scores: np.ndarray, rows: slice, tables: np.ndarray, weighted: float) -> float:
            weights = self._weights[rows]
            return compiled.count(scores, self._bits, wide, weights, distances, *_tables(tables), weighted)

        best, tables = self._over_rows(block, (2 * EDGES + 1, len(g)), every)
        seen = float(tables[-1].sum())  # of the weights, n in all
        if seen == 0.0 and every > 1:
            return self.count(g, reach)  # all that were looked at weigh nothing
        near, leads, wins = _tables(tables / seen)
        return Counted(best / LOG2E / seen, wins, edges, near, np.ascontiguousarray(leads.T))

    def precise(self, g: np.ndarray) -> tuple[Sweep, float]:
        self._forget_if_far(g)
        kernels, shift = self._kernels, self._shift.astype(np.float64)
        wide, narrow = bits(g, np.float64), bits(g)

        def block(scores: np.ndarray, rows: slice, c: np.ndarray, weighted: float) -> float:
            return compiled.precise(scores, self._bits, wide, narrow, kernels.a[rows], shift[rows], c, weighted)

        logsumexp, c = self._over_rows(block, len(g))
        c[np.isneginf(g)] = 0.0
        self._shift[:] = shift
        lse = shift / LOG2E
        sweep, columns = swept(logsumexp / LOG2E, c, g, lambda columns: kernels.log_columns(g, lse, columns))
        return sweep, 1.0 + columns / len(g)

    def climb(self, g: np.ndarray, target: np.ndarray, goal: float, limit: int, tuning: Any) -> tuple[np.ndarray, int]:
        from .numba_climb import VECTORS, Rules, climb  # compiled for small problems only

        rules = Rules(**{name: getattr(tuning, name) for name in Rules._fields})
        ((_, scores),) = self._kernels.blocks(0, self._n, self._n)
        end = np.array(g, dtype=np.float64)
        # Room is made here: every array that compiled code makes takes it longer to compile.
        totals, sy = np.empty(self._n, dtype=np.float32), np.empty(rules.memory)
        vectors, pairs = tuple(np.empty((VECTORS, len(g)))), tuple(np.zeros((2, rules.memory, len(g))))
        room = totals, target, vectors, pairs, sy
        evaluations = climb(scores, self._bits, end, bits(end), self._weights, self._shift, *room, goal, limit, rules)
        self._at = end
        return end, evaluations

    def _forget_if_far(self, g: np.ndarray) -> None:
        """Where g has leapt, the rows' shifts are of no use."""
        finite = np.where(np.isneginf(g), 0.0, g)
        if np.abs(finite - self._at).max() > _NEAR:
            self._shift[:] = compiled.UNKNOWN
        self._at = finite

    def _over_rows(
        self,
        block: Callable[[np.ndarray, slice, np.ndarray, float], float],
        shape: int | tuple[int, int],
        every: int = 1,
    ) -> tuple[float, np.ndarray]:
        """The sums over the rows, all or one of so many, of what block(scores, rows, table, weighted) adds up."""

        def part(start: int, stop: int) -> tuple[float, np.ndarray]:
            table, weighted = np.zeros(shape), 0.0
            some = ((start, stop),) if every == 1 else _spread(start, stop, every)
            for first, last in some:
                for rows, scores in self._kernels.blocks(first, last):
                    weighted = block(scores, rows, table, weighted)
            return weighted, table

        parts = self._kernels.run(part, self._kernels.sizes.dense_part)
        return float(np.sum([number for number, _ in parts])), np.sum([table for _, table in parts], axis=0)


class Centred:
    """``protocol.Dense`` of scores that float32 is too coarse for, but not for what they differ by from row to row.

    Args:
        dense: of the scores less some (k,) that all rows share.
        shift: (k,) what was taken off, times 1/epsilon: potentials make up for it.
    """

    def __init__(self, dense: Dense, shift: np.ndarray):
        self._dense, self._shift, self.is_wide = dense, shift, True

    def error(self, g: np.ndarray) -> float:
        return self._dense.error(self._own(g)[0])

    def rounded(self, g: np.ndarray) -> np.ndarray:
        own, constant = self._own(g)
        return self._theirs(self._dense.rounded(own), constant)

    def sweep(self, g: np.ndarray, every: int = 1) -> tuple[float, np.ndarray, np.ndarray]:
        own, constant = self._own(g)
        logsumexp, c, squares = self._dense.sweep(own, every)
        return logsumexp + constant, c, squares

    def count(self, g: np.ndarray, reach: float, every: int = 1) -> Counted:
        own, constant = self._own(g)
        counted = self._dense.count(own, reach, every)
        return counted._replace(best=counted.best + constant)

    def precise(self, g: np.ndarray) -> tuple[Sweep, float]:
        own, constant = self._own(g)
        sweep, cost = self._dense.precise(own)
        return sweep._replace(logsumexp=sweep.logsumexp + constant), cost

    def climb(self, g: np.ndarray, target: np.ndarray, goal: float, limit: int, tuning: Any) -> tuple[np.ndarray, int]:
        own, constant = self._own(g)
        end, sweeps = self._dense.climb(own, target, goal, limit, tuning)
        return self._theirs(end, constant), sweeps

    def _own(self, g: np.ndarray) -> tuple[np.ndarray, float]:
        """Potentials for the scores that are left, and a constant that was taken off, so that they are small."""
        own = g + self._shift
        constant = float(own[np.isfinite(own)].mean())
        return own - constant, constant

    def _theirs(self, own: np.ndarray, constant: float) -> np.ndarray:
        return own + constant - self._shift


def _spread(start: int, stop: int, every: int) -> Iterator[tuple[int, int]]:
    """Some rows of a part, ``ROWS`` that lie together at a time."""
    for first in range(start, stop, ROWS * every):
        yield first, min(first + ROWS, stop)


def _tables(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """near, leads and wins of ``numba_dense_loops.count``, in one array so that it can be added up."""
    return tables[:EDGES], tables[EDGES:-1].reshape(-1, EDGES), tables[-1]


def bits(nats: np.ndarray, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """Nats times log2(e) for the compiled loops: as long as whole vectors, -inf beyond the labels."""
    wide = np.full(padded(len(nats)), -np.inf, dtype=dtype)
    wide[: len(nats)] = nats * LOG2E
    return wide
