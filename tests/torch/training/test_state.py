"""A run that was left and taken up again is the run that was not."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from same import tensors_equal

from otlabel_torch.images.images import Source, load
from otlabel_torch.options.config import Config
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.system.processes import Processes
from otlabel_torch.training import checkpoint
from otlabel_torch.training.loop import fit
from otlabel_torch.training.state import start


@pytest.mark.parametrize("assigner", ["sinkhorn", "clusters", "kmeans", "random"])
def test_a_run_taken_up_again_equals_one_that_was_not_left(assigner, tmp_path):
    """In one process, for every rule of labelling and with steps of the learning rate."""
    images, _ = load(Source("digits", None, 8))
    images = dataclasses.replace(
        images, pixels=images.pixels[:200], paths=images.paths[:200], classes=images.classes[:200]
    )
    options = Config(data="digits", image_size=8, k=8, heads=2, epochs=3, assigner=assigner, lr_drops=(2,), views=1)
    config, alone = resolve(options, 200, 8), Processes(torch.device("cpu"))
    path = tmp_path / "last.pt"

    def after_epoch(state):
        if state.epoch == 1:
            state.save(path)

    whole = fit(config, images, alone, state=start(config, images, alone), after_epoch=after_epoch)
    again = start(config, images, alone)
    again.load(checkpoint.load(path), path)
    assert again.epoch == 1
    fit(config, images, alone, state=again)
    for state, name in ((whole, "whole.pt"), (again, "again.pt")):
        state.save(tmp_path / name)
    assert tensors_equal(checkpoint.load(tmp_path / "whole.pt"), checkpoint.load(tmp_path / "again.pt"))
    if assigner == "kmeans":  # the head that was trained on the last clusters but one is kept
        assert whole.network.head.weight.abs().max() > 1.01 / 256**0.5


def test_final_labels_do_not_depend_on_where_a_run_was_left(tmp_path):
    """In training mode without views, where dropout is the only chance."""
    images = load(Source("digits", image_size=8))[0].of(torch.arange(64))
    options = {"arch": "alexnet", "image_size": 64, "k": 4, "heads": 1, "epochs": 1, "relabels": 2, "batch_size": 32}
    config, alone = resolve(Config(**options, label_mode="train", views=0), 64, 8), Processes(torch.device("cpu"))
    whole, left = (start(config, images, alone) for _ in range(2))

    def stop(state):
        state.save(tmp_path / "last.pt")
        raise KeyboardInterrupt

    fit(config, images, alone, state=whole)
    with pytest.raises(KeyboardInterrupt):
        fit(config, images, alone, state=left, after_epoch=stop)
    again = start(config, images, alone)
    again.load(checkpoint.load(tmp_path / "last.pt"), tmp_path / "last.pt")
    fit(config, images, alone, state=again)
    assert torch.equal(again.labels, whole.labels)
    assert torch.equal(again.confidence, whole.confidence)


@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_checkpoints_of_versions_whose_steps_were_not_fused(precision, tmp_path):
    """They say so, lack momentum that is zero, and may have laid it out in another way."""
    images = load(Source("digits", image_size=8))[0].of(torch.arange(32))
    options = Config(data="digits", image_size=8, k=4, heads=1, epochs=2, batch_size=16, views=1, precision=precision)
    config, alone = resolve(options, 32, 8), Processes(torch.device("cpu"))

    def after_epoch(state):
        if state.epoch == 1:
            state.save(tmp_path / "now.pt")

    whole = fit(config, images, alone, state=start(config, images, alone), after_epoch=after_epoch)
    older = checkpoint.load(tmp_path / "now.pt")
    kept = older["optimiser"]
    kept["param_groups"][0] |= {"fused": None, "foreach": None}
    for held in kept["state"].values():
        held["momentum_buffer"] = held["momentum_buffer"].contiguous()
    again = start(config, images, alone)
    again.load(older, tmp_path / "now.pt")
    fit(config, images, alone, state=again)
    assert all(map(torch.equal, whole.network.parameters(), again.network.parameters()))
    kept["state"] = {0: {"momentum_buffer": None}, 1: kept["state"][1]}
    again = start(config, images, alone)
    again.load(older, tmp_path / "now.pt")
    buffers = [again.optimiser.state[parameter]["momentum_buffer"] for parameter in again.network.parameters()]
    assert [bool(buffer.any()) for buffer in buffers] == [i == 1 for i in range(len(buffers))]
    fit(config, images, alone, state=again)
