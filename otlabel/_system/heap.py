"""glibc's heap: what it keeps of the memory that is freed. Other heaps are left alone."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of mallopt's settings
LARGEST = (1 << 30, 32 << 20)  # bytes: the second where glibc refuses the first, as older ones do


def keep() -> bool:
    """Let large tensors that are freed stay with the process, for the next step; whether the heap does that.

    Else they are pages that the kernel empties and maps anew at every step: a sixth of the time that a network like
    convnet-3x takes (docs/training.md). Whoever asks for free memory gives back first.
    """
    mallopt = _glibcs("mallopt")
    if mallopt is None or not any(mallopt(MMAP_THRESHOLD, size) for size in LARGEST):
        return False
    return bool(mallopt(TRIM_THRESHOLD, LARGEST[0]))


def give_back() -> None:
    """Hand back what is free: glibc keeps gigabytes of lists that were dropped."""
    trim = _glibcs("malloc_trim")
    if trim is not None:
        trim(0)


def _glibcs(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if os.name == "posix" else None
