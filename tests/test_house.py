"""The rooms of the house: imports point downwards, go nowhere in circles, and stay within the package."""

from __future__ import annotations

import ast
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import pytest

import otlabel

ROOT = Path(otlabel.__file__).parents[1]
PACKAGES = ("otlabel", "otlabel_torch")
# From the top: a module imports from its own room, or from those below it.
ROOMS = (
    "cli", "bench", "cluster", "explore", "", "_versions", "_assign", "_memory", "_result", "_predictor", "_progress",
    "_showing", "_parallel", "_rounding", "_solver", "_input", "backends", "_arrays", "_system",
)  # fmt: skip  # "" is the package's own file
FORBIDDEN = {  # who imports nothing of what
    "otlabel": ("otlabel_torch*",),
    "otlabel._arrays.libraries": ("otlabel", "otlabel.*"),
}
COMMANDS = ("train", "predict", "evaluate", "retrain", "embed", "explore")
TRAINER = ("commands", "runs", "training", "evaluation", "labels", "network", "images", "options", "system", "comm")
CALLERS_OF_ASSIGN = ("otlabel_torch.labels.transport",)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


@cache
def imports_of(module: str) -> frozenset[str]:
    """The modules of the house that a module's file imports, in functions and for type checking too.

    ``from .room import name`` is of the module room.name if there is one, or else of room. The packages that Python
    runs on the way there are not counted: a package may import its own modules.
    """
    path = MODULES[module]
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                found.add(f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base)
    return frozenset(name for name in found if name in MODULES) - {module}


def is_in(module: str, room: str) -> bool:
    """Whether a module is the room's file or in it."""
    return module == room or module.startswith(f"{room}.")


def circles() -> list[list[str]]:
    """The groups of modules that import each other in circles (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in sorted(imports_of(module)):
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in MODULES:
        if module not in order:
            visit(module)
    return found


def test_no_modules_import_each_other_in_circles():
    assert circles() == []


def test_rooms_of_the_library_are_in_order():
    """No two rooms import each other, by different files neither."""

    def floor(module: str) -> int:
        return ROOMS.index(module.partition(".")[2].partition(".")[0])

    wrong = [
        f"{module} imports {other}"
        for module in MODULES
        if is_in(module, "otlabel")
        for other in sorted(imports_of(module))
        if is_in(other, "otlabel") and floor(other) < floor(module)
    ]
    assert wrong == []


@pytest.mark.parametrize("room", FORBIDDEN, ids=str)
def test_imports_point_downwards(room):
    wrong = [
        f"{module} imports {other}"
        for module in MODULES
        if is_in(module, room)
        for other in sorted(imports_of(module))
        if not is_in(other, room) and any(fnmatchcase(other, pattern) for pattern in FORBIDDEN[room])
    ]
    assert wrong == []
    assert any(is_in(module, room) for module in MODULES)  # or the rule is of a room that is no more


def floor(module: str) -> int:
    """The place of a module's room in TRAINER; above them all, the package itself, whose names lead everywhere."""
    room = module.split(".")[1:2]
    return TRAINER.index("commands" if room[0] in COMMANDS else room[0]) if room else -1


def test_rooms_of_the_trainer_are_in_order():
    """A module imports from its own room and from those further down."""
    modules = [module for module in MODULES if module.startswith("otlabel_torch.")]
    wrong = [
        f"{module} imports {other}"
        for module in modules
        for other in sorted(imports_of(module))
        if is_in(other, "otlabel_torch") and floor(other) < floor(module)
    ]
    assert wrong == [], "\n".join(wrong)
    assert {floor(module) for module in modules} == {*range(len(TRAINER))}  # or a room of the order is no more


def test_one_module_of_the_trainer_calls_the_library():
    """Beside the adapter of the solves, it only uses what lies on the ground floor, and the pages to look at."""
    wrong = [
        f"{module} imports {other}"
        for module in MODULES
        if is_in(module, "otlabel_torch") and module not in CALLERS_OF_ASSIGN
        for other in sorted(imports_of(module))
        if is_in(other, "otlabel") and not any(is_in(other, f"otlabel.{room}") for room in ("_system", "explore"))
    ]
    assert wrong == []


def test_the_walk_sees_every_kind_of_import(tmp_path, monkeypatch):
    """A circle in functions, under TYPE_CHECKING, or through a package's own file is one."""
    for name, text in {
        "room.a": "def f():\n    from . import b",
        "room.b": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .c import C",
        "room.c": "import room.a",
        "room.d": "from .a import f\nimport numpy",
        "room": "from .d import f",
    }.items():
        path = tmp_path / ("room/__init__.py" if name == "room" else f"{name.replace('.', '/')}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        monkeypatch.setitem(MODULES, name, path)
    imports_of.cache_clear()
    try:
        assert ["room.a", "room.b", "room.c"] in circles()
        assert imports_of("room.d") == {"room.a"}
        assert imports_of("room") == {"room.d"}
    finally:
        imports_of.cache_clear()
