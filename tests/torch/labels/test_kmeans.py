"""k-means, against clusters that are known."""

from __future__ import annotations

import pytest
import torch

from otlabel_torch.labels.kmeans import kmeans


@pytest.mark.parametrize("settings", [{"in_batches": True, "starts": 3}, {"in_batches": False}])
def test_clusters_that_lie_apart_are_found_and_others_go_to_the_nearest(settings):
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(400) % 4
    centres = 20 * torch.eye(4)
    x = centres[truth] + torch.randn(400, 4, generator=generator)
    labels, others = kmeans(x, 4, 0, others=centres, **settings)
    assert labels.dtype == torch.int64
    assert torch.equal(others[truth], labels)
    assert sorted(others.tolist()) == [0, 1, 2, 3]


def test_fewer_rows_than_labels():
    labels, others = kmeans(torch.eye(3), 10, 0)
    assert sorted(labels.tolist()) == [0, 1, 2]
    assert others is None
