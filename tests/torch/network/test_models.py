"""Networks of every kind and size."""

from __future__ import annotations

import pytest
import torch

from otlabel_torch.network.models import RESNETS, Network


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        (arch, size)
        for arch in ("convnet", "convnet-2x", "convnet-3x", "convnet-4x", "alexnet", *RESNETS, "timm/resnet10t")
        for size in (8, 32, 64, 97)
        if arch != "alexnet" or size >= 64
    ],
)
def test_networks_make_scores_for_every_head(arch, size):
    network = Network(arch, size, heads=3, k=5).eval()
    images = torch.zeros(2, 3, size, size)
    with torch.no_grad():
        scores, turns = network(images)
        assert (scores.shape, turns) == ((2, 3, 5), None)
        assert network.features(images).shape == (2, network.width)
