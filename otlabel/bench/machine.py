"""This machine: what it is, how many threads are used, how fast it reads."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from .._system.machine import cores

PACKAGES = (
    "otlabel", "numpy", "scipy", "numba", "torch", "triton", "cupy-cuda13x", "POT", "ott-jax", "jax", "geomloss",
    "k-means-constrained", "ortools", "mdot-tnt",
)  # fmt: skip
POOLS = ("OMP", "OPENBLAS", "MKL", "NUMBA", "OTLABEL", "VECLIB_MAXIMUM", "BLIS")


def about() -> dict[str, Any]:
    """What rows say about where they were measured."""
    return {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "threads": threads(),
        "memory_gib": memory_gib(),
        "gpus": gpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def cpu() -> str:
    """The processor's name for itself."""
    from cpuinfo import get_cpu_info

    return get_cpu_info().get("brand_raw", platform.processor() or platform.machine())


def slug() -> str:
    """This machine in file names: "intel-r-xeon-r-processor_2"."""
    return f"{re.sub(r'[^a-z0-9]+', '-', cpu().lower()).strip('-')}_{threads()}"


def threads() -> int:
    """Cores that this process may use."""
    return cores()


def limit_threads(count: int | None) -> None:
    """Let all processes that start from now on use ``count`` threads, each library of them; None: all cores.

    Settings for OpenBLAS from outside are dropped: a kernel chosen for other processors would slow its users down.
    """
    for name in [name for name in os.environ if name.startswith("OPENBLAS_")]:
        del os.environ[name]
    if count is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # as all peers; before jax is imported anywhere
    for pool in POOLS:
        os.environ[f"{pool}_NUM_THREADS" if pool != "VECLIB_MAXIMUM" else "VECLIB_MAXIMUM_THREADS"] = str(
            count or threads()
        )


def memory_gib() -> float | None:
    """Of the machine; None where it does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def gpus() -> list[str]:
    """Names, memory and driver of NVIDIA GPUs, by their own tool."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


def versions() -> dict[str, str]:
    """Of the packages that are measured, by name."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def installed(module: str | None) -> bool:
    """Whether a module can be imported; None needs none."""
    return module is None or importlib.util.find_spec(module) is not None


def commit() -> str | None:
    """Of the checkout that otlabel is imported from, with a + if files differ from it."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True).stdout

    try:
        return git("rev-parse", "--short", "HEAD").strip() + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def read_seconds(array: np.ndarray, repeats: int = 9) -> float:
    """The least time of one read of an array by all cores: a maximum over its bits, limited by memory or cache."""
    width = np.uint16 if array.itemsize > 1 else np.uint8
    parts = np.array_split(array.reshape(-1).view(width), threads())
    times = []
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in range(repeats + 1):
            start = time.perf_counter()
            list(pool.map(np.max, parts))
            times.append(time.perf_counter() - start)
    return min(times)


def bandwidth(size: int = 1 << 28) -> float:
    """GB/s of reading an array that no cache holds."""
    return size / 1e9 / read_seconds(np.ones(size // 4, dtype=np.float32))


if __name__ == "__main__":
    print(slug())
