"""numba.njit with a cache on disk where some folder can be written, and nothing where numba is not installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def jit(signatures: Any = None, cache: bool = True, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """The decorator: compiled at once for the signatures, or when first called; releases the interpreter lock.

    What only other compiled functions call needs no cache: it is in theirs.
    """
    try:
        import numba
    except ImportError:  # the same algorithm, interpreted: correct, for small problems
        return lambda function: function

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(signatures, nogil=True, cache=cache, **options)(function)
        except RuntimeError:  # no cache folder: every process compiles anew
            return numba.njit(signatures, nogil=True, **options)(function)

    return decorate
