"""Kinds of one thing by name: those of this package, one line each, and those that a program adds."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import UsageError

Kind = TypeVar("Kind", bound=type)


class Registry:
    """Classes by the name that options call them by. A class of this package is imported when it is asked for.

    Args:
        option: that names one of them.
        own: "module:Class" of each.
    """

    def __init__(self, option: str, own: dict[str, str]):
        self._option, self._own = option, own
        self._added: dict[str, type] = {}

    def register(self, name: str) -> Callable[[Kind], Kind]:
        """A decorator that adds a class under a name that is free.

        Raises:
            ValueError: it is not.
        """

        def add(kind: Kind) -> Kind:
            if name in self:
                raise ValueError(f"`{self._option}` {name} is registered already. Choose another name.")
            self._added[name] = kind
            return kind

        return add

    @property
    def names(self) -> tuple[str, ...]:
        """In the order they were registered."""
        return (*self._own, *self._added)

    def __contains__(self, name: str) -> bool:
        return name in self._own or name in self._added

    def __getitem__(self, name: str) -> Any:
        """The class.

        Raises:
            UsageError: there is none of that name.
        """
        if name in self._added:
            return self._added[name]
        if name not in self._own:
            raise UsageError(
                f"`{self._option}` must be one of {', '.join(self.names)}, got {name}. One of your own must be "
                "registered first (docs/extending.md)."
            )
        module, kind = self._own[name].split(":")
        return getattr(importlib.import_module(module), kind)
