"""What the backends for accelerators share: who keeps what on the device, and what comes back from it.

Only k-vectors and, for rounding, short lists of near ties cross over to the host. Beside the scores the device holds
16 bytes a row, partial sums, and lists of what matters near the last survey: those may take ROOM, or a quarter of what
the scores take. Where they would be longer there are none, and every evaluation is a sweep over all scores.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from .. import TINY, Shortlist, Sweep
from .. import Survey as AnySurvey

ROOM = 64 << 20  # bytes of lists that no one minds; those of one survey are alive at a time
SHARE = 4  # lists may take one part in so many of the scores, if that is more
PARTIALS = 48 << 20  # bytes of partial column sums, at most, or one part in 32 of the scores
CHUNK = 16 << 20  # bytes of a block of rows that is copied to the device, converted or computed there
_SAMPLE = 4096  # rows that tell how long lists will be
_ROW = 28  # bytes of a listed row, while lists are made: best, label, count, indptr
_FINE = 1e-3  # nats: where float32 is wrong by more than this, float64 is used throughout


Item = TypeVar("Item")


class Engine(Protocol):
    """Arrays of one library on one device, and the kernels that go over them.

    g is (k + 1,) float64 with 1/epsilon behind the potentials; width is (1,) float64, in nats.
    """

    has_float32: bool  # whether sweep can do less than float64

    def working(self) -> contextlib.AbstractContextManager[None]:
        """To be entered for all work: chooses the device, and says MemoryError for the library's own."""

    def holds(self, scores: Any) -> bool:
        """Whether they are an array on the device."""

    def stored(self, block: Any) -> Any:
        """The type that the kernels read some scores in: their own, or the narrowest that has all values."""

    def is_ready(self, scores: Any) -> bool:
        """Whether the kernels can read the array as it is: its type, and columns next to each other."""

    def ready(self, block: Any, stored: Any) -> Any:
        """A copy on the device that is."""

    def streamed(self, items: Sequence[Item], read: Callable[[Item], Any]) -> Iterator[Any]:
        """read(item) of each, in order, on its way while the one before is worked on."""

    def pick(self, scores: Any, rows: np.ndarray) -> Any:
        """Some rows, on the device."""

    def wide(self, array: Any) -> Any:
        """As float64."""

    def upload(self, array: np.ndarray) -> Any: ...

    def download(self, array: Any) -> np.ndarray: ...

    def zeros(self, length: int, dtype: str) -> Any: ...

    def empty(self, length: int, dtype: str) -> Any: ...

    def empty_like_scores(self, scores: Any, length: int) -> Any: ...

    def joined(self, arrays: list[Any]) -> Any: ...

    def log(self, array: Any) -> Any: ...

    def starts(self, counts: Any) -> Any:
        """(n+1,) int64: 0 and the cumulative sums of counts."""

    def sweep(self, scores: Any, g: Any, a: Any, lse: Any, out: Any, precise: bool) -> None:
        """lse (n,) = logsumexp of the rows, out (k+1,) += c and sum_i a_i lse_i; in float64 if precise, or float32."""

    def scan(self, scores: Any, g: Any, width: Any, best: Any, label: Any, count: Any | None) -> None:
        """The best S/epsilon + g of each row in float64, its first label, and how many lie within width of it."""

    def fill(self, scores: Any, g: Any, width: Any, best: Any, indptr: Any, label: Any, score: Any) -> None:
        """Write the labels and scores that scan counted."""

    def sweep_listed(self, lists: tuple, g: Any, lse: Any, a: Any, out: Any) -> None:
        """``sweep`` of lists (indptr, label, score), relative to lse; out (k+1,) is overwritten."""

    def log_columns(self, scores: Any, columns: np.ndarray, scale: float, shift: Any) -> np.ndarray:
        """(len(columns),) log sum_i exp(S_ij/epsilon + shift_i), in the log domain."""

    def cheapest(self, scores: Any, label: int) -> tuple[np.ndarray, np.ndarray]:
        """(k,) the least S_i,label - S_ij over the rows of scores, float64, and the first row that has it."""


def most_partials(shape: tuple[int, int], itemsize: int) -> int:
    """How many programs may have column sums of their own."""
    n, k = shape
    return max(1, max(PARTIALS, n * k * itemsize // 32) // (8 * (k + 1)))


def out_of_memory(place: str, free: float, whole: float, error: Exception) -> MemoryError:
    """What to raise for a library's own error."""
    return MemoryError(
        f"{place} has {free / 2**20:,.0f} of {whole / 2**20:,.0f} MiB free, too little to label with: beside the "
        f"scores about {(ROOM + PARTIALS) / 2**20:.0f} MiB and 44 bytes a row must fit. Keep the scores in host memory "
        "(pinned, for torch) and name the backend: they are then streamed to the device. Or use LinearScores. "
        f"The library says: {error}"
    )


class Scores:
    """A matrix of scores (n, k), and how the device gets at it: where it is, block by block, or computed."""

    def __init__(self, source: Any, engine: Engine):
        self.source, self.engine = source, engine
        self.shape: tuple[int, int] = tuple(source.shape)
        self.resident = engine.holds(source)
        self.stored = engine.stored(source[:1])
        self.itemsize: int = self.stored.itemsize

    def blocks(self) -> Iterator[tuple[slice, Any]]:
        """All rows, as the kernels read them."""
        n, k = self.shape
        if self.resident and self.engine.is_ready(self.source):
            yield slice(0, n), self.source
            return
        step = max(1, CHUNK // (k * self.itemsize))
        spans = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        blocks = self.engine.streamed(spans, lambda rows: self.engine.ready(self.source[rows], self.stored))
        yield from zip(spans, blocks, strict=True)

    def thinned(self, every: int) -> Scores:
        """Rows 0, every, 2 every, ..."""
        if self.resident:
            return Scores(self.source[::every], self.engine)
        return Scores(self.take(np.arange(0, self.shape[0], every)), self.engine)

    def take(self, rows: np.ndarray) -> Any:
        """(r, k), on the device."""
        return self.engine.pick(self.source, rows)


class Survey:
    """The protocol ``otlabel.backends.Survey``; its lists are made when they are first asked for."""

    pairs = math.inf  # no Hessian: evaluations of lists are so cheap here that L-BFGS is quicker

    def __init__(self, kernels: Kernels, g: np.ndarray, width: float, precise: bool):
        self._kernels, self._width, self.rough = kernels, width, kernels.engine.has_float32 and not precise
        self._g = kernels.with_scale(g)
        self._logsumexp, c, self._lse = kernels.sweep(self._g, precise)
        with np.errstate(divide="ignore"):
            log_c = np.log(c)
        tiny = np.flatnonzero((c < TINY) & np.isfinite(g))
        if tiny.size:
            log_c[tiny] = g[tiny] + kernels.log_columns(tiny, self._lse)
            c[tiny] = np.exp(log_c[tiny])
        self.cost = 1.0 + len(tiny) / len(g)
        self.swept = Sweep(self._logsumexp, c, log_c)
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

    def narrowed(self, g: np.ndarray, width: float) -> AnySurvey:
        return self  # what evaluations cost here does not depend on how long the lists are

    def sweep(self, g: np.ndarray) -> tuple[float, np.ndarray]:
        kernels = self._kernels
        if not self._has_lists():
            with kernels.engine.working():
                return kernels.sweep(kernels.with_scale(g), True)[:2]
        lists = self._listed()
        with kernels.engine.working():
            out = kernels.engine.zeros(len(g) + 1, "float64")
            kernels.engine.sweep_listed(lists, kernels.with_scale(g), self._lse, kernels.weights, out)
            summed = kernels.engine.download(out)
        return self._logsumexp + float(summed[-1]), summed[:-1]

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
            itemsize = kernels.scores.itemsize
            self._fits = n * (entries * (4 + itemsize) + _ROW) <= max(ROOM, n * k * itemsize / SHARE)
        return self._fits


class Kernels:
    """The protocol ``otlabel.backends.Kernels``, on top of an engine."""

    in_host_memory = False
    engine: Engine
    scores: Scores

    def __init__(self, scores: Any, engine: Engine, scale: float, a: np.ndarray, largest: float):
        with engine.working():
            self.scores, self.engine, self.weights = Scores(scores, engine), engine, engine.upload(a)
        self.scale, self.largest = scale, largest
        n, k = self.scores.shape
        self.sampled = max(1, n // min(_SAMPLE, max(1, (1 << 22) // k)))  # one row in so many is looked at first
        self.blur = 2.0**-53 * largest * scale

    def rescaled(self, factor: float) -> Self:
        other = copy.copy(self)
        other.scale, other.blur = self.scale * factor, self.blur * factor
        return other

    def seekable(self) -> Self:
        return self

    def survey(self, g: np.ndarray, width: float, precise: bool) -> AnySurvey:
        with self.engine.working():
            # What the caller keeps in float64 is not read in less.
            float64 = self.scores.itemsize == 8 or self._error(g) > _FINE
            return Survey(self, g, width, precise or float64)

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

    def regrets(self, items: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        k = self.scores.shape[1]
        least, which = np.full(k, np.inf), np.zeros(k, dtype=np.int64)
        step = max(1, CHUNK // (8 * k))
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
        step = max(1, CHUNK // (8 * len(columns)))
        parts = []
        for rows, block in self.scores.blocks():
            for start in range(0, rows.stop - rows.start, step):
                some = slice(start, min(start + step, rows.stop - rows.start))
                below = shift[rows.start + some.start : rows.start + some.stop]
                parts.append(self.engine.log_columns(block[some], columns, self.scale, below))
        return np.logaddexp.reduce(np.stack(parts), axis=0)

    def _chunks(self, lengths: np.ndarray) -> Iterator[tuple[slice, Any]]:
        """The blocks of rows, cut where their lists would take more than ROOM."""
        most = max(1, ROOM // (4 + self.scores.itemsize))
        for rows, block in self.scores.blocks():
            ends = np.cumsum(lengths[rows])
            cuts = np.searchsorted(ends, np.arange(most, ends[-1], most))
            bounds = np.unique(np.concatenate([[0], cuts, [len(ends)]]))
            for start, stop in itertools.pairwise(bounds.tolist()):
                yield slice(rows.start + start, rows.start + stop), block[start:stop]

    def _error(self, g: np.ndarray) -> float:
        """A bound on the error, in nats, of S/epsilon + g in float32: four roundings."""
        return 4 * 2.0**-24 * (self.largest * self.scale + np.abs(g[np.isfinite(g)]).max())
