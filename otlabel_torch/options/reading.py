"""A configuration from a file of YAML: every value must be of the type that its option is declared with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from ..system.errors import UsageError

C = TypeVar("C")
REMEDY = "Mend the file, or restore it from a copy"
UNREGISTERED = "Run it from the script that registers it (docs/extending.md), or restore it from a copy"
WRONG = object()  # stands for a value of another type
SAID = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    NoneType: "null",
}
LARGEST = 1e300  # that a number may be: neither infinite nor none at all


def read(kind: type[C], path: Path) -> C:
    """The dataclass ``kind`` with the values of a file; what is not named there has its default.

    Raises:
        UsageError: the file cannot be read, or holds anything else.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}. {REMEDY}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or a date that is none
        raise UsageError(f"{path} must be YAML, but it is not: {_one_line(error)}. {REMEDY}.") from None
    if not isinstance(values, dict):
        found = "is empty" if values is None else f"holds {_short(values)}"
        raise UsageError(f"{path} must be the configuration of a run, option: value, but it {found}. {REMEDY}.")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [name for name in values if name not in fields]
    if unknown:
        raise UsageError(
            f"{path} must be the configuration of a run, but it is something else: there is no option "
            f"{', '.join(map(str, unknown[:3]))}. {REMEDY}."
        )
    without = (field.name for field in fields.values() if field.default is dataclasses.MISSING)
    missing = [name for name in without if name not in values]
    if missing:
        raise UsageError(f"{path} must be the configuration of a run, but it lacks {', '.join(missing[:3])}. {REMEDY}.")
    hints = get_type_hints(kind, include_extras=True)
    typed = {name: of_type(value, hints[name]) for name, value in values.items()}
    for name, value in typed.items():
        if value is WRONG:
            remedy = UNREGISTERED if _is_of_a_registry(hints[name]) and isinstance(values[name], str) else REMEDY
            raise UsageError(f"{path}: {name} must be {said(hints[name])}, got {_short(values[name])}. {remedy}.")
    return kind(**typed)


def of_type(value: Any, hint: Any) -> Any:
    """A value of YAML as the type that an option is declared with, or WRONG."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Annotated:
        names = _choices(inner)
        return of_type(value, inner[0]) if names is None or value in names else WRONG
    if kind in (Union, UnionType):
        return next((found for one in inner if (found := of_type(value, one)) is not WRONG), WRONG)
    if kind is Literal:
        return value if isinstance(value, str) and value in inner else WRONG
    if kind is tuple:
        found = [of_type(item, inner[0]) for item in value] if isinstance(value, list) else [WRONG]
        return WRONG if WRONG in found else tuple(found)
    if hint is float:
        is_number = type(value) in (int, float) and -LARGEST < value < LARGEST
        return float(value) if is_number else WRONG
    if hint is Path:
        return Path(value) if isinstance(value, str) else WRONG
    return value if type(value) is hint else WRONG


def said(hint: Any) -> str:
    """A type in words."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Annotated:
        names = _choices(inner)
        return said(inner[0]) if names is None else f"one of {', '.join(names)}, or one that is registered first"
    if kind in (Union, UnionType):
        return " or ".join(map(said, inner))
    if kind is Literal:
        return f"one of {', '.join(inner)}"
    return f"a list, each {said(inner[0])}" if kind is tuple else SAID[hint]


def _choices(inner: tuple[Any, ...]) -> tuple[str, ...] | None:
    """Values that an annotation allows, as tyro's annotations do."""
    return next((note.choices for note in inner[1:] if getattr(note, "choices", None)), None)


def _is_of_a_registry(hint: Any) -> bool:
    return get_origin(hint) is Annotated and _choices(get_args(hint)) is not None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
