"""What the backends for accelerators share: who keeps what on the device, and what comes back from it.

Only k-vectors, labels, some rows and, for rounding, short lists of near ties (or scores, if they are few) cross over.
Beside the scores the device holds 16 bytes a row, partial sums, and lists of what matters near the last survey: those
may take ``Sizes.lists``, or a part of what the scores take. Where they would be longer there are none, and every
evaluation is a sweep over all scores.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..._arrays.score_source import Held, ScoreSource
from .. import protocol
from ..precision import FINE, float32_error, float64_blur, swept
from ..protocol import Shortlist
from .engine import Engine, Scores, Sizes

if TYPE_CHECKING:
    from ..numba import Kernels as OnHost

_SAMPLE = 4096  # rows that tell how long lists will be
_FEW = 16  # items of a label whose regrets are looked at on the host: more are a block of the device's own
_ROW = 28  # bytes of a listed row, while lists are made: best, label, count, indptr


class Survey:
    """``protocol.Survey``; its lists are made when they are first asked for."""

    pairs = math.inf  # no Hessian: evaluations of lists are so cheap here that L-BFGS is quicker
    narrows = False  # for the same reason

    def __init__(self, kernels: Kernels, g: np.ndarray, width: float, precise: bool):
        self._kernels, self._width, self.rough = kernels, width, kernels.engine.has_float32 and not precise
        self._g = kernels.with_scale(g)
        self._logsumexp, c, self._lse = kernels.sweep(self._g, precise)
        self.swept, columns = swept(
            self._logsumexp, c, g, lambda columns: g[columns] + kernels.log_columns(columns, self._lse)
        )
        self.cost = 1.0 + columns / len(g)
        self.squares: np.ndarray | None = None
        self._fits: bool | None = None
        self._lists: tuple | None = None

    @property
    def listing(self) -> float:
        if self._lists is not None:
            return 0.0
        sampled = 1 / self._kernels.sampled if self._kernels.sampled > 1 else 0.0
        return sampled + 2.0 * self._has_lists()

    @property
    def density(self) -> float:
        n, k = self._kernels.scores.shape
        return len(self._listed()[1]) / (n * k) if self._has_lists() else 1.0

    def narrowed(self, g: np.ndarray, width: float) -> protocol.Survey:
        raise NotImplementedError("narrows is false")

    def sweep(self, g: np.ndarray) -> tuple[float, np.ndarray]:
        kernels = self._kernels
        if not self._has_lists():
            with kernels.engine.working():
                return kernels.sweep(kernels.with_scale(g), True)[:2]
        lists = self._listed()
        with kernels.engine.working():
            risen, c = kernels.engine.sweep_listed(lists, kernels.with_scale(g), self._lse, kernels.weights)
        return self._logsumexp + risen, c

    def hessian(self, g: np.ndarray) -> np.ndarray:
        raise NotImplementedError("pairs is infinite: no Hessian is worth its cost here")

    def _listed(self) -> tuple:
        """indptr, labels and scores of all rows."""
        if self._lists is None:
            kernels = self._kernels
            with kernels.engine.working():
                width = kernels.engine.upload(np.array([self._width]))
                best, _, counts = kernels.scan(kernels.scores, self._g, width, True)
                self._lists = kernels.fill(kernels.scores, self._g, width, best, counts)
        return self._lists

    def _has_lists(self) -> bool:
        """Whether there is room for them: some rows tell how long they are."""
        if self._fits is None:
            kernels, (n, k) = self._kernels, self._kernels.scores.shape
            entries = float(k)
            if kernels.sampled > 1:
                with kernels.engine.working():
                    width = kernels.engine.upload(np.array([self._width]))
                    sample = kernels.scores.thinned(kernels.sampled)
                    entries = float(kernels.engine.download(kernels.scan(sample, self._g, width, True)[2]).mean())
            itemsize, sizes = kernels.scores.itemsize, kernels.sizes
            room = max(sizes.lists, sizes.lists_of_scores * n * k * itemsize)
            self._fits = n * (entries * (4 + itemsize) + _ROW) <= room
        return self._fits


class Kernels:
    """``protocol.Kernels``, on top of an engine."""

    sizes = Sizes()
    in_host_memory = False
    engine: Engine
    scores: Scores

    def __init__(self, source: ScoreSource, engine: Engine, scale: float, a: np.ndarray, largest: float):
        with engine.working():
            matrix = source.array if source.in_memory else source
            is_computed = not source.in_memory and source.place.library.name != "numpy"
            block = self.sizes.computed if is_computed else self.sizes.block
            self.scores, self.engine, self.weights = Scores(matrix, engine, block), engine, engine.upload(a)
        self.scale, self.largest = scale, largest
        n, k = self.scores.shape
        self.sampled = max(1, n // min(_SAMPLE, max(1, (1 << 22) // k)))  # one row in so many is looked at first
        self.blur = float64_blur(largest, scale)

    def rescaled(self, factor: float) -> Self:
        other = copy.copy(self)
        other.scale, other.blur = self.scale * factor, self.blur * factor
        return other

    def seekable(self) -> Self | OnHost:
        """Of a copy in host memory, where that is small: who asks for single rows does so thousands of times."""
        n, k = self.scores.shape
        if n * k * self.scores.itemsize > self.sizes.fetched:
            return self
        from ..numba import Kernels as OnHost

        with self.engine.working():
            rows = [self.engine.download(block) for _, block in self.scores.blocks()]
            weights = self.engine.download(self.weights)
        return OnHost(Held(np.concatenate(rows)), self.scale, weights, self.largest)

    def survey(self, g: np.ndarray, width: float, precise: bool) -> protocol.Survey:
        with self.engine.working():
            # What the caller keeps in float64 is not read in less.
            float64 = self.scores.itemsize == 8 or float32_error(self.largest, self.scale, g) > FINE
            return Survey(self, g, width, bool(precise or float64))  # NumPy's bool is not Triton's

    def labels(self, g: np.ndarray) -> np.ndarray:
        with self.engine.working():
            _, label, _ = self.scan(self.scores, self.with_scale(g), None, False)
            return self.engine.download(label)

    def shortlist(self, g: np.ndarray, width: float) -> Shortlist:
        with self.engine.working():
            potentials, nats = self.with_scale(g), self.engine.upload(np.array([width]))
            best, _, counts = self.scan(self.scores, potentials, nats, True)
            lengths = self.engine.download(counts).astype(np.int64)
            labels, values = [], []
            for rows, block in self._chunks(lengths):
                here = slice(rows.start, rows.stop)
                _, label, score = self._fill(block, potentials, nats, best[here], counts[here])
                labels.append(self.engine.download(label))
                values.append(self.engine.download(score).astype(np.float64) * self.scale)
            indptr = np.concatenate([[0], np.cumsum(lengths)])
            return Shortlist(self.engine.download(best), indptr, np.concatenate(labels), np.concatenate(values))

    def regrets(self, items: list[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Rounding asks for thousands of labels with an item or two each: one way to the device for all of them.
        h, k = len(items), self.scores.shape[1]
        least, which = np.full((h, k), np.inf), np.zeros((h, k), dtype=np.int64)
        few = [own for own in range(h) if 0 < len(items[own]) <= _FEW]
        for own in (own for own in range(h) if len(items[own]) > _FEW):
            least[own], which[own] = self._regrets(items[own], labels[own])
        step = max(1, self.sizes.lists // (8 * k * _FEW))
        for start in range(0, len(few), step):
            some = few[start : start + step]
            least[some], which[some] = self._regrets_of_few([items[own] for own in some], labels[some])
        return least, which

    def _regrets_of_few(self, items: list[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same, of few items each, on the host."""
        counts = np.array([len(own) for own in items])
        rows, starts = np.concatenate(items), np.cumsum(counts) - counts
        with self.engine.working():
            scores = self.engine.download(self.engine.wide(self.scores.take(rows)))
        group = np.repeat(np.arange(len(items)), counts)
        regrets = (scores[np.arange(len(rows)), labels[group]][:, None] - scores) * self.scale
        least = np.minimum.reduceat(regrets, starts, axis=0)
        places = np.where(regrets == least[group], np.arange(len(rows))[:, None], len(rows))
        return least, rows[np.minimum.reduceat(places, starts, axis=0)]

    def _regrets(self, items: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        k = self.scores.shape[1]
        least, which = np.full(k, np.inf), np.zeros(k, dtype=np.int64)
        step = max(1, self.sizes.block // (8 * k))
        with self.engine.working():
            for start in range(0, len(items), step):
                block = items[start : start + step]
                regret, first = self.engine.cheapest(self.engine.wide(self.scores.take(block)), label)
                closer = regret * self.scale < least
                least[closer], which[closer] = regret[closer] * self.scale, block[first[closer]]
        return least, which

    def rows(self, rows: np.ndarray) -> np.ndarray:
        with self.engine.working():
            return self.engine.download(self.engine.wide(self.scores.take(rows))) * self.scale

    def sweep(self, g: Any, precise: bool) -> tuple[float, np.ndarray, Any]:
        """sum_i a_i logsumexp_i, c (k,), and on the device the logsumexp of the rows (n,)."""
        (n, k), engine = self.scores.shape, self.engine
        lse, out = engine.empty(n, "float64"), engine.zeros(k + 1, "float64")
        for rows, block in self.scores.blocks():
            engine.sweep(block, g, self.weights[rows], lse[rows], out, precise)
        summed = engine.download(out)
        return float(summed[k]), summed[:k], lse

    def with_scale(self, g: np.ndarray) -> Any:
        return self.engine.upload(np.append(g, self.scale))

    def scan(self, scores: Scores, g: Any, width: Any, count: bool) -> tuple[Any, Any, Any]:
        """best, label and count of all rows of some scores."""
        n = scores.shape[0]
        best, label = self.engine.empty(n, "float64"), self.engine.empty(n, "int64")
        counts = self.engine.empty(n, "int32") if count else None
        for rows, block in scores.blocks():
            self.engine.scan(block, g, width, best[rows], label[rows], None if counts is None else counts[rows])
        return best, label, counts

    def fill(self, scores: Scores, g: Any, width: Any, best: Any, counts: Any) -> tuple[Any, Any, Any]:
        """indptr, labels and scores of all that was counted."""
        parts = [self._fill(block, g, width, best[rows], counts[rows])[1:] for rows, block in scores.blocks()]
        label, score = (self.engine.joined(list(arrays)) for arrays in zip(*parts, strict=True))
        return self.engine.starts(counts), label, score

    def _fill(self, block: Any, g: Any, width: Any, best: Any, counts: Any) -> tuple[Any, Any, Any]:
        indptr = self.engine.starts(counts)
        length = int(indptr[-1])
        label, score = self.engine.empty(length, "int32"), self.engine.empty_like_scores(block, length)
        self.engine.fill(block, g, width, best, indptr, label, score)
        return indptr, label, score

    def log_columns(self, columns: np.ndarray, lse: Any) -> np.ndarray:
        """log sum_i a_i exp(S_ij/epsilon - lse_i) of some columns."""
        shift = self.engine.log(self.weights) - lse
        step = max(1, self.sizes.computed // (4 * 8 * len(columns)))  # its float64 copies are four
        parts = []
        for rows, block in self.scores.blocks():
            for start in range(0, rows.stop - rows.start, step):
                some = slice(start, min(start + step, rows.stop - rows.start))
                below = shift[rows.start + some.start : rows.start + some.stop]
                parts.append(self.engine.log_columns(block[some], columns, self.scale, below))
        return np.logaddexp.reduce(np.stack(parts), axis=0)

    def _chunks(self, lengths: np.ndarray) -> Iterator[tuple[slice, Any]]:
        """The blocks of rows, cut where their lists would take more room than they may."""
        most = max(1, self.sizes.lists // (4 + self.scores.itemsize))
        for rows, block in self.scores.blocks():
            ends = np.cumsum(lengths[rows])
            cuts = np.searchsorted(ends, np.arange(most, ends[-1], most))
            bounds = np.unique(np.concatenate([[0], cuts, [len(ends)]]))
            for start, stop in itertools.pairwise(bounds.tolist()):
                yield slice(rows.start + start, rows.start + stop), block[start:stop]
