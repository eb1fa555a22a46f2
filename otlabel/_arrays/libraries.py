"""Arrays of the caller's library: what the rest of the package has to know of one, and NumPy's.

A class an array library: torch's and CuPy's stand in their backends' modules, for only a program that has imported
them can have made their arrays. ``backends.library_of`` finds whose an array is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

# n*k on a GPU: up to here an H200 took longer than the 16 cores beside it (512 x 100: 43 to 63 ms, and 4; 4,096 x 300:
# 53 to 73, and 22; but 50,000 x 128: 30 to 35, and 57).
FEW = 1 << 21


class Library:
    """An array library: a subclass says what its arrays need said otherwise than NumPy's.

    Blocks are two-dimensional arrays of scores, as ``array`` gives them or ``linear`` computes them.
    """

    name: str  # of the backend that its arrays on a device are for

    def owns(self, value: Any) -> bool:
        """Whether ``value`` is an array of this library."""
        raise NotImplementedError

    def device(self, value: Any) -> Any:
        """What tells ``give_back`` where ``value`` is; None if the library knows of one memory only."""
        raise NotImplementedError

    def on_device(self, value: Any) -> bool:
        """Whether ``value`` is in the memory of an accelerator, where kernels of the library read it."""
        raise NotImplementedError

    def fetched(self, device: Any) -> float:
        """n*k up to which scores on that device are labelled sooner in host memory, with the ways there and back."""
        return 0

    def array(self, value: Any, name: str) -> Any:
        """A real-valued array, detached: where it is if that is a device, or else as NumPy. Never modified.

        Raises:
            TypeError: ``name`` holds something else than real numbers.
            ValueError: it holds no numbers, or no rectangular array of them.
        """
        if not self.on_device(value):
            return self.to_numpy(value, name)
        check_real(value.dtype, name)
        return value

    def to_numpy(self, value: Any, name: str) -> np.ndarray:
        """A real-valued array as NumPy, detached and in host memory. Raises as ``array`` does."""
        raise NotImplementedError

    def give_back(self, labels: np.ndarray, device: Any) -> Any:
        """Labels, or other numbers, from the host as an array of this library on ``device``, on its current stream."""
        raise NotImplementedError

    def largest(self, block: Any) -> float:
        """The largest absolute value; NaN if there is one."""
        raise NotImplementedError

    def reached(self, block: Any, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of some columns, how many rows have a score above -inf (len(columns),), and of each row, how many (m,)."""
        finite = block > -np.inf
        if len(columns) < block.shape[1]:
            finite = finite[:, columns]
        return self.to_numpy(finite.sum(0), "scores"), self.to_numpy(finite.sum(1), "scores")

    def softmax(self, block: Any, scale: float, g: np.ndarray) -> Any:
        """(m, k) float64, where the block is: the softmax of the rows of block*scale + g.

        Args:
            block: (m, k) scores; -inf has no part in the sum.
            scale: 1/epsilon.
            g: (k,) float64; -inf takes a label out of use. A row without another entry is NaN.
        """
        raise NotImplementedError

    def with_soft_maximum(self, block: Any, scale: float) -> Any:
        """(m, k+1) float32, of a float64 block float64: the block less each row's best, and how far above that its
        logsumexp(block*scale)/scale is. A row of -inf stays one."""
        raise NotImplementedError

    def concatenate(self, blocks: list[Any]) -> Any:
        """Blocks of one width below each other."""
        raise NotImplementedError

    def blanked(self, block: Any, rows: np.ndarray) -> Any:
        """The block with 0 in some rows; a copy."""
        raise NotImplementedError

    def pick(self, block: Any, columns: np.ndarray) -> np.ndarray:
        """(m,) float64 in host memory: of each row of a float64 block (m, k) the entry in its column (m,) int64."""
        raise NotImplementedError

    def stack(self, arrays: list[Any]) -> Any:
        """Arrays of one shape along a new first axis."""
        raise NotImplementedError

    def layer(self, features: Any, weight: Any, bias: Any) -> tuple[Any, Any]:
        """weight (k, d) and bias (k,), zero if None is given, as ``linear`` wants them for such features.

        The bias has the dtype that the scores will have: no narrower than float32.
        """
        raise NotImplementedError

    def linear(self, features: Any, weight: Any, bias: Any) -> Any:
        """(m, k): features (m, d) @ weight.T + bias of a ``layer``, summed and kept in the dtype of the bias."""
        raise NotImplementedError


class NumPy(Library):
    """NumPy's arrays, and whatever else NumPy makes arrays of: lists, for example."""

    name = "numpy"

    def owns(self, value: Any) -> bool:
        return True

    def device(self, value: Any) -> None:
        return None

    def on_device(self, value: Any) -> bool:
        return False

    def to_numpy(self, value: Any, name: str) -> np.ndarray:
        if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
            raise ValueError(
                f"{name} must not have masked entries, got {int(np.ma.count_masked(value)):,}. Pass {name}.filled(...)."
            )
        try:
            only_dlpack = hasattr(value, "__dlpack__") and not hasattr(value, "__array__")
            array = np.from_dlpack(value) if only_dlpack else np.asarray(value)
        except ValueError as error:  # ragged lists
            raise ValueError(
                f"{name} must be a rectangular array of numbers, got {type(value).__name__}: {error}"
            ) from None
        if array.dtype == object and hasattr(value, "to_numpy"):
            array = _without_na(value, array)
        if array.dtype.name == "bfloat16":  # ml_dtypes
            array = array.astype(np.float32)
        check_real(array.dtype, name)
        return array

    def give_back(self, labels: np.ndarray, device: Any) -> np.ndarray:
        return labels

    def largest(self, block: np.ndarray) -> float:
        if block.dtype == np.float16:
            # NumPy compares halves one by one; their bits without the sign order as integers.
            return float((block.view(np.uint16) & 0x7FFF).max().view(np.float16))
        return float(max(-float(block.min()), float(block.max())))  # NaN propagates through both

    def softmax(self, block: np.ndarray, scale: float, g: np.ndarray) -> np.ndarray:
        x = block.astype(np.float64) * scale + g
        q = np.exp(x - x.max(axis=1, keepdims=True))
        return q / q.sum(axis=1, keepdims=True)

    def with_soft_maximum(self, block: np.ndarray, scale: float) -> np.ndarray:
        extended = np.empty((len(block), block.shape[1] + 1), dtype=np.result_type(block.dtype, np.float32))
        x = block.astype(np.float64)
        best = x.max(axis=1)
        best[np.isneginf(best)] = 0.0
        x -= best[:, None]
        with np.errstate(divide="ignore"):  # rows of -inf
            extended[:, :-1], extended[:, -1] = x, np.log(np.exp(x * scale).sum(axis=1)) / scale
        return extended

    def concatenate(self, blocks: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(blocks)

    def blanked(self, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
        block = block.copy()
        block[rows] = 0
        return block

    def pick(self, block: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return block[np.arange(len(block)), columns]

    def stack(self, arrays: list[np.ndarray]) -> np.ndarray:
        return np.stack(arrays)

    def layer(self, features: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        dtype = np.result_type(features.dtype, weight.dtype, np.float32)
        transposed = np.ascontiguousarray(weight.T, dtype=dtype)
        return transposed.T, np.zeros(len(weight), dtype) if bias is None else bias.astype(dtype)

    def linear(self, features: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        return features.astype(bias.dtype, copy=False) @ weight.T + bias


def _without_na(table: Any, array: np.ndarray) -> np.ndarray:
    """What pandas' nullable and Arrow's columns of numbers hold, NaN where they are empty; else the array as it is."""
    kinds = getattr(table, "dtypes", None)
    kinds = [getattr(table, "dtype", None)] if kinds is None or not np.iterable(kinds) else kinds  # of one column
    if not all(getattr(kind, "kind", "O") in "iuf" for kind in kinds):
        return array
    return table.to_numpy(dtype=np.float64, na_value=np.nan)


NUMPY = NumPy()


class Place(NamedTuple):
    """Where an array is, and where labels for it go."""

    library: Library
    device: Any  # as ``Library.device`` names it

    def give_back(self, labels: np.ndarray) -> Any:
        """Labels from the host as an array of the caller's library."""
        return self.library.give_back(labels, self.device)


HOST = Place(NUMPY, None)  # what NumPy reads: any backend may work there


def check_real(dtype: Any, name: str) -> None:
    """Raise TypeError if a dtype of NumPy's kinds holds anything but real numbers."""
    if dtype.kind not in "fiub":
        remedy = _REMEDIES.get(dtype.kind, "Pass an array of one of these.")
        raise TypeError(f"{name} must hold real numbers (float, integer or bool), got dtype {dtype}. {remedy}")


_REMEDIES = {  # by NumPy's kinds of dtypes
    "O": "Pass an array, a row an item, of numbers only: of a table leave the other columns out.",
    "U": "Of numbers that are written as text, .astype(float) makes some.",
    "S": "Of numbers that are written as text, .astype(float) makes some.",
    "V": "numpy.lib.recfunctions.structured_to_unstructured makes columns of fields.",
    "c": "Take .real, or abs().",
    "M": "Dates are no scores: leave them out.",
    "m": "Dates are no scores: leave them out.",
}
