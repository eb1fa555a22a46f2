"""What a report of a fault should say about where it happened."""

from __future__ import annotations

import importlib.metadata
import os
import platform

from ._system.machine import cores, free_memory
from .backends import names

_PACKAGES = (
    "otlabel", "numpy", "scipy", "numba", "threadpoolctl", "scikit-learn", "torch", "torchvision", "triton",
    "cupy-cuda13x", "pyarrow", "pillow",
)  # fmt: skip


def show_versions() -> None:
    """Print versions, backends and the machine, for reports of faults."""
    rows = [
        ("python", platform.python_version()),
        ("system", platform.platform()),
        ("processor", f"{platform.processor() or platform.machine()}, {cores()} of {os.cpu_count()} cores"),
        ("free memory", f"{free_memory() / 2**30:.1f} GiB"),
        ("threads", os.environ.get("OTLABEL_NUM_THREADS", "all cores")),
        ("backends", ", ".join(sorted(names()))),
        *((name, _version(name)) for name in _PACKAGES),
    ]
    for name, value in rows:
        print(f"{name:>14}: {value}")


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
