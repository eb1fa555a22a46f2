"""The labels of one network, learned by another."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys

import numpy as np
import pytest
import yaml
from commands import called

from otlabel_torch import retrain
from otlabel_torch.options.command import Typed
from otlabel_torch.options.config import Config
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.training import checkpoint


def call(command, *options):
    return called(f"otlabel_torch.{command}", *options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    done = call("train", "--epochs", 2, "--k", 9, "--heads", 2, "--image-size", 8, "--imbalance", "light", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_label_transfer_is_one_command(run, tmp_path):
    out = tmp_path / "new"
    network = "timm/test_resnet"  # small
    done = call("retrain", "--labels", run / "labels.csv", "--arch", network, "--epochs", 1, "--rotation", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "2 heads of 9 labels" in done.stdout
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert (config["assigner"], config["image_size"], config["imbalance"], config["lr_drops"]) == (
        "file", 8, "light", [30, 60, 80],
    )  # fmt: skip
    assert (config["k"], config["heads"], config["relabels"]) == (9, 2, 1)
    old, new = (checkpoint.load(path / "checkpoints" / "last.pt") for path in (run, out))
    np.testing.assert_array_equal(new["labels"], old["labels"])
    assert new["heads"]["rotation"]["weight"].shape[0] == 4
    assert json.loads((out / "report.json").read_text())["rows"][-1]["name"] == "labels by file"
    again = call("retrain", "--out", out, "--resume")
    assert again.returncode == 0, again.stderr
    predicted = call("predict", out, "--part", "train")
    assert predicted.returncode == 0, predicted.stderr
    with (out / "predicted.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(old["labels"])  # its own images, which imbalance leaves


def test_another_network_or_size_is_trained_at_a_size_of_its_own(tmp_path):
    resolve(Config(data="folder", root=tmp_path, augment="small"), 1000, 32).save(tmp_path / "config.yaml")
    asked = dataclasses.replace(retrain.RECIPE, labels=tmp_path / "labels.csv")
    assert retrain.beside_its_run(Typed(asked, frozenset())).train_size == 24
    for other in ({"arch": "alexnet", "image_size": 224}, {"arch": "resnet18"}, {"image_size": 64}):
        typed = Typed(dataclasses.replace(asked, **other), frozenset(other))
        assert retrain.beside_its_run(typed).train_size is None


@pytest.mark.parametrize(
    ("words", "imbalance"),
    [([], "light"), (["--root", "{root}"], "light"), (["--root", "{root}/other"], None), (["--data", "digits"], None),
     (["--data", "digits", "--imbalance", "heavy"], "heavy")],
)  # fmt: skip
def test_the_runs_imbalance_is_for_its_own_images(words, imbalance, tmp_path, monkeypatch, capsys):
    resolve(Config(data="folder", root=tmp_path, imbalance="light"), 1000, 32).save(tmp_path / "config.yaml")
    labels = ["--labels", str(tmp_path / "labels.csv"), "--print-config"]
    monkeypatch.setattr(sys, "argv", ["retrain", *labels, *(word.format(root=tmp_path) for word in words)])
    retrain.main()
    assert yaml.safe_load(capsys.readouterr().out)["imbalance"] == imbalance


def test_other_data_needs_its_own_root(tmp_path):
    """Where the run's images lie there are no others."""
    resolve(Config(data="folder", root=tmp_path), 1000, 32).save(tmp_path / "config.yaml")
    asked = dataclasses.replace(retrain.RECIPE, labels=tmp_path / "labels.csv", data="cifar10")
    assert retrain.beside_its_run(Typed(asked, frozenset({"labels"}))).root == tmp_path
    assert retrain.beside_its_run(Typed(asked, frozenset({"labels", "data"}))).root is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "cifar10"], "--preset cifar10 is for training with labels of its own"),
        ([], "--assigner file needs --labels FILE"),
        (["--labels", "{run}/labels.csv", "--k", "4"], "has 2 heads and labels below 9"),
        (["--labels", "{run}/nothing.csv"], "cannot be read as a table"),
        (["--labels", "{run}/labels.csv", "--imbalance", "heavy", "--relabels", "2"], "--relabels must be 1, got 2"),
        (["--labels", "{run}/labels.csv", "--assigner", "sinkhorn"], "--assigner sinkhorn takes no --labels"),
    ],
)
def test_bad_options_say_what_to_do(run, options, message, tmp_path, monkeypatch):
    words = ["retrain", "--out", str(tmp_path / "new"), *(option.format(run=run) for option in options)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        retrain.main()
    assert str(ended.value).startswith("error: ")
    assert message in str(ended.value)
    assert not (tmp_path / "new").exists()


def test_help_reads_well():
    text = call("retrain", "--help").stdout
    assert "Train a network from random weights on the labels of a table" in text
    assert "--rotation" in text
