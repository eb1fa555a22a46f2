"""Centres of equal clusters as heads: scores against an oracle, and clouds that are found."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from otlabel_torch.evaluation.metrics import nmi
from otlabel_torch.labels.assigners.clusters import COMPONENTS, prototypes
from otlabel_torch.labels.transport import partition


def clouds(n, k, width, *, apart, offset=0.0, seed=0):
    """Rows around k centres, as many around each, in coordinates of very unlike spread that vary together."""
    draw = np.random.default_rng(seed)
    truth = np.repeat(np.arange(k), n // k)
    rows = draw.normal(size=(n, width)) + apart * draw.normal(size=(k, width))[truth]
    mixed = rows @ (draw.normal(size=(width, width)) * 10.0 ** draw.uniform(-1, 1, width)) + offset
    return torch.from_numpy(mixed).float(), truth


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_scores_are_cosines_of_whitened_rows_and_centres_up_to_their_lengths(offset):
    x, _truth = clouds(600, 6, 20, apart=0.5, offset=offset)
    weight, bias = prototypes(x, 2, 6, 3)
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
    weight, bias = prototypes(x, 2, 20, 0)
    for head in range(2):
        found = partition(x @ weight[20 * head : 20 * head + 20].T + bias[20 * head : 20 * head + 20])
        assert np.bincount(found).tolist() == [50] * 20
        assert nmi(found[:, None], torch.from_numpy(truth)) > 80  # k-means of the coordinates as they are: 58
    assert not torch.equal(weight[:20], weight[20:])
    assert all(map(torch.equal, (weight, bias), prototypes(x, 2, 20, 0)))


def test_shares_other_than_equal_ones():
    x, _truth = clouds(400, 4, 8, apart=1.0)
    shares = np.array([[0.7, 0.1, 0.1, 0.1], [0.0, 0.5, 0.25, 0.25]])
    weight, bias = prototypes(x, 2, 4, 0, shares)
    assert torch.isfinite(weight).all()
    assert torch.isfinite(bias).all()
    assert not weight[4].any()  # the centre of a label without images
    sizes = np.bincount(partition(x @ weight[:4].T + bias[:4], shares[0]), minlength=4)
    assert sizes.tolist() == [280, 40, 40, 40]


@pytest.mark.parametrize(
    "rows", [torch.full((40, 5), 3.25), torch.eye(40, 5)[:, :1].expand(40, 5), torch.zeros(40, 300)]
)
def test_rows_that_do_not_vary_or_in_one_direction_only(rows):
    weight, bias = prototypes(rows, 1, 8, 0)
    assert weight.shape == (8, rows.shape[1])
    assert torch.isfinite(rows @ weight.T + bias).all()
    assert sorted(np.bincount(partition(rows @ weight.T + bias))) == [5] * 8


def test_more_coordinates_than_are_whitened():
    x = torch.from_numpy(
        np.random.default_rng(0).normal(size=(900, COMPONENTS + 50)) * np.r_[np.full(20, 9.0), np.ones(COMPONENTS + 30)]
    ).float()
    weight, bias = prototypes(x, 1, 9, 0)
    assert torch.isfinite(x @ weight.T + bias).all()
    assert np.linalg.matrix_rank(weight.double().numpy(), tol=1e-5) <= 9
