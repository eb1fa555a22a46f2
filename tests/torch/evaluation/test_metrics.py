"""Neighbours and the agreement of labels, against something independent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from otlabel_torch.evaluation import metrics
from otlabel_torch.evaluation.knn import weighted_knn
from otlabel_torch.system.processes import Processes

ALONE = Processes(torch.device("cpu"))


def test_weighted_knn_agrees_with_scikit_learn():
    digits = load_digits()
    x, y = torch.from_numpy(digits.data).float(), torch.from_numpy(digits.target).long()
    peer = KNeighborsClassifier(10, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.1))
    expected = 100 * peer.fit(x[:1000], y[:1000]).score(x[1000:], y[1000:])
    assert weighted_knn(x[:1000], y[:1000], (x[1000:], y[1000:])) == [pytest.approx(expected, abs=1e-9)]


def test_leave_one_out_never_sees_the_image_itself():
    x = torch.eye(40)  # every image alone in its direction: its own class is no help
    y = torch.arange(40) % 2
    assert weighted_knn(x, y, None)[0] < 90
    pairs = torch.cat([x, x])
    assert weighted_knn(pairs, torch.cat([y, y]), None) == [100]


def test_agreement_is_100_for_renamed_labels_and_near_0_for_random_ones():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 8, (4000, 2), generator=generator)
    renamed = (labels + 3) % 8
    same = metrics.agreement(labels, renamed)
    assert same["nmi"] == pytest.approx(100)
    assert same["ami"] == pytest.approx(100)
    other = metrics.agreement(labels, torch.randint(0, 8, (4000,), generator=generator))
    assert abs(other["ami"]) < 1
