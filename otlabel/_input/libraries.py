"""Arrays of the caller's library: which it is, their way to the host where that is wanted, and the labels' way back.

torch and cupy are never imported here: only a program that has imported them can have made their arrays.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np


class Home(NamedTuple):
    """Where the caller's scores are, and labels go."""

    library: str  # "numpy", "torch" or "cupy"
    device: Any = None  # a torch.device, or the number of CuPy's

    def bring(self, labels: np.ndarray) -> Any:
        """Labels from the host as an array of the caller's, on the current stream of its device."""
        if self.library == "torch":
            return sys.modules["torch"].from_numpy(labels).to(self.device)
        if self.library == "cupy":
            cupy = sys.modules["cupy"]
            with cupy.cuda.Device(self.device):
                return cupy.asarray(labels)
        return labels


def home_of(value: Any) -> Home:
    """Of an array, or of the features that scores are computed from."""
    value = getattr(value, "features", value)
    if is_tensor(value):
        return Home("torch", value.device)
    if _is_cupy(value):
        return Home("cupy", value.device.id)
    return Home("numpy")


def is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


HOST = {"cpu"}  # torch's names of it


def on_device(value: Any) -> bool:
    """Whether it is an array in the memory of an accelerator."""
    return value.device.type not in HOST if is_tensor(value) else _is_cupy(value)


def as_array(value: Any, name: str) -> Any:
    """Any array library's real-valued array, detached: where it is if that is a device, or else as NumPy."""
    if not on_device(value):
        return as_numpy(value, name)
    if is_tensor(value):
        torch = sys.modules["torch"]
        if value.is_meta:
            raise ValueError(f"{name} must hold numbers, got a tensor on meta. Pass one on a device or in host memory.")
        if value.layout != torch.strided or value.dtype.is_complex or value.is_quantized:
            raise TypeError(
                f"{name} must be a dense tensor of real numbers, got {value.dtype}, {value.layout}. "
                f"Convert it first, for example {name}.to_dense() or {name}.float()."
            )
        return value.detach()
    _check_real(value.dtype, name)
    return value


def as_numpy(value: Any, name: str) -> np.ndarray:
    """Any array library's real-valued array as NumPy, detached and on the host."""
    if on_device(value):
        value = value.cpu() if is_tensor(value) else value.get()
    if is_tensor(value):
        value = value.detach()
        try:
            narrow = value.is_floating_point() and value.dtype.itemsize < 4  # of these NumPy only knows float16
            value = (value.float() if narrow and value.dtype != sys.modules["torch"].float16 else value).numpy()
        except (TypeError, RuntimeError) as error:  # sparse, quantised
            raise TypeError(f"{name} must be a dense tensor of real numbers, got {value.dtype}: {error}") from None
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged lists
        raise ValueError(
            f"{name} must be a rectangular array of numbers, got {type(value).__name__}: {error}"
        ) from None
    if array.dtype.name == "bfloat16":  # ml_dtypes
        array = array.astype(np.float32)
    _check_real(array.dtype, name)
    return array


def largest(array: Any) -> float:
    """The largest absolute value; NaN if there is one."""
    if is_tensor(array):
        torch = sys.modules["torch"]
        # Where it is not contiguous, or bool, torch makes a copy: of a part at a time.
        step = max(1, (1 << (30 if array.is_contiguous() else 24)) // max(1, array[0].numel()))
        parts = [part.byte() if part.dtype == torch.bool else part for part in array.split(step)]
        low, high = (torch.stack(ends) for ends in zip(*(part.aminmax() for part in parts), strict=True))
        return max(-float(low.amin()), float(high.amax()))  # NaN is both
    if _is_cupy(array):
        # Its reductions of 2**31 numbers and more are other ones, and slow to compile.
        step = max(1, (1 << 30) // max(1, array[0].size))
        with array.device:
            ends = [float(end) for i in range(0, len(array), step) for end in _ends(array[i : i + step])]
        return float(np.abs(ends).max())
    if array.dtype == np.float16 and isinstance(array, np.ndarray):
        # NumPy compares halves one by one; their bits without the sign order as integers.
        return float((array.view(np.uint16) & 0x7FFF).max().view(np.float16))
    return float(max(-float(array.min()), float(array.max())))  # NaN propagates through both


def _ends(array: Any) -> tuple[Any, Any]:
    return array.min(), array.max()


def _is_cupy(value: Any) -> bool:
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(value, cupy.ndarray)


def _check_real(dtype: np.dtype, name: str) -> None:
    if dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must hold real numbers (float, integer or bool), got dtype {dtype}. "
            f"Convert it first, for example {name}.astype(numpy.float32)."
        )
