"""The adapter to otlabel: labels of every head, and of images that were not there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import otlabel
from otlabel._input import sources
from otlabel_torch.images.images import Source, load
from otlabel_torch.labels import transport
from otlabel_torch.network.collect import collect
from otlabel_torch.network.models import Network
from otlabel_torch.system.processes import Processes

ALONE = Processes(torch.device("cpu"))


def test_solve_labels_every_head_with_equal_sizes():
    images, _ = load(Source("digits", None, 8))
    network = Network("convnet", 8, heads=3, k=7)
    hidden = collect(network, images, ALONE, layer="hidden")
    found = transport.solve(network, hidden, ALONE, 1797, epsilon=1 / 25, rounding="balanced")
    assert found.labels.shape == (1797, 3)
    assert found.converged
    for head in range(3):
        assert set(np.bincount(found.labels[:, head], minlength=7)) == {256, 257}
    assert len({tuple(found.labels[:, head].tolist()) for head in range(3)}) == 3


@pytest.mark.parametrize("rounding", ["balanced", "argmax"])
def test_labels_do_not_depend_on_whether_scores_fit_into_memory(monkeypatch, rounding):
    torch.manual_seed(0)
    network = Network("convnet", 8, heads=2, k=7)
    hidden = torch.rand(500, 256)
    alone, kept, found = Processes(torch.device("cpu")), [], []
    keep = otlabel.LinearScores.kept
    monkeypatch.setattr(otlabel.LinearScores, "kept", lambda scores: kept.append(scores) or keep(scores))
    for share in (0.5, 0.0):
        monkeypatch.setattr(sources, "_KEPT", share)
        found.append(transport.solve(network, hidden, alone, 500, epsilon=0.04, rounding=rounding))
    assert len(kept) == 2  # a head each, where they may be
    assert torch.equal(found[0].labels, found[1].labels)
    assert torch.equal(found[0].confidence, found[1].confidence)
    np.testing.assert_array_equal(found[0].potentials, found[1].potentials)
    same, _ = transport.predict(network, hidden, found[0].potentials, 0.04)
    assert same.shape == (500, 2)


def test_potentials_give_the_labels_of_the_solve():
    """argmax labels of the images of a solve are what its potentials predict; so are otlabel's own predictions."""
    torch.manual_seed(0)
    network = Network("convnet", 8, heads=3, k=7).eval()
    hidden = torch.randn(400, network.width)
    found = transport.solve(network, hidden, Processes(torch.device("cpu")), 400, epsilon=0.1, rounding="argmax")
    labels, confidence = transport.predict(network, hidden, found.potentials, 0.1)
    assert torch.equal(labels, found.labels)
    torch.testing.assert_close(confidence, found.confidence)
    scores = torch.stack([torch.from_numpy(transport.scores_of(network, head, hidden)[0:400]) for head in range(3)])
    result = otlabel.assign(scores, epsilon=0.1)
    assert torch.equal(transport.predict(network, hidden, result.potentials, 0.1)[0].T, result.predict(scores))
    plan = torch.from_numpy(result.plan(np.arange(400)) * 400)  # (heads, n, k)
    own = plan.gather(2, result.labels[:, :, None])[:, :, 0].T.float()
    balanced = transport.solve(network, hidden, Processes(torch.device("cpu")), 400, epsilon=0.1, rounding="balanced")
    assert torch.equal(balanced.labels.T, result.labels)
    torch.testing.assert_close(balanced.confidence, own)
