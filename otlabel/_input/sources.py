"""Scores that are not one array in memory: computed from features, or read from disk, a block of rows at a time.

A source has ``shape`` (n, k), ``dtype``, and gives rows for ``source[start:stop]`` and ``source[indices]``. Every sweep
reads it once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import backends
from .libraries import as_array, as_numpy, home_of

_BLOCK = 1 << 22  # entries copied at a time


class LinearScores:
    """Scores ``features @ weight.T + bias``, computed where they are needed: n x k are never held.

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
        self.features, self.weight = as_array(features, "features"), as_array(weight, "weight")
        if self.features.ndim != 2 or self.weight.ndim != 2 or self.features.shape[1] != self.weight.shape[1]:
            raise ValueError(
                "features (n, d) and weight (k, d) must agree in d, "
                f"got shapes {tuple(self.features.shape)} and {tuple(self.weight.shape)}."
            )
        self.shape = (len(self.features), len(self.weight))
        given = None if bias is None else as_array(bias, "bias")
        if given is not None and tuple(given.shape) != self.shape[1:]:
            raise ValueError(f"bias must have shape {self.shape[1:]}, one number a label, got {tuple(given.shape)}.")
        home = home_of(self.features)
        place = "the host" if home.device is None else home.device
        for name, array in (("weight", self.weight), ("bias", given)):
            if array is not None and home_of(array) != home:
                raise ValueError(
                    f"{name} must be where the features are, {home.library} on {place}, "
                    f"got {type(array).__name__} on {getattr(array, 'device', 'the host')}."
                )
        self._library = None if home.library == "numpy" else backends.load(home.library)
        if self._library is None:
            self.dtype = np.result_type(self.features.dtype, self.weight.dtype, np.float32)
            self._transposed = np.ascontiguousarray(self.weight.T, dtype=self.dtype)
            self.bias = np.zeros(self.shape[1], self.dtype) if given is None else given.astype(self.dtype)
        else:
            self.bias = self._library.bias(self.features, self.weight, given)

    def of(self, features: Any) -> Any:
        """Scores of some features."""
        if self._library is not None:
            return self._library.linear(features, self.weight, self.bias)
        return features.astype(self.dtype, copy=False) @ self._transposed + self.bias

    def __getitem__(self, rows: Any) -> Any:
        return self.of(self.features[rows])


class Stored:
    """A two-dimensional zarr array, h5py data set, or anything like them: read by slices of rows."""

    def __init__(self, array: Any):
        self.array, self.shape, self.dtype = array, tuple(array.shape), np.dtype(array.dtype)

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            return np.asarray(self.array[rows])
        # Some stores take no indices that are unsorted or repeated. NumPy's rules for them, out of range included.
        rows = np.arange(self.shape[0])[rows]
        return np.array([self.array[int(row)] for row in rows], dtype=self.dtype).reshape(len(rows), self.shape[1])

    def seekable(self) -> np.ndarray:
        """The same in a temporary file that gives single rows as fast as blocks."""
        step = max(1, _BLOCK // self.shape[1])
        return spool(self[start : start + step] for start in range(0, self.shape[0], step))


def spool(chunks: Iterable[Any]) -> np.ndarray:
    """Arrays (m, k), one below the other, in a temporary file that vanishes when no one uses it any more.

    It takes n*k numbers of space in TMPDIR. Scores are read several times, and single rows of them out of order: what
    makes the chunks, often a network, is asked for each once only.
    """
    with tempfile.TemporaryFile(prefix="otlabel-") as file:
        n, first = 0, None
        for index, chunk in enumerate(chunks):
            array = as_numpy(chunk, f"chunk {index}")
            first = array if first is None else first
            if array.ndim != 2 or array.shape[1] != first.shape[1] or array.dtype != first.dtype:
                raise ValueError(
                    "chunks of scores must be two-dimensional, with one number of labels and one dtype, got chunk "
                    f"{index} of shape {array.shape}, {array.dtype} after shape {first.shape}, {first.dtype}."
                )
            array.tofile(file)
            n += len(array)
        if first is None or 0 in (n, first.shape[1]):
            raise ValueError(
                "chunks of scores must hold at least one item and one label, got none. Is the reader used up?"
            )
        file.flush()
        return np.memmap(file, dtype=first.dtype, mode="r", shape=(n, first.shape[1]))


def as_source(value: Any) -> LinearScores | Stored | np.ndarray | None:
    """The source that ``value`` is, or None if it is an array to be taken as it is."""
    if isinstance(value, LinearScores):
        return value
    if hasattr(value, "__next__"):
        return spool(value)
    if callable(value) and not hasattr(value, "shape"):
        return spool(value())
    # np.memmap is an array already. Stores have chunks (None in h5py's if contiguous); arrays have not.
    if hasattr(value, "chunks") and all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__")):
        return Stored(value)
    return None
