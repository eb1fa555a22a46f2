"""Features of images as tables: of a run and of weights, whole files and shards, and clusters of them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import torchvision
from commands import called
from PIL import Image
from pyarrow import csv
from sklearn.datasets import load_digits

from otlabel.cli.vectors import read
from otlabel_torch.embed import main
from otlabel_torch.images.of_run import images_of
from otlabel_torch.network.collect import collect
from otlabel_torch.options.of_embed import EmbedOptions
from otlabel_torch.runs import embedded
from otlabel_torch.runs.embedded import embed
from otlabel_torch.runs.folder import RunFolder
from otlabel_torch.system.errors import UsageError
from otlabel_torch.system.processes import Processes


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Scans in train/ and val/, a folder a class."""
    root = tmp_path_factory.mktemp("images")
    digits = load_digits()
    for i in range(90):
        folder = root / ("val" if i % 3 == 0 else "train") / f"digit {digits.target[i] % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        scan = np.rint(digits.images[i] * (255 / 16)).astype(np.uint8)
        Image.fromarray(scan).resize((64, 64)).save(folder / f"{i:03d}.png")
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pt"
    torch.save(torchvision.models.resnet18(num_classes=3).state_dict(), path)
    return path


def options(weights, images, out, **more):
    return EmbedOptions(str(weights), root=images, arch="resnet18", out=out, device="cpu", **more)


def vectors(path):
    """(n, width) and the other columns of a table."""
    found = read(path)
    return np.asarray(found.matrix), found.carried.to_pydict()


def test_features_of_weights_are_torchvision_s(weights, images, tmp_path):
    out = tmp_path / "e.parquet"
    embed(options(weights, images, out))
    found, columns = vectors(out)
    assert found.shape == (90, 512)
    assert columns["part"] == ["train"] * 60 + ["val"] * 30
    assert set(columns["class"]) == {"digit 0", "digit 1"}
    net = torchvision.models.resnet18(num_classes=3)
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.fc = torch.nn.Identity()
    normalise = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for i in (0, 59, 60):
        scan = Image.open(images / columns["part"][i] / columns["path"][i].removeprefix(f"{columns['part'][i]}/"))
        pixels = torch.from_numpy(np.array(scan.convert("RGB")).transpose(2, 0, 1) / 255).float()
        with torch.no_grad():
            truth = net.eval()(normalise(pixels)[None])[0].numpy()
        np.testing.assert_allclose(found[i], truth, rtol=1e-3, atol=1e-4)


def test_a_file_and_shards_are_the_same_and_shards_go_on(weights, images, tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "SHARD", 25)
    for part, rows in (("train", 60), ("val", 30)):
        embed(options(weights, images, tmp_path / f"{part}.npy", part=part))
        assert np.load(tmp_path / f"{part}.npy").shape == (rows, 512)
    shards = tmp_path / "shards"
    embed(options(weights, images, shards))
    assert sorted(file.name for file in shards.iterdir()) == [f"part-{i:05d}.parquet" for i in range(5)]
    found, _ = vectors(shards)
    np.testing.assert_allclose(found[:60], np.load(tmp_path / "train.npy"), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[60:], np.load(tmp_path / "val.npy"), rtol=1e-4, atol=1e-5)
    gone, kept = shards / "part-00002.parquet", shards / "part-00001.parquet"
    gone.unlink()
    written = kept.stat().st_mtime_ns
    with pytest.raises(UsageError, match="is there already"):
        embed(options(weights, images, shards))
    embed(options(weights, images, shards, resume=True))
    assert kept.stat().st_mtime_ns == written
    np.testing.assert_array_equal(vectors(shards)[0], found)
    with pytest.raises(UsageError, match="is of other images or another network"):
        embed(options(weights, images, shards, resume=True, part="train"))
    kept.write_bytes(b"half a file")
    embed(options(weights, images, shards, resume=True))  # makes it anew
    np.testing.assert_array_equal(vectors(shards)[0], found)
    embed(options(weights, images, shards, overwrite=True, part="train"))
    assert len(vectors(shards)[0]) == 60  # no shard of before is left


def test_features_of_a_run_become_balanced_clusters(images, tmp_path):
    run = tmp_path / "run"
    small = "--image-size", 8, "--epochs", 1, "--k", 4
    trained = called("otlabel_torch.train", "--data", "folder", "--root", images, *small, "--out", run)
    assert trained.returncode == 0, trained.stderr
    out = tmp_path / "e.parquet"
    done = called("otlabel_torch.embed", run, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "90 images" in done.stdout
    found, _ = vectors(out)
    own = RunFolder(run).open(torch.device("cpu"))
    truth = collect(own.network, images_of(own.config)[0], Processes(torch.device("cpu")))
    np.testing.assert_allclose(found[:60], truth.numpy(), rtol=1e-4, atol=1e-5)
    done = called("otlabel.cli", "cluster", out, "--k", 9, "--seed", 0, "--out", tmp_path / "labels.csv")
    assert done.returncode == 0, done.stderr
    table = csv.read_csv(tmp_path / "labels.csv")
    assert table.column_names == ["path", "part", "class", "label", "confidence", "distance"]
    assert set(np.bincount(table["label"])) == {10}


def test_two_processes_write_the_shards_of_one(weights, images, tmp_path):
    out = tmp_path / "shards"
    words = [weights, "--root", images, "--arch", "resnet18", "--device", "cpu", "--out", out]
    done = called("torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m", "otlabel_torch.embed", *words)
    assert done.returncode == 0, done.stderr
    embed(options(weights, images, tmp_path / "e.parquet"))
    np.testing.assert_allclose(vectors(out)[0], vectors(tmp_path / "e.parquet")[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(out="e.csv"), "`out` must be a folder, or end in .parquet or .npy"),
        (dict(resume=True), "`out` must be a folder, of shards, for several processes and for `resume`"),
        (dict(arch=None), "must be a file of weights or imagenet, which need `arch` NAME"),
        (dict(out="no/where/e.npy"), "there is no folder"),
        (dict(run="gone.pt"), "must be random, imagenet or a file of weights"),
    ],
)
def test_what_is_wrong_is_named(weights, images, tmp_path, change, words):
    given = options(weights, images, tmp_path / "e.npy")
    change = {name: tmp_path / Path(value) if name == "out" else value for name, value in change.items()}
    with pytest.raises(UsageError) as raised:
        embed(replace(given, **change))
    assert words in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_features_of_timm_s_weights(images, tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = timm.create_model("resnet10t", pretrained=False)
    torch.save(net.state_dict(), tmp_path / "timm.pt")
    embed(replace(options(tmp_path / "timm.pt", images, tmp_path / "e.parquet"), arch="timm/resnet10t"))
    found, _ = vectors(tmp_path / "e.parquet")
    assert found.shape == (90, net.num_features)
    assert len(np.unique(found.round(4), axis=0)) > 80  # images are told apart


@pytest.mark.parametrize(("out", "words"), [("e.npy", "nothing was written"), ("shards", "add --resume")])
def test_ctrl_c_says_what_stays(monkeypatch, out, words):
    """Shards can be gone on with, a file can't."""
    monkeypatch.setattr(sys, "argv", ["embed", "imagenet", "--out", out])
    monkeypatch.setattr(embedded, "embed", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(SystemExit, match=words):
        main()
