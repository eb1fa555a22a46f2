"""Files that are no checkpoints, half of one, or another version's: one line that names the file and the remedy."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
import torch

from otlabel_torch.images.images import Source, load
from otlabel_torch.options.config import Config
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.system.errors import DataError
from otlabel_torch.system.processes import Processes
from otlabel_torch.training import checkpoint
from otlabel_torch.training.loop import fit
from otlabel_torch.training.state import start

ALONE = Processes(torch.device("cpu"))
REFUSED = "it is damaged, or holds more than tensors and plain values"


@pytest.fixture(scope="module")
def images():
    return load(Source("digits", None, 8))[0].of(torch.arange(100))


@pytest.fixture(scope="module")
def config():
    return resolve(Config(image_size=8, k=5, heads=2, epochs=2, views=1), 100, 8)


@pytest.fixture
def path(config, images, tmp_path):
    start(config, images, ALONE).save(tmp_path / "last.pt")
    return tmp_path / "last.pt"


def error(path):
    with pytest.raises(DataError) as raised:
        checkpoint.load(path)
    text = str(raised.value)
    assert text.startswith(str(path))
    assert "start the run anew" in text
    assert text.isprintable()
    return text


def test_checkpoints_refuse_pickled_code(tmp_path):
    torch.save({"x": Config()}, tmp_path / "evil.pt")
    assert f"cannot be read as a checkpoint: {REFUSED}" in error(tmp_path / "evil.pt")


def test_what_torch_says_of_damage_stays_inside(path, recwarn):
    """Advice to read it all the same, in colours, and a warning."""
    content = bytearray(path.read_bytes())
    content[100] ^= 0x55
    for damaged in (bytes(content), pickle.dumps(["hello"])):
        path.write_bytes(damaged)
        assert REFUSED in error(path)
    assert not recwarn.list


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_off(path, part):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    assert "cannot be read as a checkpoint" in error(path)


@pytest.mark.parametrize("content", [b"hello", b"\x80\x02]q\x00.", bytes(1000), b"PK\x03\x04" + bytes(100)])
def test_a_file_of_something_else(path, content):
    path.write_bytes(content)
    error(path)


def test_a_checkpoint_that_lacks_a_part(path):
    saved = checkpoint.load(path)
    for name in checkpoint.PARTS[1:]:
        torch.save({key: value for key, value in saved.items() if key != name}, path)
        assert f"must be a whole checkpoint, but {name} are missing" in error(path)
    torch.save({"x": 1}, path)
    assert "is no checkpoint of a run" in error(path)


def test_a_checkpoint_of_another_version(path):
    saved = checkpoint.load(path)
    for found in (1, checkpoint.FORMAT + 1):
        torch.save(saved | {"format": found}, path)
        assert f"must be a checkpoint of format {checkpoint.FORMAT}, got {found}" in error(path)
    del saved["format"], saved["labels_epoch"]  # as it was before formats had numbers
    torch.save(saved, path)
    assert "got 1" in error(path)


def test_a_checkpoint_of_another_network_or_of_other_images(config, images, path):
    other = start(dataclasses.replace(config, k=6), images, ALONE)
    with pytest.raises(
        DataError, match=r"last\.pt must hold weights of the network that the run's configuration names"
    ):
        other.load(checkpoint.load(path), path)
    renamed = dataclasses.replace(images, paths=[f"x{name}" for name in images.paths])
    with pytest.raises(DataError, match=r"last\.pt belongs to other images"):
        start(config, renamed, ALONE).load(checkpoint.load(path), path)


def test_what_is_known_of_the_labels_is_stored_by_name(config, images, tmp_path):
    """Which epoch they are of, and the seed of their views; the log is not asked."""
    config = dataclasses.replace(config, epochs=4, relabels=3)  # before epochs 1 and 3, and at the end
    seen = []

    def after_epoch(state):
        state.records.clear()
        state.save(tmp_path / "last.pt")
        saved = checkpoint.load(tmp_path / "last.pt")
        seen.append((state.epoch, saved["labels_epoch"], saved["labels_seed"], state.labels_are_new))

    state = start(dataclasses.replace(config, seed=2), images, ALONE)
    assert not state.labels_are_new
    fit(dataclasses.replace(config, seed=2), images, ALONE, state=state, after_epoch=after_epoch)
    seed = 200_006
    assert seen == [
        (1, 0, seed, True),
        (2, 0, seed, False),
        (3, 2, seed + 2, True),
        (4, 2, seed + 2, False),
        (4, 4, seed + 4, True),  # with the statistics of plain images
    ]
    fit(config, images, ALONE, state=state, after_epoch=after_epoch)
    assert len(seen) == 6  # the final labels are made once


def test_a_run_killed_before_its_statistics_were_taken_takes_them_when_it_goes_on(config, images, tmp_path):
    config = dataclasses.replace(config, epochs=2, relabels=1)
    kept = []

    def after_epoch(state):
        state.save(tmp_path / f"{len(kept)}.pt")
        kept.append({name: value.clone() for name, value in state.network.state_dict().items()})

    fit(config, images, ALONE, state=start(config, images, ALONE), after_epoch=after_epoch)
    assert len(kept) == 3
    changed = {name for name in kept[1] if not torch.equal(kept[1][name], kept[2][name])}
    assert changed
    assert all("running" in name or "num_batches" in name for name in changed)
    for killed_after in (0, 1, 2):
        state = start(config, images, ALONE)
        state.load(checkpoint.load(tmp_path / f"{killed_after}.pt"), tmp_path)
        fit(config, images, ALONE, state=state)
        assert all(torch.equal(value, kept[2][name]) for name, value in state.network.state_dict().items())
