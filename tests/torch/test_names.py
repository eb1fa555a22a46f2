"""The names of the package, and those of registries."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import tyro

import otlabel_torch
from otlabel_torch.labels.assigners.base import Assigner
from otlabel_torch.options.kinds import ASSIGNERS, LOSSES
from otlabel_torch.options.names import NameIn
from otlabel_torch.system.errors import UsageError
from otlabel_torch.system.registry import Registry
from otlabel_torch.training.losses.base import Loss


def test_every_public_name_is_there_and_known_to_type_checkers():
    for name in otlabel_torch.__all__:
        assert getattr(otlabel_torch, name).__name__ in (name, "register") or name == "Forward"
    tree = ast.parse(Path(otlabel_torch.__file__).read_text())
    declared = {alias.asname for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert declared - {None} == set(otlabel_torch.__all__)
    assert set(otlabel_torch.__all__) <= set(dir(otlabel_torch))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = otlabel_torch.nothing


@pytest.mark.parametrize(
    "code",
    ["import otlabel_torch, otlabel_torch.train", "from otlabel_torch import Config, register_assigner, register_loss"],
)
def test_what_help_needs_loads_no_torch(code):
    check = f"import sys\n{code}\nprint(*({{'torch', 'torchvision', 'sklearn', 'numba'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_both_packages_say_that_they_are_typed():
    for package in ("otlabel", "otlabel_torch"):
        assert (Path(otlabel_torch.__file__).parent.parent / package / "py.typed").exists()


def test_own_kinds_are_classes():
    assert all(issubclass(ASSIGNERS[name], Assigner) for name in ASSIGNERS.names)
    assert all(issubclass(LOSSES[name], Loss) for name in LOSSES.names)


def test_a_registry_takes_every_name_once_and_lists_what_it_has():
    registry = Registry("kind", {"own": "otlabel_torch.labels.assigners.base:Assigner"})
    spec = Annotated[str, NameIn(registry)]
    assert registry["own"] is Assigner

    @registry.register("mine")
    class Mine:
        pass

    assert registry["mine"] is Mine
    assert registry.names == ("own", "mine")
    assert tyro.cli(spec, args=["mine"]) == "mine"  # registered after the option was declared
    for name in ("own", "mine"):
        with pytest.raises(ValueError, match=f"`kind` {name} is registered already"):
            registry.register(name)(Mine)
    with pytest.raises(UsageError, match="`kind` must be one of own, mine, got other"):
        registry["other"]
