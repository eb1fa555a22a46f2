"""Runs in this process, each with an option that changes what is made."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from otlabel_torch.images.images import Source, load
from otlabel_torch.images.imbalance import imbalanced
from otlabel_torch.labels.given import read_labels
from otlabel_torch.network.models import Network
from otlabel_torch.options.config import Config
from otlabel_torch.runs import baselines
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.runs.run import run
from otlabel_torch.system.errors import DataError, UsageError
from otlabel_torch.system.processes import Processes
from otlabel_torch.training import checkpoint, loop
from otlabel_torch.training.state import start


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Without the closing table, which these tests do not look at."""
    monkeypatch.setattr(baselines, "rows", lambda *_: [])


def ran(out, **options):
    run(
        Config(**{"epochs": 2, "heads": 2, "k": 12, "image_size": 8, "device": "cpu", "out": out} | options),
        Console(quiet=True),
    )
    return checkpoint.load(out / "checkpoints" / "last.pt")


def sizes(labels):
    return [np.bincount(column, minlength=12) for column in labels.T]


@pytest.mark.parametrize(("shown", "trained"), [(8, 8), (16, 16), (28, 24), (32, 24), (64, 48), (96, 72), (224, 168)])
def test_small_images_are_trained_on_at_three_quarters(shown, trained):
    assert resolve(Config(data="folder", augment="small"), 1000, shown).train_size == trained
    for kept in ({"augment": "cifar"}, {"augment": "small", "arch": "alexnet"}, {"data": "digits"}):
        assert resolve(Config(**({"data": "folder"} | kept)), 1000, shown).train_size == shown


def test_the_network_is_trained_at_one_size_and_labelled_at_another(tmp_path, monkeypatch):
    seen = {True: set(), False: set()}
    features = Network.features

    def watched(self, images):
        seen[self.training].add(images.shape[-1])
        return features(self, images)

    monkeypatch.setattr(Network, "features", watched)
    ran(tmp_path / "run", image_size=16, train_size=8)
    assert seen == {True: {8}, False: {16}}


def test_views_for_labels_at_the_size_of_training(tmp_path, monkeypatch):
    seen = set()
    features = Network.features
    monkeypatch.setattr(Network, "features", lambda self, images: seen.add(images.shape[-1]) or features(self, images))
    monkeypatch.setattr(loop, "settle", lambda *given: None)  # which shows plain images in the end
    ran(tmp_path / "run", image_size=16, train_size=8, small_views=True)
    assert seen == {8}
    with pytest.raises(UsageError, match="`small_views` needs `views` of 1 or more, got 0"):
        ran(tmp_path / "other", views=0, small_views=True)


@pytest.mark.parametrize("nesterov", [False, True])
def test_nesterovs_momentum_is_the_optimisers(nesterov, tmp_path):
    kept = ran(tmp_path / "run", nesterov=nesterov)["optimiser"]
    assert [group["nesterov"] for group in kept["param_groups"]] == [nesterov]


@pytest.mark.parametrize(
    ("arch", "size"), [("alexnet", 96), ("convnet", 4), ("timm/vit_tiny_patch16_224", 64), ("convnet", 0)]
)
def test_a_network_that_does_not_take_the_smaller_images_is_named(arch, size, tmp_path):
    with pytest.raises(UsageError, match=f"`train_size`.* {size}" if size == 0 else f"`train_size` {size}: {arch}"):
        ran(tmp_path / "run", arch=arch, image_size=128, train_size=size)
    assert not (tmp_path / "run").exists()


def test_prior_of_zipf(tmp_path):
    """Every size is the floor or the ceiling of its share."""
    expected = 1797 / np.arange(1, 13) / (1 / np.arange(1, 13)).sum()
    for found in sizes(ran(tmp_path / "run", prior="zipf")["labels"]):
        assert (np.abs(found - expected) < 1).all()


def test_prior_of_a_file_a_column_a_head(tmp_path):
    counts = np.stack([np.arange(12), np.arange(12)[::-1]], axis=1) * 27.0
    np.savetxt(tmp_path / "prior.csv", counts, delimiter=",")
    saved = ran(tmp_path / "run", prior=str(tmp_path / "prior.csv"))
    for found, wanted in zip(sizes(saved["labels"]), counts.T, strict=True):
        assert (np.abs(found - 1797 * wanted / wanted.sum()) < 1).all()
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["prior"] == str(tmp_path / "prior.csv")


def test_imbalance_is_the_papers(tmp_path):
    images, _ = load(Source("digits", image_size=8))
    full = np.bincount(images.classes)
    light = np.bincount(imbalanced(images, "light", 0).classes)
    np.testing.assert_array_equal(light[:9], full[:9])
    assert light[9] == round(full[9] / 2)
    heavy = imbalanced(images, "heavy", 0)
    np.testing.assert_array_equal(np.bincount(heavy.classes), np.round(full * (1 - np.arange(10) / 10)))
    assert heavy.paths == sorted(heavy.paths)
    places = [images.paths.index(path) for path in heavy.paths]
    assert torch.equal(heavy.pixels, images.pixels[places])
    assert torch.equal(heavy.classes, images.classes[places])
    assert imbalanced(images, "heavy", 1).paths != heavy.paths
    np.savetxt(tmp_path / "keep.txt", [0, 1] * 5)
    assert set(imbalanced(images, str(tmp_path / "keep.txt"), 0).classes.tolist()) == {1, 3, 5, 7, 9}
    np.savetxt(tmp_path / "keep.txt", [0, 2] * 5)
    with pytest.raises(DataError, match="must hold 10 numbers between 0 and 1"):
        imbalanced(images, str(tmp_path / "keep.txt"), 0)
    with pytest.raises(DataError, match="must be light, heavy or a file"):
        imbalanced(images, "heavier", 0)


def test_tables_scalars_and_parts_of_a_batch(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    saved = ran(out, table="parquet", tensorboard=True, accumulate=4, imbalance="light")
    images, _ = load(Source("digits", image_size=8))
    kept = imbalanced(images, "light", 0)
    assert torch.equal(read_labels(out / "labels.parquet", kept).labels, saved["labels"])
    assert not (out / "labels.csv").exists()
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [event.value for event in events.Scalars("SeLa/loss")]
    np.testing.assert_allclose(losses, [record["loss"] for record in records[:2]], rtol=1e-5)
    assert [event.step for event in events.Scalars("SeLa/nmi_classes")] == [1, 3]  # the first and the final labels
    run(
        Config(out=out, overwrite=True, epochs=1, k=12, heads=1, image_size=8), Console(quiet=True)
    )  # all of it is ours


def test_a_run_may_label_in_training_mode(tmp_path):
    assert ran(tmp_path / "run", label_mode="train")["labels"] is not None


def test_a_run_of_files_on_call_equals_one_in_memory(tmp_path):
    """At the size of the files, so that both see the same pixels; and whatever the number of threads."""
    from PIL import Image
    from sklearn.datasets import load_digits

    root = tmp_path / "images"
    for i, image in enumerate(load_digits().images[:160]):
        path = root / str(i % 2) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8)).resize((16, 16)).save(path)
    from otlabel_torch.images import folders

    folders_margin, folders.MARGIN = folders.MARGIN, 1
    try:
        found = [
            ran(tmp_path / f"{keep}{workers}", data="folder", root=root, keep=keep, workers=workers, image_size=16)
            for keep, workers in (("memory", 2), ("files", 1), ("files", 3))
        ]
    finally:
        folders.MARGIN = folders_margin
    for other in found[1:]:
        assert torch.equal(found[0]["labels"], other["labels"])
        assert all(torch.equal(value, other["model"][name]) for name, value in found[0]["model"].items())


def test_the_estimate_changes_nothing(tmp_path, monkeypatch):
    from otlabel_torch.runs import estimate

    one = ran(tmp_path / "one")
    monkeypatch.setattr(estimate, "estimate", lambda *_: estimate.Estimate(1, 1, 1))
    other = ran(tmp_path / "other")
    assert all(torch.equal(value, other["model"][name]) for name, value in one["model"].items())
    assert torch.equal(one["labels"], other["labels"])


@pytest.mark.parametrize(
    ("steps", "calls", "mean"), [([9.0, 5.0], 2, 5.0), ([9.0] + [0.5] * 6, 5, 0.5), ([0.01] * 7, 7, 0.01)]
)
def test_the_estimate_repeats_what_is_short_and_leaves_the_first_out(steps, calls, mean, monkeypatch):
    """On a clock that what is timed turns on: the first warms up, and a busy machine has slow moments."""
    from otlabel_torch.runs import estimate

    now, took = [0.0], iter(steps)
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: now[0])

    def action():
        now[0] += next(took)

    assert estimate._timed(action)[0] == pytest.approx(mean)
    assert len(steps) - len(list(took)) == calls


def test_the_time_left_is_what_the_last_epochs_and_labellings_took():
    from types import SimpleNamespace as State

    from otlabel_torch.runs.estimate import duration, time_left

    config = resolve(Config(epochs=20, relabels=6), 1797, 8)  # before epochs 1, 5, 9, 13, 17 and at the end
    slow_start = [{"train_seconds": 900.0, "label_seconds": 900.0}]
    steady = [{"train_seconds": 10.0} | ({"label_seconds": 7.0} if epoch % 4 == 0 else {}) for epoch in range(1, 12)]
    assert time_left(config, State(epoch=1, labels_epoch=0, records=slow_start)) == 19 * 900 + 5 * 900
    assert time_left(config, State(epoch=12, labels_epoch=8, records=slow_start + steady)) == 8 * 10 + 3 * 7
    rare = [{"train_seconds": 10.0, "label_seconds": 7.0}, *[{"train_seconds": 10.0}] * 19]
    assert time_left(config, State(epoch=20, labels_epoch=16, records=rare)) == 7
    assert time_left(config, State(epoch=20, labels_epoch=20, records=steady)) == 0
    shown = {5.4: "5 s", 99: "99 s", 100: "2 min", 5000: "83 min", 6300: "1.8 h", 40000: "11 h", 400000: "5 days"}
    assert {seconds: duration(seconds) for seconds in shown} == shown


def test_the_estimate_of_the_disk_is_enough(tmp_path):
    from otlabel_torch.runs import estimate

    images, _ = load(Source("digits", image_size=8))
    alone = Processes(torch.device("cpu"))
    config = resolve(Config(k=12, heads=2, epochs=2, image_size=8, out=tmp_path / "run"), 1797, 8)
    found = estimate.estimate(config, start(config, images, alone), images, alone)
    ran(tmp_path / "run")
    used = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.suffix != ".png")
    assert used < found.disk < 4 * used
    assert found.seconds > 0


def test_labels_without_a_share_are_never_predicted(tmp_path):
    from otlabel_torch import predict

    (tmp_path / "prior.txt").write_text("0\n" + "1\n" * 11)
    saved = ran(tmp_path / "run", prior=str(tmp_path / "prior.txt"), relabels=1)
    assert (saved["labels"] > 0).all()
    predict.run(predict.Options(tmp_path / "run", out=tmp_path / "new.csv"))
    with (tmp_path / "new.csv").open() as file:
        assert all(int(row["head_0"]) > 0 for row in csv.DictReader(file))


def test_the_output_folder_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    ran(tmp_path / "link", epochs=1)
    assert (tmp_path / "real" / "labels.csv").exists()
