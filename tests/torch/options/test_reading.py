"""Values of a file, by the types that options are declared with."""

from __future__ import annotations

import pytest

from otlabel_torch.options.config import PRESETS, Config
from otlabel_torch.system.errors import UsageError


def read(tmp_path, text):
    (tmp_path / "file.yaml").write_text(text)
    return Config.read(tmp_path / "file.yaml")


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_is_sound(path):
    assert Config.read(path) != Config() or path.stem == "digits"


@pytest.mark.parametrize("option", ["assigner", "loss"])
def test_a_name_that_is_not_registered_says_where_it_is(tmp_path, option):
    with pytest.raises(UsageError, match=r"Run it from the script that registers it \(docs/extending\.md\)"):
        read(tmp_path, f"{option}: magic")


def test_numbers_paths_and_lists_have_their_types(tmp_path):
    config = read(tmp_path, "lr: 1\nroot: a/b\nlr_drops: [1, 0.5]\nk: null\nassigner: kmeans\n")
    assert (config.lr, type(config.lr)) == (1.0, float)
    assert config.root.parts == ("a", "b")
    assert config.lr_drops == (1.0, 0.5)
    assert (config.k, config.assigner) == (None, "kmeans")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k: many", "k must be a whole number or null, got 'many'"),
        ("k: 2.0", "k must be a whole number or null, got 2.0"),
        ("lr: fast", "lr must be a number, got 'fast'"),
        ("lr: .inf", "lr must be a number, got inf"),
        (f"lr: 1{400 * '0'}", "lr must be a number, got 1000"),
        ("hidden: 1", "hidden must be true or false, got 1"),
        ("root: [1]", r"root must be a path or null, got \[1\]"),
        ("arch: 18", "arch must be a text, got 18"),
        ("lr_drops: [a]", "lr_drops must be a list, each a number, got"),
        ("rounding: up", "rounding must be one of balanced, argmax, got 'up'"),
        ("assigner: magic", "assigner must be one of sinkhorn, clusters, .* got 'magic'"),
        ("1: 2", "there is no option 1"),
        ("", "must be the configuration of a run, option: value, but it is empty"),
        ("[k]", r"but it holds \['k'\]"),
        ("k: [", "must be YAML, but it is not"),
    ],
)
def test_other_values_are_named(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as raised:
        read(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path / 'file.yaml'}")
    assert "restore it" in str(raised.value)
    assert "\n" not in str(raised.value)
