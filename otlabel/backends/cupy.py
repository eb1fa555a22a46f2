"""CuPy: its arrays, and kernels for them in CUDA C, compiled for the device when first met and kept in CuPy's cache."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import cupy
import cupyx
import numpy as np

from .._arrays import libraries
from .._arrays.libraries import HOST
from .._arrays.score_source import ScoreSource
from .gpu import cuda_engine as cuda
from .gpu import kernels
from .gpu.engine import STAGED, out_of_memory


class Kernels(kernels.Kernels):
    """``protocol.Kernels``.

    Scores: a CuPy array, used where it is; anything else that NumPy reads is copied to the current device a block of
    rows at a time, in every sweep anew.
    """

    def __init__(self, source: ScoreSource, scale: float, a: np.ndarray, largest: float):
        if cupy.cuda.runtime.is_hip:
            raise ValueError(
                "backend 'cupy' has kernels for NVIDIA GPUs only. Pass torch tensors, or cupy.asnumpy(logits)."
            )
        device = cupy.cuda.Device() if source.place == HOST else cupy.cuda.Device(source.place.device)
        super().__init__(source, CuPy(device), scale, a, largest)


class CuPy(cuda.Cuda):
    """``engine.Engine``, on CuPy's current stream."""

    def __init__(self, place: cupy.cuda.Device):
        super().__init__(cupy, place.attributes["MultiProcessorCount"])
        self.place = place

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        with self.place:
            try:
                yield
            except cupy.cuda.memory.OutOfMemoryError as error:
                free, whole = cupy.cuda.runtime.memGetInfo()
                raise out_of_memory(f"CUDA device {self.place.id}", free, whole, error) from error

    def download(self, array: Any) -> np.ndarray:
        if array.nbytes > STAGED:
            return cupy.asnumpy(array)
        return cupy.asnumpy(array, out=cupyx.empty_pinned(array.shape, array.dtype))

    def address(self, array: Any) -> int:
        return array.data.ptr

    def resident(self, name: str, macros: tuple[str, ...], threads: int) -> int:
        return _resident(name, macros, threads, self.place.id)

    def launch(self, name: str, macros: tuple[str, ...], blocks: int, threads: int, arguments: Sequence[Any]) -> None:
        # A null pointer is an integer to CuPy.
        _kernel(name, macros)((blocks,), (threads,), tuple(np.intp(0) if a is None else a for a in arguments))


class Library(libraries.Library):
    """CuPy's arrays; a device is its number."""

    name = "cupy"

    def owns(self, value: Any) -> bool:
        return isinstance(value, cupy.ndarray)

    def device(self, value: Any) -> int:
        return value.device.id

    def on_device(self, value: Any) -> bool:
        return True

    def fetched(self, device: int) -> float:
        return libraries.FEW

    def to_numpy(self, value: Any, name: str) -> np.ndarray:
        return libraries.NUMPY.to_numpy(value.get(), name)

    def give_back(self, labels: np.ndarray, device: int) -> Any:
        with cupy.cuda.Device(device):
            return cupy.asarray(labels)

    def largest(self, block: Any) -> float:
        # Its reductions of 2**31 numbers and more are other ones, and slow to compile.
        step = max(1, (1 << 30) // max(1, block[0].size))
        with block.device:
            parts = [block[start : start + step] for start in range(0, len(block), step)]
            ends = [float(end) for part in parts for end in (part.min(), part.max())]
        return float(np.abs(ends).max())

    def softmax(self, block: Any, scale: float, g: np.ndarray) -> Any:
        with block.device:
            x = block.astype(np.float64) * scale + cupy.asarray(g)
            q = cupy.exp(x - x.max(axis=1, keepdims=True))
            return q / q.sum(axis=1, keepdims=True)

    def with_soft_maximum(self, block: Any, scale: float) -> Any:
        with block.device:
            x = block.astype(np.float64)
            best = x.max(axis=1, keepdims=True)
            x = x - cupy.where(cupy.isneginf(best), 0.0, best)
            soft = cupy.log(cupy.exp(x * scale).sum(axis=1, keepdims=True)) / scale
            dtype = np.result_type(block.dtype, np.float32)
            return cupy.concatenate([x.astype(dtype), soft.astype(dtype)], axis=1)

    def concatenate(self, blocks: list[Any]) -> Any:
        with blocks[0].device:
            return cupy.concatenate(blocks)

    def blanked(self, block: Any, rows: np.ndarray) -> Any:
        with block.device:
            block = block.copy()
            block[rows] = 0
            return block

    def pick(self, block: Any, columns: np.ndarray) -> np.ndarray:
        with block.device:
            return cupy.asnumpy(cupy.take_along_axis(block, cupy.asarray(columns)[:, None], axis=1)[:, 0])

    def stack(self, arrays: list[Any]) -> Any:
        with arrays[0].device:
            return cupy.stack(arrays)

    def layer(self, features: Any, weight: Any, bias: Any) -> tuple[Any, Any]:
        dtype = np.result_type(features.dtype, weight.dtype, np.float32)
        with weight.device:
            return weight, cupy.zeros(len(weight), dtype) if bias is None else bias.astype(dtype)

    def linear(self, features: Any, weight: Any, bias: Any) -> Any:
        """CuPy uses no TF32 unless CUPY_TF32 is set."""
        return features.astype(bias.dtype) @ weight.T.astype(bias.dtype) + bias


@functools.cache
def _kernel(name: str, macros: tuple[str, ...]) -> Any:
    options = ("--std=c++17", *(f"-D{macro}" for macro in macros))
    return cupy.RawModule(code=cuda.SOURCE, options=options).get_function(name)


@functools.cache
def _resident(name: str, macros: tuple[str, ...], threads: int, device_id: int) -> int:
    occupancy = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor
    return max(1, occupancy(_kernel(name, macros).kernel.ptr, threads, 0))
