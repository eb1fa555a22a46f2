"""Statistics of batch normalisation after training: those of plain images, whatever training saw."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from otlabel_torch.images.augment import normalise
from otlabel_torch.images.images import Images, Source, load
from otlabel_torch.network.models import Network
from otlabel_torch.network.statistics import settle
from otlabel_torch.system.processes import Processes

ALONE = Processes(torch.device("cpu"))


def first(network: Network) -> nn.BatchNorm2d:
    return next(layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d))


def test_they_are_those_of_all_plain_images_in_whatever_order():
    """Images come class by class from folders: a batch's variance would be that of one class."""
    digits, _ = load(Source("digits", image_size=16))
    images = digits.of(digits.truth.argsort())
    torch.manual_seed(0)
    network = Network("convnet", 16, heads=1, k=10)
    first(network).running_mean.fill_(7)  # of whatever training saw
    state = torch.get_rng_state()
    settle(network, images, ALONE)
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training
    assert all(layer.training for layer in network.modules())
    seen = {}
    hook = first(network).register_forward_hook(lambda layer, inputs, output: seen.update(x=inputs[0]))
    with torch.no_grad():
        network.eval().features(normalise(images.pixels, 16))
    hook.remove()
    right = seen["x"].double()
    torch.testing.assert_close(first(network).running_mean, right.mean((0, 2, 3)).float(), rtol=0.02, atol=0.02)
    torch.testing.assert_close(first(network).running_var, right.var((0, 2, 3)).float(), rtol=0.05, atol=0)
    before = {name: value.clone() for name, value in network.named_buffers()}
    settle(network, images, ALONE)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())


def test_nothing_else_changes():
    digits, _ = load(Source("digits", image_size=8))
    network = Network("convnet", 8, heads=1, k=10).eval()
    weights = {name: value.clone() for name, value in network.named_parameters()}
    settle(network, digits, ALONE)
    assert all(torch.equal(value, weights[name]) for name, value in network.named_parameters())
    assert not any(layer.training for layer in network.modules())
    assert {layer.momentum for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)} == {0.1}


def test_dropout_is_off():
    pixels = torch.randint(0, 256, (40, 3, 64, 64), dtype=torch.uint8)
    images = Images(pixels, [str(i) for i in range(40)], None, [])
    network = Network("alexnet", 64, heads=1, k=3)
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        settle(network, images, ALONE)
        found.append([value.clone() for value in network.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("count", [1, 2, 129])
def test_few_images(count):
    """One has no statistics, and keeps training's; one beyond a batch is not counted like a batch."""
    digits, _ = load(Source("digits", image_size=8))
    network = Network("convnet", 8, heads=1, k=10)
    settle(network, digits.of(torch.arange(count)), ALONE)
    assert all(torch.isfinite(value).all() for value in network.buffers())
    assert first(network).num_batches_tracked == (count > 1)
