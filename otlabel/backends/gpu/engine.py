"""What a device has to do for the kernels, and how the kernels get at scores: the ground the GPU backends stand on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

UNIT = 2.0**61  # of the integers that stand for lists' column sums, which stay below 4
STAGED = 1 << 20  # bytes of arrays that go over pinned memory: of others the driver takes long for the call alone
PARTIALS = 48 << 20  # bytes of partial column sums, at most, or one part in 32 of the scores

Item = TypeVar("Item")


@dataclass(frozen=True)
class Sizes:
    """How much of a device is taken, and how work is cut up. Column sums are added up block by block."""

    lists: int = 64 << 20  # bytes of lists that no one minds; those of one survey are alive at a time
    lists_of_scores: float = 1 / 4  # lists may take this part of what the scores take, if that is more
    block: int = 16 << 20  # bytes of a block of rows that is copied to the device, or converted there
    fetched: int = 256 << 20  # bytes of scores that rounding may fetch, where it wants single rows
    computed: int = 512 << 20  # the same of scores that are computed there: each is a product, and a launch of kernels


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

    def sweep_listed(self, lists: tuple, g: Any, lse: Any, a: Any) -> tuple[float, np.ndarray]:
        """sum_i a_i (logsumexp_i - lse_i) and c (k,) of lists (indptr, label, score), on the host."""

    def log_columns(self, scores: Any, columns: np.ndarray, scale: float, shift: Any) -> np.ndarray:
        """(len(columns),) log sum_i exp(S_ij/epsilon + shift_i), in the log domain."""

    def cheapest(self, scores: Any, label: int) -> tuple[np.ndarray, np.ndarray]:
        """(k,) the least S_i,label - S_ij over the rows of scores, float64, and the first row that has it."""


def most_partials(shape: tuple[int, int], itemsize: int) -> int:
    """How many programs may have column sums of their own."""
    n, k = shape
    return max(1, max(PARTIALS, n * k * itemsize // 32) // (8 * (k + 1)))


def of_lists(sums: np.ndarray, k: int) -> tuple[float, np.ndarray]:
    """What ``sweep_listed`` gives, from k integers in units of 1/UNIT and, in the bits of the others, parts of F."""
    return float(sums[k:].view(np.float64).sum()), sums[:k] / UNIT


def out_of_memory(place: str, free: float, whole: float, error: Exception) -> MemoryError:
    """What to raise for a library's own error."""
    beside = (Sizes.lists + PARTIALS) / 2**20
    return MemoryError(
        f"{place} has {free / 2**20:,.0f} of {whole / 2**20:,.0f} MiB free, too little to label with: beside the "
        f"scores about {beside:.0f} MiB and 44 bytes a row must fit. Keep the scores in host memory (pinned, for "
        "torch) and name the backend: they are then streamed to the device. Or use LinearScores. "
        f"The library says: {error}"
    )


class Scores:
    """A matrix of scores (n, k), and how the device gets at it: where it is, block by block, or computed.

    Args:
        matrix: an array of any library, or what gives rows for slices and index arrays as one.
        engine: of the device.
        block: bytes of a block of rows that is copied to the device, converted or computed there.
    """

    def __init__(self, matrix: Any, engine: Engine, block: int):
        self.matrix, self.engine, self.block = matrix, engine, block
        self.shape: tuple[int, int] = tuple(matrix.shape)
        self.resident = engine.holds(matrix)
        self.stored = engine.stored(matrix[:1])
        self.itemsize: int = self.stored.itemsize

    def blocks(self) -> Iterator[tuple[slice, Any]]:
        """All rows, as the kernels read them."""
        n, k = self.shape
        if self.resident and self.engine.is_ready(self.matrix):
            yield slice(0, n), self.matrix
            return
        step = max(1, self.block // (k * self.itemsize))
        spans = [slice(start, min(start + step, n)) for start in range(0, n, step)]
        blocks = self.engine.streamed(spans, lambda rows: self.engine.ready(self.matrix[rows], self.stored))
        yield from zip(spans, blocks, strict=True)

    def thinned(self, every: int) -> Scores:
        """Rows 0, every, 2 every, ..."""
        if self.resident:
            return Scores(self.matrix[::every], self.engine, self.block)
        return Scores(self.take(np.arange(0, self.shape[0], every)), self.engine, self.block)

    def take(self, rows: np.ndarray) -> Any:
        """(r, k), on the device."""
        return self.engine.pick(self.matrix, rows)
