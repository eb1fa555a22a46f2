"""otlabel's backends, as adapters like those of its peers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

import otlabel

from .. import backends
from .peers import PEERS
from .peers.task import Adapter, Answer, Peer, Task

Rounding = Literal["argmax", "balanced"]
WARM_UP = 512  # rows that are labelled before the clock starts: kernels are compiled, or read from numba's cache
ROUNDINGS: tuple[Rounding, ...] = ("argmax", "balanced")


def methods() -> dict[str, Peer]:
    """Everything that can be measured, by name; whether it is installed is another question."""
    own = [
        Peer(f"otlabel {backend} {rounding}", backend, None, rounding == "balanced", "", adapter(backend, rounding))
        for backend in (known.name for known in backends.registered())
        for rounding in ROUNDINGS
    ]
    return {method.name: method for method in (*own, *PEERS)}


def usable() -> tuple[str, ...]:
    """The backends that can run here."""
    return tuple(name for name in backends.names() if name != "cupy" or _cupy_has_a_device())


def adapter(backend: str, rounding: Rounding) -> Adapter:
    """otlabel itself, as peers are: one backend, one rounding."""

    def adapt(task: Task) -> Callable[[], Answer]:
        scores: Any = _placed(task.scores, backend)
        few = scores[:WARM_UP]
        if task.layer is not None:
            features, weight = (_placed(array, backend) for array in task.layer)
            scores, few = (otlabel.LinearScores(rows, weight) for rows in (features, features[:WARM_UP]))

        def solve(scores: Any = scores) -> Answer:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
                result = otlabel.assign(scores, epsilon=task.epsilon, tol=task.tol, rounding=rounding, backend=backend)
            on_host = backends.library_of(result.labels).to_numpy(result.labels, "labels")
            gap = None if rounding == "argmax" else float(result.gap)
            return Answer(result.potentials, on_host, float(result.n_sweeps), gap, engine=result.engine)

        solve(few)
        return solve

    return adapt


def _placed(scores: np.ndarray, backend: str) -> Any:
    """On the GPU, where the backend has one; the copy is not part of the solve."""
    if backend == "cupy":
        import cupy

        return cupy.asarray(scores)
    if backend == "torch":
        import torch

        if torch.cuda.is_available():
            return torch.tensor(scores, device="cuda")
    return scores


def _cupy_has_a_device() -> bool:
    import cupy

    try:
        return cupy.cuda.runtime.getDeviceCount() > 0
    except cupy.cuda.runtime.CUDARuntimeError:
        return False
