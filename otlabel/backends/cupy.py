"""Kernels for CuPy arrays: CUDA C, compiled for the device when they are first met and kept in CuPy's cache."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import cupy
import numpy as np

from .._input.sources import LinearScores
from .gpu import cuda_engine as cuda
from .gpu import device


class Kernels(device.Kernels):
    """The protocol ``otlabel.backends.Kernels``.

    Scores: a CuPy array, used where it is; anything else that NumPy reads is copied to the current device a block of
    rows at a time, in every sweep anew.
    """

    def __init__(self, scores: Any, scale: float, a: np.ndarray, largest: float):
        array = scores.features if isinstance(scores, LinearScores) else scores
        place = array.device if isinstance(array, cupy.ndarray) else cupy.cuda.Device()
        super().__init__(scores, CuPy(place), scale, a, largest)


class CuPy(cuda.Cuda):
    """The protocol ``device.Engine``, on CuPy's current stream."""

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
                raise device.out_of_memory(f"CUDA device {self.place.id}", free, whole, error) from error

    def download(self, array: Any) -> np.ndarray:
        return cupy.asnumpy(array)

    def address(self, array: Any) -> int:
        return array.data.ptr

    def resident(self, name: str, macros: tuple[str, ...], threads: int) -> int:
        return _resident(name, macros, threads, self.place.id)

    def launch(self, name: str, macros: tuple[str, ...], blocks: int, threads: int, arguments: Sequence[Any]) -> None:
        # A null pointer is an integer to CuPy.
        _kernel(name, macros)((blocks,), (threads,), tuple(np.intp(0) if a is None else a for a in arguments))


@functools.cache
def _kernel(name: str, macros: tuple[str, ...]) -> Any:
    options = ("--std=c++17", *(f"-D{macro}" for macro in macros))
    return cupy.RawModule(code=cuda.SOURCE, options=options).get_function(name)


@functools.cache
def _resident(name: str, macros: tuple[str, ...], threads: int, device_id: int) -> int:
    occupancy = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor
    return max(1, occupancy(_kernel(name, macros).kernel.ptr, threads, 0))


def bias(features: Any, weight: Any, given: Any) -> Any:
    """The bias of ``linear``, zero if none is given, in the dtype of the scores."""
    dtype = np.result_type(features.dtype, weight.dtype, np.float32)
    return cupy.zeros(len(weight), dtype) if given is None else given.astype(dtype)


def linear(features: Any, weight: Any, bias: Any) -> Any:
    """features (m, d) @ weight (k, d).T + bias (k,) in the bias's dtype; CuPy uses no TF32 unless CUPY_TF32 is set."""
    return features.astype(bias.dtype) @ weight.T.astype(bias.dtype) + bias
