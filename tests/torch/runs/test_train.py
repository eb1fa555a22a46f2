"""The training command, for real: real images, real processes, real kills.

One file, though long: one run of a few seconds serves most of it.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from commands import called
from PIL import Image
from same import tensors_equal
from sklearn.datasets import load_digits

from otlabel_torch import train as command
from otlabel_torch.images.images import Source, load
from otlabel_torch.training import checkpoint

SMALL = ["--epochs", "3", "--heads", "2", "--k", "12", "--image-size", "8", "--device", "cpu"]


def train(*options, check=True, cwd=None, timeout=300):
    done = called("otlabel_torch.train", *options, cwd=cwd, timeout=timeout)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("digits") / "run"
    done = train(*SMALL, "--controls", "--out", out)
    return out, done


def test_a_run_leaves_everything_behind(run):
    out, _done = run
    kept = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert kept == {
        "config.yaml", "metrics.jsonl", "labels.csv", "sizes.csv", "report.json", "checkpoints/last.pt", "clusters.png",
        "report.html", *(f"pictures/{name}.png" for name in ("labels", "loss", "sizes", "solves", "worth")),
        *(f"history/{epoch:05d}.npy" for epoch in (0, 1, 3)),
    }  # fmt: skip
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert (config["k"], config["heads"], config["relabels"]) == (12, 2, 3)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2, 3, 3]
    report = json.loads((out / "report.json").read_text())
    assert (report["images"], report["protocol"]) == (1797, "kNN leaves one out")
    assert report["config"]["k"] == 12
    assert all(np.isfinite(record["loss"]) for record in records[:3])
    assert "changed" not in records[0]
    assert 0 <= records[-1]["changed"] <= 1
    with Image.open(out / "clusters.png") as picture:
        assert picture.width > 16 * 40
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10


def test_labels_csv_is_balanced_and_keyed_by_index_and_path(run):
    out, _ = run
    with (out / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == [str(i) for i in range(1797)]
    assert [row["path"] for row in rows] == [f"digits/{i:04d}" for i in range(1797)]
    state = checkpoint.load(out / "checkpoints" / "last.pt")
    for head in range(2):
        labels = np.array([int(row[f"head_{head}"]) for row in rows])
        assert set(np.bincount(labels, minlength=12)) == {149, 150}
        np.testing.assert_array_equal(labels, state["labels"][:, head])


def test_the_run_ends_with_a_table_of_four_rows(run):
    out, done = run
    rows = json.loads((out / "report.json").read_text())["rows"]
    assert [row["name"] for row in rows] == [
        "raw pixels", "untrained network", "first labels, never updated", "SeLa",
    ]  # fmt: skip
    for row in rows:
        assert 0 <= row["nmi"] <= 100
        assert 50 < row["knn"] <= 100
        assert row["name"].split()[0] in done.stdout
    assert len(re.findall(r"^epoch +\d/3  loss", done.stdout, re.MULTILINE)) == 6
    assert "final labels" in done.stdout


def test_training_learns(run):
    """The network fits its labels, and the labels come to say more about the classes than the first ones did."""
    out, _ = run
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert records[2]["loss"] < records[0]["loss"] < 1.2 * np.log(12)
    assert records[-1]["nmi_classes"] > records[0]["nmi_classes"]


def test_a_killed_run_resumed_equals_the_uninterrupted_one(run, tmp_path):
    whole, _ = run
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "otlabel_torch.train", *SMALL, "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (out / "checkpoints" / "last.pt").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    before = checkpoint.load(out / "checkpoints" / "last.pt")
    assert before["epoch"] < 3
    done = train(*SMALL, "--out", out, "--resume")  # the same command again
    assert f"resumed after epoch {before['epoch']}" in done.stdout
    assert tensors_equal(
        checkpoint.load(out / "checkpoints" / "last.pt"), checkpoint.load(whole / "checkpoints" / "last.pt")
    )
    assert (out / "labels.csv").read_bytes() == (whole / "labels.csv").read_bytes()
    assert (out / "metrics.jsonl").read_text().count("\n") == 4
    assert not list(out.rglob("*.part"))
    assert oct((out / "labels.csv").stat().st_mode & 0o777) == oct(0o666 & ~umask())


def umask():
    current = os.umask(0)
    os.umask(current)
    return current


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--k", "13"], "in which k is 12, not 13"), (["--heads", "10"], "in which heads is 2, not 10")],
)  # 10 is also the default of a new run
def test_resume_refuses_another_configuration(run, options, message):
    out, _ = run
    done = train("--out", out, "--resume", *options, check=False)
    assert done.returncode == 1
    assert message in done.stderr


def test_resume_refuses_other_images(folder, tmp_path):
    """Labels are keyed by index: a renamed file would shift them."""
    root, out = tmp_path / "images", tmp_path / "run"
    shutil.copytree(folder, root)
    options = ["--data", "folder", "--root", root, "--epochs", 1, "--k", 10, "--heads", 1, "--image-size", 8]
    train(*options, "--out", out)
    before = (out / "labels.csv").read_bytes()
    first = min((root / "train" / "0").iterdir())
    first.rename(first.with_name("zzz.png"))
    done = train("--out", out, "--resume", check=False)
    assert done.returncode == 1
    assert "belongs to other images" in done.stderr
    assert (out / "labels.csv").read_bytes() == before


def test_no_solve_trains_nothing_and_one_never_updates(tmp_path):
    untrained = train(*SMALL, "--relabels", 0, "--out", tmp_path / "0")
    assert "epoch" not in untrained.stdout.split("output in")[1].split("What")[0]
    names = [row["name"] for row in json.loads((tmp_path / "0" / "report.json").read_text())["rows"]]
    assert names == ["raw pixels", "untrained network"]
    train(*SMALL, "--relabels", 1, "--out", tmp_path / "1")
    records = [json.loads(line) for line in (tmp_path / "1" / "metrics.jsonl").read_text().splitlines()]
    assert ["sweeps" in record for record in records] == [True, False, False]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Real scans as PNGs of several sizes and modes, in the ImageFolder layout."""
    root = tmp_path_factory.mktemp("images")
    digits = load_digits()
    for i, (image, digit) in enumerate(zip(digits.images[:240], digits.target[:240], strict=True)):
        path = root / ("train" if i < 200 else "val") / str(digit) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8))
        picture = picture.resize((20 + i % 7, 20 + i % 5)).convert(("L", "RGB", "RGBA", "P")[i % 4])
        picture.save(path)
    deep = np.full((20, 20), 200 << 8, np.uint16)  # 16-bit gray
    deep[:10] = 100 << 8
    Image.fromarray(deep).save(root / "train" / "0" / "deep.png")
    return root


def test_a_folder_of_images(folder, tmp_path):
    options = ["--data", "folder", "--root", folder, "--epochs", 2, "--batch-size", 32, "--image-size", 16]
    done = train(*options, "--out", tmp_path / "run")
    assert "201 images of 16 px, 40 more for evaluation" in done.stdout
    assert "kNN of the validation images" in " ".join(done.stdout.split())
    with (tmp_path / "run" / "labels.csv").open() as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    assert len(paths) == 201
    assert all((folder / path).exists() for path in paths)
    assert paths == sorted(paths, key=lambda path: path.split("/")[:2])


def test_resnet18_trains_on_small_images(folder, tmp_path):
    options = ["--data", "folder", "--root", folder, "--epochs", 1, "--relabels", 1, "--views", 0]
    train(*options, "--batch-size", 64, "--image-size", 16, "--arch", "resnet18", "--out", tmp_path / "run")


def test_images_of_any_depth_are_read_as_they_look(folder):
    images, _ = load(Source("folder", folder, 20))
    deep = images.pixels[images.paths.index("train/0/deep.png")]
    assert set(deep[:, :10].unique().tolist()) == {100}
    assert set(deep[:, 10:].unique().tolist()) == {199}  # 51,200 of 65,535


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "folder"], "--data folder needs --root DIR"),
        (
            ["--data", "folder", "--root", "/nowhere"],
            ".parquet, .arrow, but /nowhere is not there",
        ),
        (["--k", "5000"], "--k must not exceed the number of images: k=5000, images=1797"),
        (["--batch-size", "1"], "--batch-size must be at least 2"),
        (["--seed", "4294967295"], "--seed must stay below 2**32"),
        (["--data", "folder", "--root", ".", "--out", "runs"], "--out runs must not lie in --root ."),
        (["--k", "0"], "--k must be at least 1, got 0"),
        (["--batch-size", "4000"], "--batch-size must not exceed the number of images: 4000 > 1797"),
        (["--relabels", "-1"], "--relabels must be at least 0, got -1"),
        (["--epsilon", "0"], "--epsilon must be from 1e-09 to 1e+09, got 0"),
        (["--image-size", "4"], "--image-size must be at least 8, got 4"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--mixup", "-1"], "--mixup must be from 0 to 1000, got -1"),
        (["--lr-drops", "0.5", "-2"], "--lr-drops must be from 1e-09 to 1e+09, got -2"),
        (["--lr-drops", "0.5", "inf"], "--lr-drops must be from 1e-09 to 1e+09, got inf"),
        (["--epsilon", "1e-300"], "--epsilon must be from 1e-09 to 1e+09, got 1e-300"),
        (["--epsilon", "inf"], "--epsilon must be from 1e-09 to 1e+09, got inf"),
        (["--lr", "inf"], "--lr must be from 1e-12 to 1e+06, got inf"),
        (["--weight-decay", "inf"], "--weight-decay must be from 0 to 1e+06, got inf"),
        (["--mixup", "inf"], "--mixup must be from 0 to 1000, got inf"),
        (["--mixup", "1e-300"], "--mixup must be 0 or at least 0.01, got 1e-300"),
        (["--resume"], "--resume needs --out DIR"),
        (["--arch", "alexnet"], "--arch alexnet needs images of 64 px or more, got 16. Add --image-size 224"),
        (["--data", "cifar10"], "--data cifar10 needs --root DIR"),
        (["--data", "imagenet", "--root", "."], "--data imagenet needs its files in --root ."),
        (
            ["--arch", "vgg16"],
            "--arch must be convnet, convnet-2x, convnet-3x, convnet-4x, convnet-8x, alexnet, resnet18, resnet34, "
            "resnet50, or timm/NAME",
        ),
        (["--arch", "timm/no_such_net"], "timm has no no_such_net"),
        (["--accumulate", "3"], "--batch-size must be a multiple of the processes times --accumulate, 1 x 3, got 64"),
        (["--accumulate", "64"], "--batch-size must be at least 128, 2 images for each part's batch normalisation"),
        (
            ["--labels", "x.csv"],
            "--assigner sinkhorn takes no --labels, got x.csv. Leave it out, or choose",
        ),
        (["--assigner", "file"], "--assigner file needs --labels FILE"),
        (["--prior", "zipf", "--assigner", "kmeans"], "--prior zipf binds transport only"),
        (["--prior", "zipf", "--rounding", "argmax"], "--prior zipf needs --rounding balanced"),
        (["--workers", "-1"], "--workers must be at least 1, got -1"),
        (["--prior", "normal"], "--prior must be uniform, zipf or a file"),
        (["--imbalance", "some"], "--imbalance must be light, heavy or a file"),
        (["--rotation", "--relabels", "0"], "--rotation is learned in training"),
        (["--init", "imagenet"], "--init imagenet needs --arch"),
        (["--init", "nothing.pt"], "--init must be random, imagenet or a file of weights"),
        (["--assigner", "random", "--relabels", "3"], "--assigner random never updates its labels"),
        (["--device", "tpu"], "--device"),
    ],
)
def test_bad_options_say_what_to_do(tmp_path, monkeypatch, options, message):
    """In this process; the tests around this one see what the command makes of such an end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", *options])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert str(ended.value).startswith("error: ")
    assert message in str(ended.value)
    assert not list(tmp_path.iterdir())


def test_output_folders_are_safe(run, tmp_path):
    out, _ = run
    assert "is not empty" in train(*SMALL, "--out", out, check=False).stderr
    (tmp_path / "thesis.tex").write_text("precious")
    (tmp_path / "config.yaml").write_text("another program's")
    done = train(*SMALL, "--out", tmp_path, "--overwrite", check=False)
    assert "also holds thesis.tex" in done.stderr
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_a_truncated_image_is_named(folder, tmp_path):
    bad = folder / "train" / "3" / "zz.png"
    bad.write_bytes((folder / "train" / "3").glob("*.png").__next__().read_bytes()[:60])
    try:
        done = train("--data", "folder", "--root", folder, "--out", tmp_path / "run", check=False)
    finally:
        bad.unlink()
    assert done.returncode == 1
    assert f"{bad} cannot be read as an image" in done.stderr


@pytest.mark.parametrize(
    ("preset", "typed", "expected"),
    [
        ("digits", [], {"arch": "convnet", "image_size": 16, "k": 17, "heads": 10}),
        (
            "modern",
            ["--data", "cifar10", "--k", "128"],
            {"data": "cifar10", "k": 128, "heads": 10, "views": 2, "mixup": 1, "lr_drops": [0.75, 0.9]},
        ),
        ("thorough", ["--epochs", "9"], {"arch": "convnet-3x", "epochs": 9, "precision": "auto", "mixup": 1}),
        (
            "cifar10",
            [],
            {"data": "cifar10", "arch": "alexnet", "lr_drops": [240, 320], "epsilon": 0.1, "epochs": 400},
        ),
        (
            "imagenet-alexnet",
            [],
            {"data": "imagenet", "arch": "alexnet", "relabels": 80, "schedule": "quadratic", "label_mode": "train"},
        ),
        ("imagenet-resnet50", ["--k", "1000"], {"arch": "resnet50", "hidden": False, "k": 1000, "augment": "imagenet"}),
        ("svhn", ["--k", "64", "--lr-drops", "5"], {"data": "svhn", "k": 64, "lr_drops": [5], "heads": 10}),
        ("cifar100", ["--rounding", "balanced"], {"data": "cifar100", "rounding": "balanced", "weight_decay": 5e-4}),
    ],
)
def test_presets_stand_for_what_they_print(preset, typed, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train", "--preset", preset, *typed, "--print-config"])
    command.main()
    shown = yaml.safe_load(capsys.readouterr().out)
    assert {name: shown[name] for name in expected} == expected
    assert shown["preset"] == preset
    assert not list(tmp_path.iterdir())


def test_labels_by_clusters_are_equal_and_label_other_images(tmp_path):
    """Final ones are of the network as it stays: images of training get their own again, but for near ties."""
    out = tmp_path / "run"
    train(*SMALL, "--assigner", "clusters", "--out", out)
    assert json.loads((out / "report.json").read_text())["rows"][-1]["name"] == "SeLa, equal clusters"
    assert called("otlabel_torch.predict", out).returncode == 0
    labels, predicted = (
        np.array(
            [
                [int(row[f"head_{head}"]) for head in range(2)]
                for row in csv.DictReader((out / name).read_text().splitlines())
            ]
        )
        for name in ("labels.csv", "predicted.csv")
    )
    assert all(np.ptp(np.bincount(column, minlength=12)) <= 1 for column in labels.T)
    assert (labels == predicted).mean() > 0.9


@pytest.mark.parametrize("assigner", ["kmeans", "frozen", "random"])
def test_other_labels_to_compare_with(assigner, tmp_path):
    out = tmp_path / "run"
    done = train(*SMALL, "--assigner", assigner, "--out", out)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    updated = [record["changed"] for record in records if "changed" in record]
    assert len(updated) == (2 if assigner == "kmeans" else 0)  # three solves, the first and the last included
    rows = json.loads((out / "report.json").read_text())["rows"]
    assert rows[-1]["name"] == f"labels by {assigner}"
    assert f"labels by {assigner}" in done.stdout
    with (out / "labels.csv").open() as file:
        table = list(csv.DictReader(file))
    sizes = np.bincount([int(row["head_1"]) for row in table], minlength=12)
    assert (np.ptp(sizes) <= 1) == (assigner != "kmeans")
    assert (table[0]["confidence_0"] == "") == (assigner != "frozen")
    if assigner == "kmeans":
        refused = called("otlabel_torch.predict", out)
        assert refused.returncode == 1
        assert "which labels nothing but its own" in refused.stderr


def test_a_run_from_a_preset(tmp_path):
    train("--preset", "digits", "--epochs", 1, "--heads", 1, "--image-size", 8, "--out", tmp_path / "run")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["preset"], config["epochs"], config["k"], config["relabels"]) == ("digits", 1, 17, 1)


def test_help_reads_well():
    text = train("--help").stdout
    for option in ("--data", "--root", "--out", "--arch", "--k", "--heads", "--epsilon", "--relabels", "--schedule",
                   "--epochs", "--batch-size", "--lr", "--seed", "--device", "--controls", "--image-size"):  # fmt: skip
        assert option in text
    assert "Self-labelling" in text
