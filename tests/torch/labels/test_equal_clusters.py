"""Centres of equal clusters as heads: scores against an oracle, and clouds that are found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from otlabel_torch.evaluation.metrics import nmi
from otlabel_torch.images.images import Source, load
from otlabel_torch.labels.assigners import clusters as module
from otlabel_torch.labels.assigners.base import Context
from otlabel_torch.labels.assigners.clusters import COMPONENTS, Clusters, prototypes
from otlabel_torch.labels.look import labelling_views, look
from otlabel_torch.labels.transport import partition, predict
from otlabel_torch.network.collect import collect
from otlabel_torch.options.config import Config
from otlabel_torch.runs.resolve import resolve
from otlabel_torch.system.processes import Processes
from otlabel_torch.training.state import start


def clouds(n, k, width, *, apart, offset=0.0, seed=0):
    """Rows around k centres, as many around each, in coordinates of very unlike spread that vary together."""
    draw = np.random.default_rng(seed)
    truth = np.repeat(np.arange(k), n // k)
    rows = draw.normal(size=(n, width)) + apart * draw.normal(size=(k, width))[truth]
    mixed = rows @ (draw.normal(size=(width, width)) * 10.0 ** draw.uniform(-1, 1, width)) + offset
    return torch.from_numpy(mixed).float(), truth


def labelled(x, weight, bias, shares=None):
    """With the bias as one more coordinate."""
    return partition(F.pad(x, (0, 1), value=1.0), torch.cat([weight, bias[:, None]], dim=1), shares)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_scores_are_cosines_of_whitened_rows_and_centres_up_to_their_lengths(offset):
    x, _truth = clouds(600, 6, 20, apart=0.5, offset=offset)
    weight, bias = prototypes(x, 2, 6, (3,))
    assert (weight.shape, bias.shape) == ((12, 20), (12,))
    scores = (x @ weight.T + bias).double().numpy()
    exact = x.double().numpy()
    apart = exact - exact.mean(0)
    values, vectors = np.linalg.eigh(apart.T @ apart / len(x))
    white = apart @ vectors / np.sqrt(values)
    lengths = np.linalg.norm(white, axis=1)
    # Centres, as whitened coordinates: what the weights are in them, unit vectors over the mean length.
    centres = weight.double().numpy() @ vectors * np.sqrt(values)
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1) * lengths.mean(), 1, rtol=1e-4)
    np.testing.assert_allclose(scores, white @ centres.T, atol=2e-4 * np.abs(scores).max())
    assert np.abs(scores).max() < lengths.max() / lengths.mean() + 1e-3


def test_clouds_are_found_whatever_their_coordinates_and_heads_differ():
    x, truth = clouds(1000, 20, 30, apart=1.5, seed=1)
    weight, bias = prototypes(x, 2, 20, (0, 5))
    for head in range(2):
        found = labelled(x, weight[20 * head : 20 * head + 20], bias[20 * head : 20 * head + 20])
        assert np.bincount(found).tolist() == [50] * 20
        assert nmi(found[:, None], torch.from_numpy(truth)) > 80  # k-means of the coordinates as they are: 58
    assert not torch.equal(weight[:20], weight[20:])
    assert all(map(torch.equal, (weight, bias), prototypes(x, 2, 20, (0, 5))))


def test_shares_other_than_equal_ones():
    x, _truth = clouds(400, 4, 8, apart=1.0)
    shares = np.array([[0.7, 0.1, 0.1, 0.1], [0.0, 0.5, 0.25, 0.25]])
    weight, bias = prototypes(x, 2, 4, (0,), shares)
    assert torch.isfinite(weight).all()
    assert torch.isfinite(bias).all()
    assert not weight[4].any()  # the centre of a label without images
    sizes = np.bincount(labelled(x, weight[:4], bias[:4], shares[0]), minlength=4)
    assert sizes.tolist() == [280, 40, 40, 40]


@pytest.mark.parametrize(
    "rows", [torch.full((40, 5), 3.25), torch.eye(40, 5)[:, :1].expand(40, 5), torch.zeros(40, 300)]
)
def test_rows_that_do_not_vary_or_in_one_direction_only(rows):
    weight, bias = prototypes(rows, 1, 8, (0,))
    assert weight.shape == (8, rows.shape[1])
    assert torch.isfinite(rows @ weight.T + bias).all()
    assert sorted(np.bincount(labelled(rows, weight, bias))) == [5] * 8


def test_the_widest_components_are_whitened_and_no_others():
    draw = np.random.default_rng(0)
    spread = np.sort(draw.uniform(1, 9, COMPONENTS + 50))[::-1]
    mixed = np.linalg.qr(draw.normal(size=(len(spread), len(spread))))[0]
    exact = draw.normal(size=(2000, len(spread))) * spread @ mixed.T + 3
    weight, _bias = prototypes(torch.from_numpy(exact).float(), 2, 9, (0,))
    _values, vectors = np.linalg.eigh(np.cov(exact.T))
    parts = weight.double().numpy() @ vectors
    lengths = np.linalg.norm(parts, axis=0) / np.linalg.norm(parts)
    assert lengths[:50].max() < 1e-5
    assert lengths[50:].min() > 1e-3


def test_starts_are_not_those_of_another_head_at_another_time():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 10))).float()
    found = {
        (seed, epoch, head): weight
        for seed in range(2)
        for epoch in range(3)
        for head, weight in enumerate(prototypes(x, 3, 40, (seed, epoch))[0].split(40))
    }
    assert len({tuple(weight.flatten().tolist()) for weight in found.values()}) == len(found)


def test_rows_of_a_sample_are_random_and_enough(monkeypatch):
    """Classes that alternate: an even stride would see one of them only."""
    seen = []
    monkeypatch.setattr(module, "prototypes", lambda x, *rest: seen.append(x) or prototypes(x, *rest))
    images = load(Source("digits", None, 8))[0].of(torch.arange(1500))
    config = resolve(Config(image_size=8, k=3, heads=1, epochs=1, assigner="clusters"), 1500, 8)
    alone = Processes(torch.device("cpu"))
    network = start(config, images, alone).network
    values = (torch.arange(1500) % 5).float()[:, None] + torch.rand(1500, network.width)
    found = Clusters().solve(Context(config, network, images, alone, 0, values))
    assert np.bincount(found.labels[:, 0]).tolist() == [500] * 3
    (some,) = seen
    assert len(some) == 300
    assert np.bincount(some.min(dim=1).values.int()).min() > 30


def test_the_last_clusters_are_of_what_heads_see_and_label_other_images():
    """The others are of features, of images and views."""
    images = load(Source("digits", None, 8))[0].of(torch.arange(200))
    config = resolve(Config(image_size=8, k=4, heads=2, epochs=3, views=2, assigner="clusters"), 200, 8)
    alone = Processes(torch.device("cpu"))
    network = start(config, images, alone).network
    earlier, last = (look(Clusters, config, network, images, alone, epoch=epoch, seed=1) for epoch in (2, 3))
    views = labelling_views(config, 1)
    mean = (collect(network, images, alone) + config.views * collect(network, images, alone, views=views)) / 3
    torch.testing.assert_close(earlier.values, mean, rtol=1e-5, atol=1e-6)
    assert torch.equal(last.values, collect(network, images, alone, layer="hidden", views=views))
    plain = look(Clusters, dataclasses.replace(config, views=0), network, images, alone, epoch=2, seed=1)
    assert torch.equal(plain.values, collect(network, images, alone))
    found = Clusters().solve(earlier)
    assert not torch.equal(found.labels, Clusters().solve(dataclasses.replace(earlier, epoch=1)).labels)
    final = Clusters().solve(last)
    labels, _sure = predict(network, last.values, final.potentials, config.epsilon)
    assert (labels == final.labels).float().mean() > 0.97  # all but near ties
