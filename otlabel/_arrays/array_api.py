"""Arrays of any library that keeps to the Python array API standard, JAX's for example: computed on the host, and given
back as what they were."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .libraries import NUMPY, Library, check_real


class ArrayApi(Library):
    """A library by its namespace (``__array_namespace__``); it has no kernels of its own."""

    name = "numpy"

    def __init__(self, namespace: ModuleType):
        self._namespace = namespace

    def owns(self, value: Any) -> bool:
        return namespace_of(value) is self._namespace

    def device(self, value: Any) -> Any:
        return getattr(value, "device", None)

    def on_device(self, value: Any) -> bool:
        return False  # whatever it is: it is computed on the host

    def to_numpy(self, value: Any, name: str) -> np.ndarray:
        array = np.asarray(value) if hasattr(value, "__array__") else np.from_dlpack(value)
        if array.dtype.name == "bfloat16":
            array = array.astype(np.float32)
        check_real(array.dtype, name)
        return array

    def give_back(self, labels: np.ndarray, device: Any) -> Any:
        try:
            return self._namespace.asarray(labels, device=device)
        except (TypeError, ValueError):  # what calls something a device that is none
            return self._namespace.asarray(labels)


def namespace_of(value: Any) -> ModuleType | None:
    """The array API namespace of an array that is not NumPy's own; None of anything else."""
    if isinstance(value, np.ndarray | np.generic) or not hasattr(value, "__array_namespace__"):
        return None
    return value.__array_namespace__()


def library_of_standard(value: Any) -> Library:
    """The library of an array that keeps to the standard; NumPy's of anything else."""
    namespace = namespace_of(value)
    return NUMPY if namespace is None else ArrayApi(namespace)
