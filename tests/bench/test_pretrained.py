"""Small files of a run: the network and the labels that commands take."""

from __future__ import annotations

import sys

import pytest
import torch
import yaml
from rich.console import Console

from benchmarks import pretrained
from otlabel_torch.images.images import Source, load
from otlabel_torch.labels.given import read_labels
from otlabel_torch.network.models import Network
from otlabel_torch.network.weights import initialise
from otlabel_torch.options.config import Config
from otlabel_torch.runs import baselines
from otlabel_torch.runs.run import run as train_run
from otlabel_torch.training import checkpoint


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("ended") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(baselines, "rows", lambda *_: [])
        options = Config(out=out, epochs=1, heads=2, k=12, image_size=8, views=0, device="cpu")
        train_run(options, Console(quiet=True))
    return out


def export(monkeypatch, run, out):
    monkeypatch.setattr(sys, "argv", ["pretrained", str(run), str(out)])
    pretrained.main()


def test_commands_take_the_files(run, tmp_path, monkeypatch):
    export(monkeypatch, run, tmp_path / "new" / "small")
    first = (tmp_path / "new" / "small.pt").read_bytes()
    export(monkeypatch, run, tmp_path / "new" / "small")
    weights = tmp_path / "new" / "small.pt"
    assert weights.read_bytes() == first
    saved = checkpoint.load(run / "checkpoints" / "last.pt")
    taken, trained = Network("convnet", 8, heads=2, k=12), Network("convnet", 8, heads=2, k=12)
    assert initialise(taken, "convnet", str(weights)).random == []
    trained.trunk.load_state_dict(saved["model"])
    images, _ = load(Source("digits", image_size=8))
    shown = images.pixels[:200].float() / 255
    with torch.no_grad():
        found, truth = taken.eval().features(shown), trained.eval().features(shown)
    assert float((found - truth).norm() / truth.norm()) < 0.03
    assert len(first) < sum(4 * tensor.numel() for tensor in saved["model"].values()) / 2.5
    given = read_labels(tmp_path / "new" / "small-labels.parquet", images)
    assert torch.equal(given.rows, torch.arange(len(images)))
    for head in range(2):  # by other numbers: without gaps
        pairs = set(zip(given.labels[:, head].tolist(), saved["labels"][:, head].tolist(), strict=True))
        assert len(pairs) == 12


def test_numbers_keep_six_bits():
    value = torch.randn(1000, 3) * torch.logspace(-3, 1, 1000)[:, None]
    rounded = pretrained.small(value)
    assert rounded.dtype == torch.float16
    assert float(((rounded - value) / value).abs().max()) <= 2**-6
    mantissa, _ = torch.frexp(rounded.float())
    assert torch.equal(mantissa * 2**6, torch.round(mantissa * 2**6))
    assert torch.equal(pretrained.small(value[0]), value[0])


def test_a_run_that_has_not_ended(run, tmp_path, monkeypatch):
    config = run / "config.yaml"
    before = config.read_text()
    config.write_text(yaml.safe_dump(yaml.safe_load(before) | {"epochs": 3}))
    try:
        with pytest.raises(SystemExit, match="must have ended, but is at epoch 1 of 3"):
            export(monkeypatch, run, tmp_path / "small")
    finally:
        config.write_text(before)
    assert list(tmp_path.iterdir()) == []
