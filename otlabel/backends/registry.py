"""Which backends there are, which library's arrays each owns, and which one to take for some scores.

A backend is one module and one line of ``register``, here or in anyone's program: the module has a class ``Kernels``
(``protocol.Kernels``) and, if the backend owns the arrays of a library, a class ``Library``. Modules are imported on
first use only, and one that owns arrays is only asked where the program has imported their library: otlabel never
imports what the caller does not use.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from typing import Any

from .._arrays.array_api import library_of_standard
from .._arrays.libraries import HOST, Library, Place
from .._arrays.score_source import ScoreSource


@dataclass(frozen=True)
class Backend:
    """What is known of a backend before it is imported."""

    name: str
    module: Any  # what has ``Kernels`` and ``Library``: the absolute name of a module, or the namespace itself
    install: str = ""  # what pip installs where ``requires`` is missing
    requires: str | None = None  # the import that must be found for it to be installed
    library: str | None = None  # the import whose arrays are used where they are: the module has ``Library``
    for_host: bool = False  # whether "auto" takes it for arrays in host memory; of several, the first registered


_backends: dict[str, Backend] = {}
_libraries: dict[str, Library] = {}  # those that were met, by the backends' names


def register(backend: Backend) -> None:
    """Make a backend known, under a name of its own.

    Raises:
        ValueError: the name is taken.
    """
    if backend.name in ("auto", *_backends):
        raise ValueError(f"a backend must have a name of its own, but {backend.name!r} is taken. Choose another.")
    _backends[backend.name] = backend


def unregister(name: str) -> None:
    """Forget a backend."""
    del _backends[name]
    _libraries.pop(name, None)


def registered() -> tuple[Backend, ...]:
    """All backends that are known, installed or not, in the order of their registration."""
    return tuple(_backends.values())


def names() -> tuple[str, ...]:
    """The backends that are installed, best first for arrays in host memory."""
    return tuple(backend.name for backend in registered() if _is_installed(backend))


def load(name: str) -> Any:
    """The backend's module, imported now; it has ``Kernels``.

    Raises:
        ValueError: no backend has this name.
        ImportError: it is not installed.
    """
    if name not in _backends:
        raise ValueError(f"backend must be 'auto' or one of {', '.join(map(repr, _backends))}, got {name!r}.")
    backend = _backends[name]
    if not _is_installed(backend):
        extra = f", or pip install 'otlabel[{name}]'" if backend.library else ""
        raise ImportError(
            f"backend {name!r} needs {backend.requires}, which is not installed: pip install {backend.install}{extra}."
        )
    return importlib.import_module(backend.module) if isinstance(backend.module, str) else backend.module


def infer(source: ScoreSource) -> str:
    """The backend for some scores: where they are."""
    if source.place != HOST:
        return source.place.library.name
    return next(backend.name for backend in registered() if backend.for_host and _is_installed(backend))


def choose(name: str, source: ScoreSource) -> str:
    """``name``, checked against where the scores are; "auto" is the backend for them.

    Raises:
        ValueError: no backend has this name, or it cannot read scores there.
        ImportError: it is not installed.
    """
    if name == "auto":
        return infer(source)
    load(name)
    if source.place != HOST and name != (best := infer(source)):
        raise ValueError(
            f"backend {name!r} cannot read scores of {best} on a device. Pass backend='auto', or copy them to the host."
        )
    return name


def library_of(value: Any) -> Library:
    """The library that an array is of: a backend's, or one that keeps to the array API standard, or else NumPy's."""
    for backend in registered():
        if backend.library is not None and sys.modules.get(backend.library) is not None and _is_installed(backend):
            library = _library(backend)
            if library.owns(value):
                return library
    return library_of_standard(value)


def place_of(value: Any) -> Place:
    """Where an array is, or where the rows of a source are; what is neither is on the host."""
    place = getattr(value, "place", None)
    if isinstance(place, Place):
        return place
    library = library_of(value)
    return Place(library, library.device(value))


def _library(backend: Backend) -> Library:
    if backend.name not in _libraries:
        library = load(backend.name).Library()
        if library.name != backend.name:
            raise ValueError(
                f"a Library must be named like its backend, {backend.name!r}, got {library.name!r}. Rename one of them."
            )
        _libraries[backend.name] = library
    return _libraries[backend.name]


def _is_installed(backend: Backend) -> bool:
    return backend.requires is None or importlib.util.find_spec(backend.requires) is not None
