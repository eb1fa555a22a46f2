"""--precision auto: what is faster here, tried before the run and the same in all processes."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch
import yaml
from rich.console import Console

from otlabel_torch.options.config import Config
from otlabel_torch.runs import precision as precisions
from otlabel_torch.runs import run as runs
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.system.errors import UserError
from otlabel_torch.system.processes import Processes


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(precisions, "TRIED", 0.0)


@pytest.mark.parametrize(
    ("slower", "factor", "expected"),
    [("float32", 3.0, "bf16"), ("bf16", 3.0, "float32"), ("float32", 1.02, "float32")],
)
def test_the_faster_is_chosen_if_it_is_worth_fewer_digits(slower, factor, expected, monkeypatch):
    """On a clock that a pass turns on: 1 second, or as many more as the slower takes."""
    now = [0.0]
    passed = precisions.autocast

    def counted(device, precision):
        now[0] += factor if precision == slower else 1.0
        return passed(device, precision)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(precisions, "autocast", counted)
    state = torch.random.get_rng_state()
    assert resolve(Config(precision="auto", device="cpu", k=5, heads=2), 40, 16).precision == expected
    assert torch.equal(torch.random.get_rng_state(), state)  # a run draws what it draws without the trial


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_what_is_asked_for_is_not_tried(precision, monkeypatch):
    monkeypatch.setattr(precisions, "fastest", lambda config: pytest.fail("it was tried"))
    assert resolve(Config(precision=precision), 40, 16).precision == precision


@pytest.mark.parametrize(
    "wrong",
    [{"arch": "vgg16"}, {"arch": "alexnet"}, {"batch_size": 0}, {"image_size": 4}, {"train_size": 2}, {"heads": 0}],
)
def test_what_no_run_can_have_is_said_before_it_is_tried(wrong):
    with pytest.raises(UserError, match=f"`{next(iter(wrong))}`"):
        resolve(Config(precision="auto", device="cpu", **wrong), 40, 16)


def test_what_is_tried_is_a_part_that_memory_has_room_for(monkeypatch):
    seen, forward = set(), precisions.Network.forward
    monkeypatch.setattr(precisions.Network, "forward", lambda self, x: seen.add(tuple(x.shape)) or forward(self, x))
    resolve(Config(precision="auto", device="cpu", batch_size=40, accumulate=8, train_size=12), 40, 16)
    assert seen == {(5, 3, 12, 12)}


@pytest.mark.parametrize("batch", [1, 10**9])
def test_a_batch_that_will_be_refused_is_not_what_is_tried(batch):
    assert resolve(Config(precision="auto", device="cpu", batch_size=batch), 40, 16).precision in ("float32", "bf16")


def test_the_first_process_decides(monkeypatch):
    class Second(Processes):
        def from_first(self, *tensors):
            for tensor in tensors:
                tensor.fill_(1)

    config = resolve(Config(precision="float32"), 40, 16)
    assert precisions.agreed(config, Second(torch.device("cpu"), 1, 2)).precision == "bf16"


def test_a_run_is_of_what_was_agreed_on(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "agreed", lambda config, team: dataclasses.replace(config, precision="bf16"))
    options = Config(image_size=8, k=12, heads=1, relabels=0, views=0, device="cpu", out=tmp_path / "run")
    runs.run(options, Console(quiet=True))
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["precision"] == "bf16"
