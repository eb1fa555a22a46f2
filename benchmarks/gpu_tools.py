"""What the parts of the proof on a GPU share: the device, its libraries, the clock. Nothing is installed."""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
EPSILON = 1 / 25
GPU = torch.cuda.is_available()
PLACE = torch.device("cuda" if GPU else "cpu")
CUPY = GPU and importlib.util.find_spec("cupy") is not None
LIBRARIES = ("torch", "cupy") if CUPY else ("torch",)

Row = dict[str, Any]


def in_library(scores: torch.Tensor, library: str) -> Any:
    """The same memory, as an array of torch or CuPy."""
    if library == "torch":
        return scores
    import cupy

    return cupy.from_dlpack(scores)


def on_host(labels: Any) -> np.ndarray:
    """Labels of any library."""
    return np.asarray(labels.get() if hasattr(labels, "get") else labels.cpu())


def synchronize() -> None:
    if GPU:
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Of each of some runs, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        synchronize()
        start = time.perf_counter()
        work()
        synchronize()
        times.append(time.perf_counter() - start)
    return times


def quantiles(values: list[float], unit: str) -> Row:
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "runs": len(values),
        "unit": unit,
    }
