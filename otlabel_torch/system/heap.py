"""Memory that a C library's heap holds."""

from __future__ import annotations

import ctypes
import os

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # glibc's malloc.h
LARGEST = 32 << 20  # bytes: the most that glibc takes for the former
NEVER = 2**31 - 1  # bytes


def keep_freed() -> None:
    """Let glibc keep what is freed, up to 32 MiB a piece, for the next step of training.

    Else it maps the activations of every step anew, and every page of them faults: 5,900 times a step of 64 images, a
    tenth of its time (docs/training.md). Other C libraries have no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, NEVER)
