"""Scores that are not one array in memory: computed from features, or read from disk, a block of rows at a time.

A source has ``shape`` (n, k), ``dtype``, and gives rows for ``source[start:stop]`` and ``source[indices]``. Every sweep
reads it once.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class LinearScores:
    """Scores ``features @ weight.T + bias``, computed where they are needed: n x k are never held.

    Args:
        features: (n, d), any float dtype; an array or a CPU tensor.
        weight: (k, d), as in ``torch.nn.Linear``.
        bias: (k,) or None.
    """

    def __init__(self, features: Any, weight: Any, bias: Any = None):
        from ._problem import as_numpy

        self.features, weight = as_numpy(features, "features"), as_numpy(weight, "weight")
        if self.features.ndim != 2 or weight.ndim != 2 or self.features.shape[1] != weight.shape[1]:
            raise ValueError(
                "features (n, d) and weight (k, d) must agree in d, "
                f"got shapes {self.features.shape} and {weight.shape}."
            )
        self.dtype = np.result_type(self.features.dtype, weight.dtype, np.float32)
        self.shape = (len(self.features), len(weight))
        self._weight = np.ascontiguousarray(weight.T, dtype=self.dtype)
        self._bias = np.zeros(len(weight), self.dtype) if bias is None else as_numpy(bias, "bias").astype(self.dtype)
        if self._bias.shape != self.shape[1:]:
            raise ValueError(f"bias must have shape {self.shape[1:]}, one number a label, got {self._bias.shape}.")

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.features[rows].astype(self.dtype, copy=False) @ self._weight + self._bias


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


def as_source(value: Any) -> LinearScores | Stored | None:
    """The source that ``value`` is, or None if it is an array to be taken as it is."""
    if isinstance(value, LinearScores):
        return value
    # np.memmap is an array already. Stores have chunks (None in h5py's if contiguous); arrays have not.
    if hasattr(value, "chunks") and all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__")):
        return Stored(value)
    return None
