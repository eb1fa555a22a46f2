"""Damaged folders of runs: every command that reads the file ends with one line that names it, and touches nothing.

One file, though long: its table of damages is tried on every command, on copies of one run.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import shutil
import sys
import zipfile

import pytest
import torch
import yaml
from commands import called
from rich.console import Console
from same import tensors_equal

from otlabel_torch import train
from otlabel_torch.images.images import Images
from otlabel_torch.options.config import Config
from otlabel_torch.runs import baselines
from otlabel_torch.runs.folder import RunFolder
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.runs.run import run as train_run
from otlabel_torch.system.errors import DataError, UserError
from otlabel_torch.system.processes import Processes
from otlabel_torch.training import checkpoint
from otlabel_torch.training.state import start


class Harm:
    """A pickle that does something when it is read."""

    def __reduce__(self):
        return eval, ("__import__('sys').__dict__.update(harmed=True)",)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of one epoch, without the closing table, which these tests do not look at."""
    out = tmp_path_factory.mktemp("whole") / "run"
    rows, baselines.rows = baselines.rows, lambda *_: []
    try:
        options = Config(out=out, epochs=1, heads=2, k=12, image_size=8, views=0, device="cpu")
        train_run(options, Console(quiet=True))
    finally:
        baselines.rows = rows
    return out


@pytest.fixture
def out(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def words_of(command, out):
    return {
        "predict": ["predict", out],
        "evaluate": ["evaluate", out],
        "resume": ["train", "--resume", "--out", out],
        "retrain": ["retrain", "--labels", out / "labels.csv", "--out", out.parent / "new"],
    }[command]


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def refused(command, out, monkeypatch, capfd):
    """What the command ends with."""
    before = contents(out.parent)
    module, *words = words_of(command, out)
    monkeypatch.setattr(sys, "argv", [module, *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"otlabel_torch.{module}").main()
    text = ended.value.code
    assert isinstance(text, str), text  # Python prints it on stderr, and exits with 1
    assert text.startswith("error: ")
    assert len(text.splitlines()) == 1
    assert "Traceback" not in text
    assert capfd.readouterr().err == ""
    assert contents(out.parent) == before
    assert not hasattr(sys, "harmed")
    return text


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("letter.txt", "hello")


def folder(path):
    path.unlink()
    path.mkdir()


def cut(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def holds(content):
    return lambda path: path.write_bytes(content)


def saved(thing):
    return lambda path: torch.save(thing, path)


def with_part(name, value):
    def damage(path):
        parts = torch.load(path, weights_only=True)
        torch.save(parts | {name: value(parts[name])}, path)

    return damage


def with_parts(**values):
    def damage(path):
        for name, value in values.items():
            with_part(name, value)(path)

    return damage


def without_part(name):
    def damage(path):
        parts = torch.load(path, weights_only=True)
        del parts[name]
        torch.save(parts, path)

    return damage


def flipped(path):
    """A bit in the middle of the pickle inside."""
    content = bytearray(path.read_bytes())
    content[100] ^= 0x55
    path.write_bytes(content)


CHECKPOINTS = {
    "zero bytes": holds(b""),
    "its first half": cut(0.5),
    "its first 90 percent": cut(0.9),
    "a flipped byte": flipped,
    "text": holds(b"once upon a time\n"),
    "a folder": folder,
    "a zip of something else": archive,
    "another program's pickle": holds(pickle.dumps(["hello"])),
    "a harmful pickle": holds(pickle.dumps(Harm())),
    "a harmful checkpoint": saved({"model": Harm()}),
    "a tensor": saved(torch.ones(3)),
    "a list": saved([1, 2]),
    "nothing": saved(None),
    "a plain state dict": saved({"0.weight": torch.ones(3, 3)}),
    "no labels": without_part("labels"),
    "no images": without_part("images"),
    "no heads": without_part("heads"),
    "no weights": with_part("model", lambda _: {}),
    "weights of the wrong shape": with_part("model", lambda parts: {name: torch.ones(2) for name in parts}),
    "weights that are words": with_part("model", lambda parts: dict.fromkeys(parts, "word")),
    "no hidden layer": with_part("heads", lambda heads: {"head": heads["head"]} | {"hidden": {}}),
    "labels of one head": with_part("labels", lambda labels: labels[:, :1]),
    "potentials of fewer labels": with_part("potentials", lambda potentials: potentials[:, :5]),
    "labels that are a word": with_part("labels", lambda _: "labels"),
    "labels beyond k": with_part("labels", lambda labels: labels + 5),
    "labels without confidence": with_part("confidence", lambda _: None),
    "labels without potentials": with_part("potentials", lambda _: None),
    "labels from no one knows when": with_part("labels_seed", lambda _: None),
    "labels from after the last epoch": with_part("labels_epoch", lambda _: 77),
    "a seed beyond 64 bits": with_part("labels_seed", lambda _: 2**64),
    "a seed below 0": with_part("labels_seed", lambda _: -1),
    "no labels after an epoch": with_part("labels", lambda _: None),
    "labels of no image": with_parts(labels=lambda labels: labels[:0], confidence=lambda confidence: confidence[:0]),
    "labels with a point": with_part("labels", lambda labels: labels.float()),
    "labels of 32 bits": with_part("labels", lambda labels: labels.int()),
    "confidence in whole numbers": with_part("confidence", lambda confidence: confidence.long()),
    "potentials that are none": with_part("potentials", lambda potentials: potentials * float("nan")),
    "potentials in whole numbers": with_part("potentials", lambda potentials: potentials.long()),
    "weights that are none": with_part(
        "model", lambda parts: {name: part * float("nan") for name, part in parts.items()}
    ),
    "complex weights": with_part("model", lambda parts: {name: part * 1j for name, part in parts.items()}),
    "an epoch below 0": with_part("epoch", lambda _: -5),
    "an epoch beyond the last": with_part("epoch", lambda _: 99),
    "an epoch that is true": with_part("epoch", lambda _: True),
    "records of numbers": with_part("records", lambda _: [1, 2]),
    "records of tensors": with_part("records", lambda _: [{"loss": torch.ones(2)}]),
    "an epoch that is a word": with_part("epoch", lambda _: "three"),
    "records that are a number": with_part("records", lambda _: 5),
    "images that are a number": with_part("images", lambda _: 5),
    "gone": lambda path: path.unlink(),
}


def changed(**values):
    """A configuration of other values."""

    def damage(path):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))

    return damage


CONFIGURATIONS = {
    "empty": holds(b""),
    "a comment": holds(b"# nothing\n"),
    "broken YAML": holds(b"k: [1, 2\nheads: {"),
    "a tab": holds(b"k:\t- 3\n\t- 4\n"),
    "a list": holds(b"- 1\n- 2\n"),
    "a word": holds(b"hello"),
    "binary": holds(bytes(range(256))),
    "no UTF-8": holds(b"out: caf\xe9\n"),
    "a date that is none": holds(b"k: 2020-13-45\n"),
    "a Python object": holds(b"k: !!python/object/apply:os.getcwd []\n"),
    "its first line": holds(b"preset: null\n"),
    "a folder": folder,
    "an unknown option": changed(kk=3),
    "k: many": changed(k="many"),
    "k: null": changed(k=None),
    "k: 0": changed(k=0),
    "k: true": changed(k=True),
    "heads: 2.5": changed(heads=2.5),
    "heads: -2": changed(heads=-2),
    "lr: fast": changed(lr="fast"),
    "lr: not a number": changed(lr=float("nan")),
    "epsilon: 0": changed(epsilon=0),
    "epsilon: 1e-300": changed(epsilon=1e-300),
    "mixup: 1e200": changed(mixup=1e200),
    "lr_drops: far beyond": changed(lr_drops=[1e299]),
    "workers: 0": changed(workers=0),
    "assigner: file": changed(assigner="file"),
    "labels: of transport": changed(labels="labels.csv"),
    "prior: zipf": changed(prior="zipf", rounding="argmax"),
    "root: [1]": changed(root=[1]),
    "assigner: magic": changed(assigner="magic"),
    "assigner: [kmeans]": changed(assigner=["kmeans"]),
    "epochs: null": changed(epochs=None),
    "hidden: 1": changed(hidden=1),
    "lr_drops: 3": changed(lr_drops=3),
    "lr_drops: [a]": changed(lr_drops=["a"]),
    "augment: null": changed(augment=None),
    "data: everything": changed(data="everything"),
    "arch: vgg16": changed(arch="vgg16"),
    "arch: timm/nothing": changed(arch="timm/nothing"),
    "image_size: 4": changed(image_size=4),
}
OTHERS = {  # sound by themselves, but not those of the checkpoint
    "arch": changed(arch="resnet18"),
    "k": changed(k=13),
    "heads": changed(heads=3),
    "as many outputs of other heads": changed(heads=3, k=8),
    "hidden": changed(hidden=False),
    "rotation": changed(rotation=True),
}
READERS = ("predict", "evaluate", "resume")


@pytest.mark.parametrize("damage", CHECKPOINTS)
@pytest.mark.parametrize("command", READERS)
def test_a_damaged_checkpoint(command, damage, out, monkeypatch, capfd):
    path = out / "checkpoints" / "last.pt"
    CHECKPOINTS[damage](path)
    text = refused(command, out, monkeypatch, capfd)
    assert str(path) in text
    assert any(remedy in text for remedy in ("Restore", "Name another folder", "Start without --resume")), text


@pytest.mark.parametrize("command", ["evaluate", "resume"])
def test_labels_of_fewer_images(command, out, monkeypatch, capfd):
    path = out / "checkpoints" / "last.pt"
    with_parts(labels=lambda labels: labels[:900], confidence=lambda confidence: confidence[:900])(path)
    text = refused(command, out, monkeypatch, capfd)
    assert f"{path} must hold labels of the 1797 images of the run, got 900. Restore" in text


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: {}, "KeyError: 'param_groups'"),
        (lambda saved: saved | {"state": {0: "word"}}, "the optimiser's momentum"),
        (lambda saved: saved | {"state": {99: {}}}, "the optimiser's momentum"),
        (
            lambda saved: saved | {"state": {0: {"momentum_buffer": torch.ones(3)}}},
            "must hold the optimiser's momentum",
        ),
        (
            lambda saved: saved | {"param_groups": [{"params": saved["param_groups"][0]["params"]}]},
            "must hold an optimiser with lr, momentum",
        ),
    ],
)
def test_a_damaged_optimiser(damage, message, out, monkeypatch, capfd):
    path = out / "checkpoints" / "last.pt"
    with_part("optimiser", damage)(path)
    text = refused("resume", out, monkeypatch, capfd)
    assert str(path) in text
    assert message in text
    assert "Restore" in text


@pytest.mark.parametrize("damage", CONFIGURATIONS)
@pytest.mark.parametrize("command", [*READERS, "retrain"])
def test_a_damaged_configuration(command, damage, out, monkeypatch, capfd):
    path = out / "config.yaml"
    CONFIGURATIONS[damage](path)
    text = refused(command, out, monkeypatch, capfd)
    assert str(path) in text
    assert "estore it" in text, text
    if ": " in damage:
        assert damage.partition(":")[0] in text.replace("-", "_")


@pytest.mark.parametrize(
    "values",
    [
        {"root": "/nowhere"},
        {"root": "/nowhere", "data": "folder"},
        {"data": "cifar10"},
        {"imbalance": "heavyy"},
        {"k": 5000},
        {"seed": 2**40},
        {"batch_size": 5000},
        {"accumulate": 3},
        {"prior": "zipff"},
        {"assigner": "random", "relabels": 3},
        {"assigner": "file", "labels": "/nowhere"},
    ],
    ids=str,
)
def test_a_configuration_that_does_not_fit_the_images(values, out, monkeypatch, capfd):
    """Known later than the rest of it, and named all the same: whoever goes on with a run may type none of this."""
    changed(**values)(out / "config.yaml")
    text = refused("resume", out, monkeypatch, capfd)
    assert text.startswith(f"error: {out / 'config.yaml'} cannot be the configuration of a run: --"), text
    assert text.endswith("Restore it from a copy, or start a run anew.")


@pytest.mark.parametrize("values", [{"heads": 4 * 10**9, "k": 1000}, {"image_size": 10**7}], ids=str)
def test_memory_that_no_machine_has(values, out, monkeypatch, capfd):
    """Beyond any address space."""
    changed(**values)(out / "config.yaml")
    assert "out of memory: " in refused("resume", out, monkeypatch, capfd)


@pytest.mark.parametrize("damage", OTHERS)
@pytest.mark.parametrize("command", READERS)
def test_a_configuration_of_another_network(command, damage, out, monkeypatch, capfd):
    OTHERS[damage](out / "config.yaml")
    text = refused(command, out, monkeypatch, capfd)
    assert str(out / "checkpoints" / "last.pt") in text
    assert "configuration" in text or "config.yaml" in text
    assert "Restore" in text, text


def test_a_configuration_of_another_size_of_images(tmp_path):
    """Of a network that is made for a size."""
    images = Images(torch.zeros(20, 3, 64, 64, dtype=torch.uint8), [f"{i}" for i in range(20)], None, [])
    options = Config(data="folder", root=tmp_path, arch="timm/test_vit", k=3, heads=1, image_size=64, out=tmp_path)
    config, alone = resolve(options, 20, 64), Processes(torch.device("cpu"))
    run = RunFolder(tmp_path)
    run.save_configuration(config)
    start(config, images, alone).save(run.checkpoint)
    run.open(alone.device)
    changed(image_size=96)(tmp_path / "config.yaml")
    with pytest.raises(DataError, match=r"last\.pt must hold weights of the network .*Restore"):
        run.open(alone.device)


@pytest.mark.parametrize("command", READERS)
def test_a_missing_configuration(command, out, monkeypatch, capfd):
    (out / "config.yaml").unlink()
    assert f"{out / 'config.yaml'}" in refused(command, out, monkeypatch, capfd)


@pytest.mark.parametrize("name", ["config.yaml", "checkpoints/last.pt"])
def test_a_file_that_may_not_be_read(name, out):
    """By whoever is not root, who may read everything."""
    (out / name).chmod(0)
    user = os.geteuid()
    for folder in [out, *out.parents] if user == 0 else []:
        if folder.stat().st_uid == 0 and folder.name.startswith(("test_", "pytest-", "popen-", "run")):
            folder.chmod(0o755)
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(UserError, match=f"{name}.*Permission denied.*[Rr]estore it"):
            RunFolder(out).open(torch.device("cpu"))
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("damage", [holds(b""), holds(b"\xff{"), cut(0.5), lambda path: path.unlink()])
def test_metrics_are_written_anew_from_the_checkpoint(damage, out, monkeypatch):
    """Nothing but the experiments reads them."""
    path = out / "metrics.jsonl"
    expected = path.read_bytes()
    damage(path)
    if path.exists() and path.read_bytes():
        with pytest.raises(DataError, match=r"metrics\.jsonl must hold JSON.*Go on with the run"):
            RunFolder(out).records()
    monkeypatch.setattr(baselines, "rows", lambda *_: [])
    monkeypatch.setattr(sys, "argv", ["train", "--resume", "--out", str(out)])
    train.main()
    assert path.read_bytes() == expected


def test_the_first_weights_are_not_missed(whole, tmp_path, monkeypatch, capfd):
    """Once the run has weights of its own."""
    first, out = shutil.copy(whole / "checkpoints" / "last.pt", tmp_path / "first.pt"), tmp_path / "run"
    options = Config(out=out, epochs=1, heads=2, k=12, image_size=8, views=0, device="cpu", init=str(first))
    before = [row["name"] for row in train_run(options, Console(quiet=True))]
    parts = checkpoint.load(out / "checkpoints" / "last.pt")
    first.unlink()
    monkeypatch.setattr(sys, "argv", ["train", "--resume", "--out", str(out)])
    train.main()
    assert f"note: {first} is gone" in capfd.readouterr().out
    rows = json.loads((out / "report.json").read_text())["rows"]
    assert [row["name"] for row in rows] == [name for name in before if name != "untrained network"]
    assert tensors_equal(checkpoint.load(out / "checkpoints" / "last.pt"), parts)


@pytest.mark.parametrize(
    ("command", "name", "content"),
    [
        ("predict", "checkpoints/last.pt", b"half"),
        ("evaluate", "checkpoints/last.pt", b""),
        ("resume", "config.yaml", b"k: ["),
        ("retrain", "config.yaml", b""),
        ("retrain", "labels.csv", b"\xff\x00"),
    ],
)
def test_a_real_process_ends_with_status_1_and_one_line(command, name, content, out):
    (out / name).write_bytes(content)
    before = contents(out.parent)
    module, *words = map(str, words_of(command, out))
    done = called(f"otlabel_torch.{module}", *words)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert str(out / name) in done.stderr
    assert contents(out.parent) == before


def test_the_folder_itself(tmp_path):
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match=r"must be the `out` of a training run, but .*last\.pt is not there"):
            RunFolder(folder).open(torch.device("cpu"))


def test_harm_would_be_noticed():
    pickle.load(io.BytesIO(pickle.dumps(Harm())))
    assert sys.harmed
    del sys.harmed
