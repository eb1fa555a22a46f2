"""Backends: what one has to provide, which there are, and which one to take.

A new backend is one module here with a class ``Kernels``; nothing else in the library knows how a sweep is done.
Modules are imported on first use only, so that otlabel never imports a library the caller does not use.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np

from .._input.libraries import home_of

TINY = 1e-13  # a column sum below this is computed again, in the log domain
_HOST = ("numba", "numpy")  # in order of preference for arrays in host memory
REQUIRES = {"numba": "numba", "numpy": "numpy", "torch": "torch", "cupy": "cupy-cuda13x"}  # what pip installs for each


class Sweep(NamedTuple):
    """What one pass over the scores returns at g."""

    logsumexp: float  # sum_i a_i logsumexp_j(S_ij/epsilon + g_j)
    c: np.ndarray  # (k,) float64: column sums of the plan
    log_c: np.ndarray  # (k,) float64: their logarithms, finite for every label in use even where c underflows


class Shortlist(NamedTuple):
    """The labels of each row within a width of its best, in compressed rows."""

    best: np.ndarray  # (n,) float64: max_j(S_ij/epsilon + g_j)
    indptr: np.ndarray  # (n+1,) int64: row i has entries indptr[i]:indptr[i+1]
    label: np.ndarray  # (entries,) int32, ascending within a row
    value: np.ndarray  # (entries,) float64: S_ij/epsilon, without g


class Survey(Protocol):
    """A sweep at g that also listed, for each row, the labels within a width of its best."""

    swept: Sweep
    cost: float  # scores looked at, divided by n*k
    rough: bool  # whether entries that matter are summed in float32: good to 1e-4 or so

    @property
    def listing(self) -> float:
        """Scores still to be looked at before there are lists, divided by n*k."""

    @property
    def density(self) -> float:
        """Entries listed, divided by n*k."""

    @property
    def pairs(self) -> float:
        """Pairs of entries listed in the same row, divided by entries: what a Hessian costs beside a sweep.

        Infinite where there is none.
        """

    def sweep(self, g: np.ndarray) -> tuple[float, np.ndarray]:
        """logsumexp and c at a g near by, as if the plan had no other entries than those listed."""

    def narrowed(self, g: np.ndarray, width: float) -> Survey:
        """The same survey, with those entries only that lie within ``width`` nats of their row's best listed at g."""

    def hessian(self, g: np.ndarray) -> np.ndarray:
        """(k, k): sum_i a_i p_i p_i^T of the same plan, p_i its row i divided by a_i; lower triangle."""


class Kernels(Protocol):
    """Kernels bound to one matrix of scores. g is (k,) float64; g_j = -inf takes label j out of use."""

    in_host_memory: bool  # whether lists are made there
    blur: float  # nats: float64's own rounding of the largest S_ij/epsilon

    def __init__(self, scores: np.ndarray, scale: float, a: np.ndarray, largest: float):
        """scores (n, k) of any real dtype, none larger than ``largest``; scale = 1/epsilon; row weights a (n,)."""

    def rescaled(self, factor: float) -> Kernels:
        """Kernels of the same scores at epsilon/factor."""

    def seekable(self) -> Kernels:
        """Kernels of the same scores that are quick to give single rows."""

    def survey(self, g: np.ndarray, width: float, precise: bool) -> Survey:
        """One pass over the scores, bit-identical from run to run; lists what lies within ``width`` nats.

        precise: what is listed is summed in float64; a backend that does so anyway may disregard it.
        """

    def labels(self, g: np.ndarray) -> np.ndarray:
        """(n,) int64: the first j with the largest S_ij/epsilon + g_j."""

    def shortlist(self, g: np.ndarray, width: float) -> Shortlist:
        """The labels in use with S_ij/epsilon + g_j >= max_j - width (nats)."""

    def regrets(self, items: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        """(k,) the least (S_i,label - S_ij)/epsilon over the items for each j, and (k,) the item that has it."""

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """(r, k) float64: S_ij/epsilon of the given rows."""


def names() -> tuple[str, ...]:
    """The backends whose libraries are installed, best first for arrays in host memory."""
    return tuple(name for name in REQUIRES if importlib.util.find_spec(name))


def infer(scores: Any) -> str:
    """The backend for some scores: where they are."""
    library = home_of(scores).library
    return next(name for name in _HOST if name in names()) if library == "numpy" else library


def load(name: str) -> ModuleType:
    """The backend's module, imported now."""
    if name not in REQUIRES:
        raise ValueError(f"backend must be 'auto' or one of {', '.join(map(repr, REQUIRES))}, got {name!r}.")
    if name not in names():
        extra = f", or pip install 'otlabel[{name}]'" if name not in _HOST else ""
        raise ImportError(
            f"backend {name!r} needs {name}, which is not installed: pip install {REQUIRES[name]}{extra}."
        )
    return importlib.import_module(f"{__name__}.{name}")


def choose(name: str, scores: Any) -> str:
    """``name``, checked against where the scores are; "auto" is the backend for them."""
    best = infer(scores)
    if name == "auto":
        return best
    load(name)
    if best not in _HOST and name != best:
        raise ValueError(
            f"backend {name!r} cannot read scores of {best} on a device. Pass backend='auto', or copy them to the host."
        )
    return name
