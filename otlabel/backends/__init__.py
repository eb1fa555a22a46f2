"""Backends: what one has to provide (``protocol``), which there are and which one to take (``registry``).

A backend is one file: a class ``Kernels``, a class ``Library`` if it owns the arrays of a library, and a line like
those below, which may stand in another package. tests/backends/test_own_backend.py is an example from end to end.
"""

from .._arrays.libraries import Library, Place
from .._arrays.score_source import ScoreSource
from .protocol import TINY, Counted, Dense, Kernels, Shortlist, Survey, Sweep
from .registry import (
    Backend,
    choose,
    infer,
    library_of,
    load,
    names,
    place_of,
    register,
    registered,
    unregister,
)

__all__ = [
    "TINY",
    "Backend",
    "Counted",
    "Dense",
    "Kernels",
    "Library",
    "Place",
    "ScoreSource",
    "Shortlist",
    "Survey",
    "Sweep",
    "choose",
    "infer",
    "library_of",
    "load",
    "names",
    "place_of",
    "register",
    "registered",
    "unregister",
]

register(Backend("numba", f"{__name__}.numba", "numba", requires="numba", for_host=True))
register(Backend("numpy", f"{__name__}.numpy", "numpy", requires="numpy", for_host=True))
register(Backend("torch", f"{__name__}.torch", "torch", requires="torch", library="torch"))
register(Backend("cupy", f"{__name__}.cupy", "cupy-cuda13x", requires="cupy", library="cupy"))
