"""How the CUDA C kernels are cut up and called: an engine over CuPy arrays, or over any arrays with a launcher.

The tests launch the same source on the host, over NumPy arrays.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .engine import most_partials, of_lists

SOURCE = Path(__file__).with_name("kernels.cu").read_text()
# As in kernels.cu, which has engine.UNIT too:
WARP = 32
ROW_WARPS = TOTAL_WARPS = 8
WIDE_THREADS, GROUP = 256, 4
MOST_HELD, MOST_PRECISE = 24, 16  # scores of a row that a thread of `sweep` holds, in float32 and float64
CROWDED_PRECISE = 12  # the same in float64, of all its rows, and of one where 512 threads share the registers
_NAMES = {"float64": "double", "float32": "float", "float16": "half", "bfloat16": "bfloat16"}


class Shape(NamedTuple):
    """How `sweep` is cut up: a row is threads x vectors x width scores, or a little less."""

    threads: int
    vectors: int
    width: int
    rows: int
    precise: int  # 1 in float64, 0 in float32


def sweep_shape(k: int, stride: int, itemsize: int, address: int, precise: bool) -> Shape | None:
    """Loads of 16 bytes where the layout allows; None where a row is more than the registers of a block hold."""
    most = MOST_PRECISE if precise else MOST_HELD
    lanes = 1 << max(0, (k // WARP).bit_length() - 1)  # wide enough, and every lane has something to do
    start = address % 16 // itemsize if address % 16 else 16
    width = math.gcd(4 if precise else 16, 16 // itemsize, k, stride, start, lanes)
    vectors = -(-k // width)
    threads = WARP
    while threads < 512 and vectors * width > threads * most:
        threads *= 2
    each = -(-vectors // threads)
    held = each * width
    if held > (CROWDED_PRECISE if precise and threads == 512 else 2 * most):
        return None
    # In float64 two rows at a time are slower, but for short ones.
    rows = min(4, CROWDED_PRECISE // held) if precise else min(8, 2 * MOST_HELD // held)
    return Shape(threads, each, width, 1 if threads == 512 else max(1, rows), int(precise))


class Cuda:
    """``engine.Engine`` over arrays of the library ``xp``, CuPy or NumPy."""

    has_float32 = True

    def __init__(self, xp: Any, processors: int):
        self.xp, self.processors = xp, processors

    def launch(self, name: str, macros: tuple[str, ...], blocks: int, threads: int, arguments: Sequence[Any]) -> None:
        """Run a kernel of SOURCE, compiled with the macros; arguments are arrays, int64 and int32 scalars, or None."""
        raise NotImplementedError

    def resident(self, name: str, macros: tuple[str, ...], threads: int) -> int:
        """How many blocks of a kernel a multiprocessor runs at a time."""
        raise NotImplementedError

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        yield

    def holds(self, scores: Any) -> bool:
        return isinstance(scores, self.xp.ndarray)

    def stored(self, block: Any) -> np.dtype:
        dtype = np.dtype(block.dtype)
        if dtype.name in _NAMES:
            return dtype
        return np.dtype(np.float32 if dtype.kind in "iub" and dtype.itemsize <= 2 else np.float64)

    def is_ready(self, scores: Any) -> bool:
        ahead = scores.strides[0] >= 0 or len(scores) == 1
        return scores.dtype.name in _NAMES and ahead and (scores.strides[1] == scores.itemsize or scores.shape[1] == 1)

    def ready(self, block: Any, stored: np.dtype) -> Any:
        return self.xp.ascontiguousarray(self.xp.asarray(block), dtype=stored)

    def streamed(self, items: Sequence[Any], read: Callable[[Any], Any]) -> Iterator[Any]:
        return map(read, items)

    def pick(self, scores: Any, rows: np.ndarray) -> Any:
        return self.xp.asarray(scores[self.xp.asarray(rows) if self.holds(scores) else rows])

    def wide(self, array: Any) -> Any:
        return array.astype(np.float64)

    def upload(self, array: np.ndarray) -> Any:
        return self.xp.asarray(array)

    def download(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def zeros(self, length: int, dtype: str) -> Any:
        return self.xp.zeros(length, dtype=dtype)

    def empty(self, length: int, dtype: str) -> Any:
        return self.xp.empty(length, dtype=dtype)

    def empty_like_scores(self, scores: Any, length: int) -> Any:
        return self.xp.empty(length, dtype=scores.dtype)

    def joined(self, arrays: list[Any]) -> Any:
        return arrays[0] if len(arrays) == 1 else self.xp.concatenate(arrays)

    def log(self, array: Any) -> Any:
        with np.errstate(divide="ignore"):
            return self.xp.log(array)

    def starts(self, counts: Any) -> Any:
        indptr = self.xp.zeros(len(counts) + 1, dtype=np.int64)
        self.xp.cumsum(counts, out=indptr[1:], dtype=np.int64)
        return indptr

    def sweep(self, scores: Any, g: Any, a: Any, lse: Any, out: Any, precise: bool) -> None:
        n, k = scores.shape
        shape = sweep_shape(k, _stride(scores), scores.itemsize, self.address(scores), precise)
        macros: tuple[str, ...]
        if shape is None:
            name, macros, threads = "sweep_float64" if precise else "sweep_float32", (), WIDE_THREADS
            groups = -(-n // GROUP)
        else:
            name, threads, groups = "sweep", shape.threads, -(-n // shape.rows)
            macros = tuple(f"{label.upper()}={value}" for label, value in shape._asdict().items())
        macros = self.score(scores), *macros
        most = most_partials(scores.shape, scores.itemsize)
        blocks = min(groups, self.processors * self.resident(name, macros, threads), most)
        partial = self.xp.zeros((blocks, k + 1))
        rows = scores, np.int64(_stride(scores)), g, a, lse, partial, np.int64(n), np.int32(k)
        self.launch(name, macros, blocks, threads, rows)
        self._total(partial, out)

    def scan(self, scores: Any, g: Any, width: Any, best: Any, label: Any, count: Any | None) -> None:
        self._by_row("scan", scores, g, width, best, label, count)

    def fill(self, scores: Any, g: Any, width: Any, best: Any, indptr: Any, label: Any, score: Any) -> None:
        self._by_row("fill", scores, g, width, best, indptr, label, score)

    def sweep_listed(self, lists: tuple, g: Any, lse: Any, a: Any) -> tuple[float, np.ndarray]:
        m, k = len(a), len(g) - 1
        macros, threads = (self.score(lists[2]),), ROW_WARPS * WARP
        resident = self.processors * self.resident("sweep_listed", macros, threads)  # more would wait, then run alone
        blocks = max(1, min(-(-m // ROW_WARPS), resident))
        sums = self.xp.zeros(k + blocks, dtype=np.uint64)  # one, to be fetched at once
        arguments = *lists, g, lse, a, sums, sums[k:].view(np.float64), np.int64(m), np.int32(k)
        self.launch("sweep_listed", macros, blocks, threads, arguments)
        return of_lists(self.download(sums), k)

    def log_columns(self, scores: Any, columns: np.ndarray, scale: float, shift: Any) -> np.ndarray:
        x = scores[:, self.xp.asarray(columns)].astype(np.float64) * scale + shift[:, None]
        peak = x.max(axis=0)
        peak = self.xp.where(self.xp.isneginf(peak), 0.0, peak)
        with np.errstate(divide="ignore"):
            return self.download(peak + self.xp.log(self.xp.exp(x - peak).sum(axis=0)))

    def cheapest(self, scores: Any, label: int) -> tuple[np.ndarray, np.ndarray]:
        regret = scores[:, [label]] - scores
        return self.download(regret.min(axis=0)), self.download(regret.argmin(axis=0))

    def score(self, scores: Any) -> str:
        """The macro that says what scores are."""
        return f"SCORE={_NAMES[scores.dtype.name]}"

    def address(self, array: Any) -> int:
        """Of the first score, in bytes."""
        raise NotImplementedError

    def _by_row(self, name: str, scores: Any, *rest: Any) -> None:
        n, k = scores.shape
        arguments = scores, np.int64(_stride(scores)), *rest, np.int64(n), np.int32(k)
        self.launch(name, (self.score(scores),), -(-n // ROW_WARPS), ROW_WARPS * WARP, arguments)

    def _total(self, partial: Any, out: Any) -> None:
        programs, length = partial.shape
        arguments = partial, out, np.int32(programs), np.int32(length)
        self.launch("total", (f"SCORE={_NAMES['float64']}",), -(-length // WARP), TOTAL_WARPS * WARP, arguments)


def _stride(scores: Any) -> int:
    """Scores between the first of a row and the first of the next."""
    return scores.strides[0] // scores.itemsize
