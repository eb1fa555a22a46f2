"""Which images a run has: the same for every command."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_digits

from otlabel_torch import predict
from otlabel_torch.images import folders
from otlabel_torch.images.of_run import images_of, others
from otlabel_torch.options.config import Config
from otlabel_torch.options.of_evaluate import EvaluateOptions
from otlabel_torch.runs import baselines
from otlabel_torch.runs.evaluated import evaluate
from otlabel_torch.runs.folder import RunFolder
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.runs.run import run
from otlabel_torch.system.errors import DataError

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of scans in two classes, one of them truncated."""
    root = tmp_path_factory.mktemp("images")
    for i, image in enumerate(load_digits().images[:80]):
        path = root / "ab"[i % 2] / f"{i:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8)).save(path)
    (root / "a" / "bad.png").write_bytes((root / "a" / "000.png").read_bytes()[:60])
    return root


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    rows, baselines.rows = baselines.rows, lambda *_: []
    try:
        run(
            Config(data="folder", root=root, epochs=1, k=10, heads=1, image_size=8, views=0, skip_bad_images=True,
                   imbalance="light", device="cpu", out=out),
            QUIET,
        )  # fmt: skip
    finally:
        baselines.rows = rows
    return out


OF = resolve(
    Config(data="folder", root=Path("/images"), imbalance="light", skip_bad_images=True, download=True), 100, 16
)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({}, ("folder", "/images", "light")),
        ({"data": "folder"}, ("folder", "/images", "light")),
        ({"root": "/images"}, ("folder", "/images", "light")),
        ({"root": "/other"}, ("folder", "/other", None)),
        ({"data": "cifar10"}, ("cifar10", None, None)),
        ({"data": "cifar10", "root": "/cifar"}, ("cifar10", "/cifar", None)),
        ({"data": "digits"}, ("digits", None, None)),
    ],
)
def test_the_runs_own_unless_others_are_named(typed, expected):
    root = typed.get("root")
    found = others(OF, typed.get("data"), None if root is None else Path(root))
    assert (found.data, found.root and str(found.root), found.imbalance) == expected
    assert (found.image_size, found.skip_bad_images, found.download) == (16, True, False)


@pytest.mark.parametrize(
    ("asked", "keep"),
    [({}, "memory"), ({"image_size": 16}, "memory"), ({"root": Path("/other")}, "auto"), ({"image_size": 32}, "auto")],
)
def test_only_images_as_large_as_the_runs_are_kept_as_they_were(asked, keep):
    """What had room once says nothing of other images."""
    assert others(dataclasses.replace(OF, keep="memory"), **asked).keep == keep


def test_other_images_that_have_no_room_in_memory_stay_in_files(trained, root, tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "one.png").write_bytes((root / "a" / "000.png").read_bytes())
    assert RunFolder(trained).configuration().keep == "memory"
    monkeypatch.setattr(folders, "free_memory", lambda: 0)
    predict.run(predict.Options(trained, tmp_path / "new", out=tmp_path / "new.csv", device="cpu"))
    assert len((tmp_path / "new.csv").read_text().splitlines()) == 2


def test_a_root_of_its_own_is_a_folder_whatever_the_run_was_of():
    cifar = dataclasses.replace(OF, data="cifar10", root=Path("/cifar"))
    assert others(cifar, None, Path("/new")).data == "folder"
    assert others(cifar, "cifar10", Path("/new")).root == Path("/new")
    assert others(cifar, None, None, 32).image_size == 32


def test_a_run_that_left_bad_images_out_is_predicted_and_evaluated_without_them(trained, tmp_path):
    predict.run(predict.Options(trained, out=tmp_path / "new.csv", device="cpu"))
    expected = (trained / "labels.csv").read_text().splitlines()
    found = (tmp_path / "new.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in found] == [line.split(",")[:2] for line in expected]
    assert len(found) == 1 + 40 + 20  # half of the last class is left out
    options = EvaluateOptions(trained, out=tmp_path / "x", layers=("features",), linear="none", device="cpu")
    report = evaluate(options, QUIET)
    assert report["images"] == 80
    assert "head 0" in report["labels"]


@pytest.mark.parametrize(
    "asked",
    [
        lambda run, out: predict.run(predict.Options(run, data="cifar10", out=out, device="cpu")),
        lambda run, out: evaluate(EvaluateOptions(run, data="cifar10", out=out, device="cpu"), QUIET),
    ],
)
def test_other_data_needs_its_own_root(trained, tmp_path, asked):
    with pytest.raises(DataError, match="`data` cifar10 needs `root` DIR: where torchvision keeps cifar10"):
        asked(trained, tmp_path / "new")


def test_images_of_a_configuration(root):
    config = Config(data="folder", root=root, image_size=8, skip_bad_images=True, imbalance="light", seed=3)
    train, test = images_of(config)
    whole, _ = images_of(dataclasses.replace(config, imbalance=None))
    assert test is None
    assert (len(train), len(whole)) == (60, 80)
    assert images_of(config)[0].paths == train.paths
    assert images_of(dataclasses.replace(config, seed=4))[0].paths != train.paths
    with pytest.raises(DataError, match=r"bad\.png cannot be read"):
        images_of(dataclasses.replace(config, skip_bad_images=False))
