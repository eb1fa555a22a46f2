"""Kernels for CPUs: compiled loops over blocks of rows, spread over threads.

Threads are Python's own (the compiled loops release the interpreter lock): nothing is left running between calls, so
forked and threaded programs are safe. Rows are cut into parts that depend on the shape alone and partial sums are added
in order, so that results are bit-identical for any number of threads.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .._arrays.score_source import ScoreSource
from .._system import machine
from .._system.threads import ahead, threaded
from . import numba_dense_loops as dense
from . import numba_loops as compiled
from . import numpy as _numpy
from . import protocol
from .numba_dense import Centred, Dense, bits
from .numba_rows import LOG2E
from .precision import FINE, float32_error, swept
from .protocol import ENTRY, Shortlist

_HESSIANS = 2  # partial Hessians, added in order: as many threads work at one
_RESERVE = 256  # bytes for each entry of a part's next list: all threads may ask at once, and others take from lists
_COARSE = 1.0  # nats: where float32 is wrong by more than this, it is of no use and NumPy's float64 takes over


@dataclass(frozen=True)
class Sizes:
    """How work is cut up, in entries of scores or of lists. Column sums are added up part by part."""

    converted: int = 1 << 16  # of a block that has to be converted first: the copy stays in the second-level cache
    read: int = 1 << 20  # of a block that has to be computed or read first: matrix products like them large
    list_room: int = 1 << 19  # of the longest list
    part: int = 1 << 20  # of the smallest part worth a thread's start
    parts: int = 64  # of them, at most: each holds a (k,) partial sum
    dense_part: int = 1 << 19  # the same of dense sweeps
    held: int = 1 << 20  # of scores that are computed or read, up to which dense sweeps keep them in memory
    centred: int = 1 << 22  # of scores of which dense sweeps may have a copy in float64
    labelled_part: int = 1 << 18  # the same where rows are labelled only
    listed_part: int = 1 << 18  # of the smallest list worth a thread's start


class _Listed(NamedTuple):
    """The listed entries of a part, in compressed rows."""

    rows: slice
    indptr: np.ndarray
    label: np.ndarray  # int32
    value: np.ndarray


class Survey:
    """``protocol.Survey``."""

    rough, listing, narrows = False, 0.0, True

    def __init__(self, kernels: Kernels, g: np.ndarray, width: float):
        n, k = kernels.source.shape
        lse, wide = np.empty(n), bits(g)

        def part(start: int, stop: int) -> tuple[list[_Listed], float, np.ndarray]:
            sums = np.zeros((2, k))

            def look(scores: np.ndarray, rows: slice, first: int, *out: np.ndarray) -> tuple[int, int]:
                weights = kernels.a[rows]
                return compiled.survey(scores, kernels.scale, g, wide, first, width, weights, *sums, lse[rows], *out)

            listed = kernels.list_part(start, stop, look)
            # Not "@": BLAS starts threads of its own for it, which then get in the way of ours.
            return listed, float((kernels.a[start:stop] * lse[start:stop]).sum()), sums

        parts = kernels.run(part)
        self._a, self._shortest = kernels.a, kernels.sizes.listed_part
        self._list([listed for lists, _, _ in parts for listed in lists], n * k)
        self._logsumexp = float(np.sum([logsumexp for _, logsumexp, _ in parts]))
        c, self.squares = np.sum([sums for _, _, sums in parts], axis=0)
        c[np.isneginf(g)] = 0.0
        self.swept, columns = swept(self._logsumexp, c, g, lambda columns: kernels.log_columns(g, lse, columns))
        self.cost = 1.0 + columns / k

    def _list(self, parts: list[_Listed], size: int) -> None:
        self._parts, self._size = _merged(parts, self._shortest), size
        entries = sum(len(listed.label) for listed in parts)
        self.density = entries / size
        self.pairs = sum(float((np.diff(listed.indptr) ** 2).sum()) for listed in parts) / entries

    def narrowed(self, g: np.ndarray, width: float) -> Survey:
        def part(listed: _Listed) -> tuple[_Listed, np.ndarray]:
            squares = np.zeros(len(g))
            counts, *entries = compiled.within(*listed[1:], g, self._a[listed.rows], width, squares)
            return _Listed(listed.rows, np.concatenate([[0], np.cumsum(counts)]), *entries), squares

        parts, squares = zip(*threaded(part, self._parts), strict=True)
        narrow = copy.copy(self)
        narrow.squares = np.sum(squares, axis=0)
        narrow._list(list(parts), self._size)
        return narrow

    def sweep(self, g: np.ndarray) -> tuple[float, np.ndarray]:
        def part(listed: _Listed) -> tuple[float, np.ndarray]:
            c = np.zeros(len(g))
            return compiled.sweep_listed(*listed[1:], g, self._a[listed.rows], c), c

        parts = threaded(part, self._parts)
        return self._logsumexp + float(np.sum([rise for rise, _ in parts])), np.sum([c for _, c in parts], axis=0)

    def hessian(self, g: np.ndarray) -> np.ndarray:
        def partial(which: int) -> np.ndarray:
            h = np.zeros((len(g), len(g)))
            for listed in self._parts[which::_HESSIANS]:
                compiled.hessian_listed(*listed[1:], g, self._a[listed.rows], h)
            return h

        partials = threaded(partial, range(min(_HESSIANS, len(self._parts))))
        return functools.reduce(lambda h, other: np.add(h, other, out=h), partials)


class _Held(ScoreSource):
    """Scores that are computed, read, or held by other processes, in memory for one solve."""

    in_memory = True

    def __init__(self, array: np.ndarray):
        self.array, self.shape = array, array.shape

    def rows(self, index: Any) -> Any:
        return self.array[index]


class Kernels(_numpy.Kernels):
    """``protocol.Kernels``."""

    sizes = Sizes()

    def survey(self, g: np.ndarray, width: float, precise: bool) -> protocol.Survey:
        error = float32_error(self.largest, self.scale, g)
        if error > _COARSE:
            return super().survey(g, width, precise)
        # What float32 spoils of the rest stays as small as it is where float32 is good.
        return Survey(self, g, width + max(0.0, math.log(max(error, FINE) / FINE)))

    def dense(self) -> protocol.Dense | None:
        source = self.source
        if not self._is_fine():
            return self._centred()
        if source.quick:
            return Dense(self)
        if math.prod(source.shape) > self.sizes.held:
            return None
        return Dense(self.holding(source[0 : source.shape[0]], self.a))

    def _is_fine(self) -> bool:
        """Whether float32 does for S/epsilon."""
        return float32_error(self.largest, self.scale, np.zeros(1)) <= FINE

    def _centred(self) -> protocol.Dense | None:
        """Of the scores less one row's, where float32 does for that."""
        n, k = self.source.shape
        if n * k > self.sizes.centred:
            return None
        scores = np.array(self.source[0:n], dtype=np.float64)
        shared = np.where(np.isfinite(scores[0]), scores[0], 0.0)
        scores -= shared
        own = self.holding(scores, self.a)
        own.largest = float(max(scores.max(), -scores.min(where=scores > -np.inf, initial=0.0)))
        return Centred(Dense(own), shared * self.scale) if own._is_fine() else None

    def holding(self, scores: np.ndarray, a: np.ndarray) -> Kernels:
        """Kernels of other scores (n, k), at the same temperature; a (n,) their weights."""
        other = copy.copy(self)
        other.source, other.a = _Held(scores), a
        return other

    def labels(self, g: np.ndarray) -> np.ndarray:
        error = float32_error(self.largest, self.scale, g)
        if error > _COARSE:
            return super().labels(g)
        wide = bits(g)
        labels = np.zeros(self.source.shape[0], dtype=np.int64)  # 0 where no score is finite, as argmax has it

        def part(start: int, stop: int) -> None:
            for rows, scores in self.blocks(start, stop):
                dense.labels(scores, self.scale, g, wide, 2 * LOG2E * error, labels[rows])

        # No sum depends on how labels are cut up; but what is computed or read first is cut as ever.
        self.run(part, self.sizes.labelled_part if self.source.in_memory else None)
        return labels

    def shortlist(self, g: np.ndarray, width: float) -> Shortlist:
        error = float32_error(self.largest, self.scale, g)
        if error > _COARSE:
            return super().shortlist(g, width)
        best, wide = np.empty(self.source.shape[0]), bits(g)
        doubt = LOG2E * (width + 2 * error)

        def look(scores: np.ndarray, rows: slice, first: int, *out: np.ndarray) -> tuple[int, int]:
            return dense.near(scores, self.scale, g, wide, first, doubt, width, best[rows], *out)

        parts = self.run(lambda start, stop: self.list_part(start, stop, look))
        lists = list(itertools.chain.from_iterable(parts))
        indptr = np.concatenate([[0], *(np.diff(listed.indptr) for listed in lists)]).cumsum()
        if len(lists) > len(parts):  # long ones
            machine.require(ENTRY * indptr[-1], "listing what is near the best")
        label, value = (np.concatenate([getattr(listed, name) for listed in lists]) for name in ("label", "value"))
        return Shortlist(best, indptr, label, value)

    def regrets(self, items: list[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k = self.source.shape[1]
        least, which = np.full((len(items), k), np.inf), np.zeros((len(items), k), dtype=np.int64)

        def part(start: int, stop: int) -> None:
            for some, label, *row in zip(*(every[start:stop] for every in (items, labels, least, which)), strict=True):
                if self._is_read_as_it_is():
                    compiled.regrets(_stored(self.source.array), self.scale, label, some, some, *row)
                    continue
                step = max(1, self.sizes.read // k)
                for first in range(0, len(some), step):
                    block = some[first : first + step]
                    scores = _stored(self.source[block])
                    compiled.regrets(scores, self.scale, label, np.arange(len(block)), block, *row)

        spans = _parts(len(items), max(1, sum(map(len, items)) * k // len(items)), self.sizes.part, self.sizes.parts)
        with self.source.reading():
            threaded(lambda span: part(*span), spans)
        return least, which

    def list_part(self, start: int, stop: int, look: Callable[..., tuple[int, int]]) -> list[_Listed]:
        """What look(scores, rows, first row, counts, label, value) lists of some rows, as ``compiled.survey`` does."""
        k = self.source.shape[1]
        room = max(self.sizes.list_room, k)
        counts = np.zeros(stop - start, dtype=np.int64)
        label, value = np.empty(0, dtype=np.int32), np.empty(0)
        lists: list[_Listed] = []
        for rows, scores in self.blocks(start, stop):
            own_counts = counts[rows.start - start : rows.stop - start]
            done = 0
            while done < len(scores):
                if len(label) < k:  # lists stay where they were written: what is left of the room is for the next
                    if lists:  # the estimate at the start knew other potentials
                        machine.require(_RESERVE * room, "listing what is near the best")
                    label, value = np.empty(room, dtype=np.int32), np.empty(room)
                first = done
                done, used = look(scores, rows, first, own_counts, label, value)
                indptr = np.concatenate([[0], np.cumsum(own_counts[first:done])])
                span = slice(rows.start + first, rows.start + done)
                lists.append(_Listed(span, indptr, label[:used], value[:used]))
                label, value = label[used:], value[used:]
        return lists

    def log_columns(self, g: np.ndarray, lse: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """log c_j of some columns, in float64 and the log domain."""
        with np.errstate(divide="ignore"):
            log_a = np.log(self.a)

        def part(start: int, stop: int) -> np.ndarray:
            peak, total = np.full(len(columns), -np.inf), np.zeros(len(columns))
            for rows, scores in self.blocks(start, stop):
                compiled.log_columns(scores, self.scale, g, log_a[rows], lse[rows], columns, peak, total)
            with np.errstate(divide="ignore"):
                return peak + np.log(total)

        return np.logaddexp.reduce(np.stack(self.run(part)), axis=0)

    def _is_read_as_it_is(self) -> bool:
        """Whether the loops read the caller's own array."""
        source = self.source
        return (
            source.in_memory and source.array.dtype == _storage(source.array.dtype) and source.array.flags.c_contiguous
        )

    def run(self, part: Callable[[int, int], Any], smallest: int | None = None) -> list[Any]:
        """part(start, stop) over all rows, in parallel; the results in order. ``smallest`` stands in for sizes.part."""
        sizes = self.sizes
        spans = _parts(*self.source.shape, smallest or sizes.part, sizes.parts)
        with self.source.reading():
            return threaded(lambda span: part(*span), spans)

    def blocks(self, start: int, stop: int, least: int = 1) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of rows in a storage the loops know: all of them at once where the caller's array already is.

        least: rows of a block.
        """
        source = self.source
        if self._is_read_as_it_is():
            yield slice(start, stop), _stored(source[start:stop])
            return
        # Whole groups of rows, so that the layout of the caller's array does not change the order of any sum.
        entries = self.sizes.converted if source.in_memory else self.sizes.read
        step = max(least, entries // source.shape[1] // compiled.ROWS * compiled.ROWS, compiled.ROWS)
        blocks = [slice(first, min(first + step, stop)) for first in range(start, stop, step)]
        read = ahead if source.read_ahead else map
        yield from zip(blocks, read(lambda rows: _stored(source[rows]), blocks), strict=True)


@functools.lru_cache
def _parts(n: int, k: int, smallest: int, most: int) -> list[tuple[int, int]]:
    """The first row of each part and the one after its last."""
    parts = int(np.clip(n * k // smallest, 1, min(most, n)))
    bounds = np.linspace(0, n, parts + 1).astype(int)
    return list(itertools.pairwise(bounds.tolist()))


def _merged(parts: list[_Listed], shortest: int) -> list[_Listed]:
    """Lists of fewer than ``shortest`` entries put together with their neighbours; long ones are not copied."""
    merged: list[_Listed] = []
    group: list[_Listed] = []
    for part in parts:
        short = len(part.label) < shortest
        if group and not (short and sum(len(listed.label) for listed in group) < shortest):
            merged.append(_joined(group))
            group = []
        if short:
            group.append(part)
        else:
            merged.append(part)
    return [*merged, _joined(group)] if group else merged


def _joined(parts: list[_Listed]) -> _Listed:
    if len(parts) == 1:
        return parts[0]
    counts = np.concatenate([np.diff(part.indptr) for part in parts])
    label, value = (np.concatenate([getattr(part, name) for part in parts]) for name in ("label", "value"))
    rows = slice(parts[0].rows.start, parts[-1].rows.stop)
    return _Listed(rows, np.concatenate([[0], np.cumsum(counts)]), label, value)


def _storage(dtype: np.dtype) -> type[np.floating]:
    """The narrowest type of the compiled loops that holds every value exactly."""
    if dtype in (np.float16, np.float32):
        return dtype.type
    return np.float32 if dtype.kind in "iub" and dtype.itemsize <= 2 else np.float64


def _stored(scores: np.ndarray) -> np.ndarray:
    """The scores in a storage the loops know; copied only where they are not yet."""
    stored = _storage(scores.dtype)
    block = np.ascontiguousarray(scores, dtype=stored)
    return block.view(np.uint16) if stored == np.float16 else block
