"""What this process may take of the machine: cores and memory."""

from __future__ import annotations

import os
from pathlib import Path

from .heap import give_back


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> float:
    """Bytes that can still be allocated without swapping, by the kernel's own estimate; inf where it has none."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return float("inf")
    try:  # a container may have less
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        kinds = dict(line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines())
        cached = int(kinds["inactive_file"]) + int(kinds["active_file"])  # given back when asked for
        return free if limit == "max" else min(free, float(int(limit) - used + cached))
    except (OSError, ValueError, KeyError):
        return free


def require(needed: float, what: str) -> None:
    """Raise MemoryError if a solve needs more bytes than are free: the kernel would end the process without a word.

    It takes a tenth of a millisecond. what: begins the message: "lists of 10 items".
    """
    if needed <= free_memory():
        return
    give_back()
    if needed > (free := free_memory()):
        raise MemoryError(
            f"{what} needs about {needed / 2**20:,.0f} MiB beside the scores, but {free / 2**20:,.0f} MiB are free. "
            "Assign a sample of the rows and label the rest with Assignment.predict, choose a smaller epsilon, or "
            "share the rows among machines with comm=."
        )
