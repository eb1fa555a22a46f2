"""The sources of scores: an array in memory, features and a linear layer, a file, chunks that come one by one."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from scipy.sparse import issparse

from .._arrays.libraries import HOST, check_real
from .._arrays.score_source import Held, ScoreSource
from .._system.machine import free_memory
from .._system.threads import one_blas_thread, threaded
from ..backends import library_of, place_of

_PRODUCT = 128  # rows of a matrix product: as quick as any, on one BLAS thread, and few for the sake of single rows
_KEPT = 0.5  # of what is free, that computed scores may take
_COPIED = 1 << 22  # entries copied at a time, from a store into a temporary file


class InMemory(Held):
    """An array (n, k) of any library, as ``Library.array`` gives it; not copied."""

    def __init__(self, array: Any):
        super().__init__(array, place_of(array))


class LinearScores(ScoreSource):
    """Scores ``features @ weight.T + bias``, computed where they are needed.

    In host memory ``assign`` keeps them while it works if they take no more than half of what is free, or else computes
    them anew in every sweep. What comes out is the same, to the last bit: products are made in fixed blocks of rows.
    On a CUDA device the product is summed in float32 (float64 for float64 features), without TF32.

    Args:
        features: (n, d), any float dtype; an array, or a tensor or CuPy array, which stays where it is.
        weight: (k, d), as in ``torch.nn.Linear``; where the features are.
        bias: (k,) or None.

    Raises:
        ValueError: shapes that do not fit, or a weight or bias that is elsewhere than the features.
        TypeError: what holds no real numbers.
    """

    def __init__(self, features: Any, weight: Any, bias: Any = None):
        self.features, weight = _array(features, "features"), _array(weight, "weight")
        if self.features.ndim != 2 or weight.ndim != 2 or self.features.shape[1] != weight.shape[1]:
            raise ValueError(
                "features (n, d) and weight (k, d) must agree in d, "
                f"got shapes {tuple(self.features.shape)} and {tuple(weight.shape)}."
            )
        self.shape = (len(self.features), len(weight))
        bias = None if bias is None else _array(bias, "bias")
        if bias is not None and tuple(bias.shape) != self.shape[1:]:
            raise ValueError(f"bias must have shape {self.shape[1:]}, one number a label, got {tuple(bias.shape)}.")
        self.place = place_of(self.features)
        where = "the host" if self.place == HOST else self.place.device
        for name, array in (("weight", weight), ("bias", bias)):
            if array is not None and place_of(array) != self.place:
                raise ValueError(
                    f"{name} must be where the features are, {self.place.library.name} on {where}, "
                    f"got {type(array).__name__} on {getattr(array, 'device', 'the host')}."
                )
        self.weight, self.bias = self.place.library.layer(self.features, weight, bias)

    may_be_kept = True  # for a solve, where they fit: the result is the same. Else sweeps over all of them are few
    in_blocks = True

    @property
    def quick(self) -> bool:  # type: ignore[override]
        return self.place == HOST and self.may_be_kept

    def reading(self) -> AbstractContextManager[object]:
        return one_blas_thread() if self.place == HOST else super().reading()

    def rows(self, index: Any) -> Any:
        if self.place != HOST:
            return self.place.library.linear(self.features[index], self.weight, self.bias)
        rows = np.arange(self.shape[0])[index]
        blocks, of_block = np.unique(rows // _PRODUCT, return_inverse=True)
        products = np.empty((len(blocks) * _PRODUCT, self.shape[1]), dtype=self.bias.dtype)
        with self.reading():
            for place, block in enumerate(blocks):
                self._product(int(block), products[place * _PRODUCT : (place + 1) * _PRODUCT])
        where = rows % _PRODUCT + of_block * _PRODUCT
        if isinstance(index, slice) and index.step in (None, 1):
            return products[where[0] : where[-1] + 1] if len(where) else products
        return products[where]

    def kept(self) -> InMemory:
        """All of them, in memory."""
        scores = np.empty(self.shape, dtype=self.bias.dtype)

        def part(block: int) -> None:
            self._product(block, scores[block * _PRODUCT : (block + 1) * _PRODUCT])

        with self.reading():
            threaded(part, range(-(-self.shape[0] // _PRODUCT)))
        source = InMemory(scores)
        source.in_blocks = True  # as where they are not kept: the same steps
        return source

    def _product(self, block: int, out: np.ndarray) -> None:
        """The scores of a block of rows. What is summed in another block may be rounded otherwise."""
        features = self.features[block * _PRODUCT : (block + 1) * _PRODUCT].astype(self.bias.dtype, copy=False)
        product = out[: len(features)]
        np.matmul(features, self.weight.T, out=product)
        product += self.bias


class Stored(ScoreSource):
    """A two-dimensional zarr array, h5py data set, or anything like them: read by slices of rows."""

    read_ahead = True

    def __init__(self, array: Any):
        check_real(array.dtype, "logits")
        if len(array.shape) != 2:
            raise ValueError(
                f"logits must have shape (n, k) where they are read from a store, got {tuple(array.shape)}. Pass one "
                "head after the other, or heads as an array in memory."
            )
        self.stored, self.shape = array, tuple(array.shape)

    def rows(self, index: Any) -> np.ndarray:
        if isinstance(index, slice):
            return np.asarray(self.stored[index])
        # Some stores take no indices that are unsorted or repeated. NumPy's rules for them, out of range included.
        rows = np.arange(self.shape[0])[index]
        return np.array([self.stored[int(row)] for row in rows], dtype=self.stored.dtype).reshape(
            len(rows), self.shape[1]
        )

    def seekable(self) -> ScoreSource:
        """The same in a temporary file that gives single rows as fast as blocks."""
        return Spooled(self._blocks())

    def _blocks(self) -> Iterator[np.ndarray]:
        step = max(1, _COPIED // self.shape[1])
        return (self.rows(slice(start, start + step)) for start in range(0, self.shape[0], step))


class SparseScores(ScoreSource):
    """A sparse matrix (n, k) of SciPy's: what is stored is a score, 0 too, and what is not stored is forbidden.

    Blocks of rows are made dense, never the whole.
    """

    def __init__(self, matrix: Any):
        check_real(matrix.dtype, "logits")
        self._rows, self.shape = matrix.tocsr(copy=matrix.format == "csr"), tuple(matrix.shape)
        self._rows.sum_duplicates()
        self.dtype = np.result_type(matrix.dtype, np.float32)

    def rows(self, index: Any) -> np.ndarray:
        some = self._rows[index] if isinstance(index, slice) else self._rows[np.arange(self.shape[0])[index]]
        block = np.full(some.shape, -np.inf, dtype=self.dtype)
        block[np.repeat(np.arange(len(block)), np.diff(some.indptr)), some.indices] = some.data
        return block


class Spooled(InMemory):
    """Arrays (m, k), one below the other, mapped from a temporary file that vanishes when no one uses it any more.

    It takes n*k numbers of space in TMPDIR. Scores are read several times, and single rows of them out of order: what
    makes the chunks, often a network, is asked for each once only.

    Raises:
        ValueError: chunks that do not fit below each other, or none.
    """

    def __init__(self, chunks: Iterable[Any]):
        with tempfile.TemporaryFile(prefix="otlabel-") as file:
            n, first = 0, None
            for number, chunk in enumerate(chunks):
                chunk = forbidden_where_masked(chunk) if isinstance(chunk, np.ma.MaskedArray) else chunk
                array = library_of(chunk).to_numpy(chunk, f"chunk {number}")
                first = array if first is None else first
                if array.ndim != 2 or array.shape[1] != first.shape[1] or array.dtype != first.dtype:
                    raise ValueError(
                        "chunks of scores must be two-dimensional, with one number of labels and one dtype, got chunk "
                        f"{number} of shape {array.shape}, {array.dtype} after shape {first.shape}, {first.dtype}. "
                        "Convert them all to one of float, or yield rows by the block."
                    )
                array.tofile(file)
                n += len(array)
            if first is None or 0 in (n, first.shape[1]):
                raise ValueError(
                    "chunks of scores must hold at least one item and one label, got none. Is the reader used up?"
                )
            file.flush()
            super().__init__(np.memmap(file, dtype=first.dtype, mode="r", shape=(n, first.shape[1])))


def as_source(value: Any) -> ScoreSource | None:
    """The source that ``value`` is, or None if it is an array, or to become one."""
    if isinstance(value, ScoreSource):
        return value
    if issparse(value):
        return SparseScores(value)
    if hasattr(value, "__next__"):
        return Spooled(value)
    if callable(value) and not hasattr(value, "shape"):
        return Spooled(_called(value))
    # np.memmap is an array already. Stores have chunks (None in h5py's if contiguous); arrays have not.
    if hasattr(value, "chunks") and all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__")):
        return Stored(value)
    return None


def _called(function: Any) -> Iterable[Any]:
    try:
        inspect.signature(function).bind()
    except TypeError:
        raise TypeError(
            "a function of scores must take nothing and return chunks of them, but this "
            f"{type(function).__name__} takes more. Pass the scores, or functools.partial of it."
        ) from None
    except ValueError:  # some of C's functions do not say
        pass
    return function()


def forbidden_where_masked(scores: np.ma.MaskedArray) -> np.ndarray:
    """The scores, -inf where they are masked; in a dtype that knows it."""
    if not np.ma.is_masked(scores):
        return scores.data
    check_real(scores.dtype, "logits")
    wide = scores.astype(np.result_type(scores.dtype, np.float16), copy=False)
    return np.ma.filled(wide, -np.inf)


def kept(source: ScoreSource) -> ScoreSource:
    """Scores that would be computed in every sweep, in memory if they take no more than a share of what is free."""
    if not isinstance(source, LinearScores) or source.place != HOST or not source.may_be_kept:
        return source
    fits = source.shape[0] * source.shape[1] * source.bias.itemsize <= _KEPT * free_memory()
    return source.kept() if fits else source


def fetched(source: ScoreSource) -> ScoreSource:
    """Scores on a device in host memory, if they are so few that they are labelled sooner there."""
    (n, k), (library, device) = source.shape, source.place
    if source.place == HOST or n * k > library.fetched(device):
        return source
    return InMemory(library.to_numpy(source[:n], "logits"))


def as_heads(scores: Any) -> list[ScoreSource]:
    """The scores (n, k) of each head: of a source or of an array (n, k) or (h, n, k), as ``Library.array`` gives it."""
    if isinstance(scores, ScoreSource):
        return [scores]
    return [InMemory(scores[head]) for head in range(len(scores))] if len(scores.shape) == 3 else [InMemory(scores)]


def _array(value: Any, name: str) -> Any:
    return library_of(value).array(value, name)
