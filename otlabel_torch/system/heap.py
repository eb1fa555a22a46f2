"""Memory that is freed stays with the process."""

from __future__ import annotations

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names for what mallopt sets
MOST = 1 << 30  # bytes


def keep() -> None:
    """Let glibc's heap keep up to 1 GiB of what is freed, for the next step of training.

    Else every step's large tensors are pages that the kernel empties and maps anew: a sixth of the time of a network
    like convnet-3x (docs/training.md). Other heaps are left alone; what is kept is handed back where memory is short.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for which in (TRIM_THRESHOLD, MMAP_THRESHOLD):
            mallopt(which, MOST)
