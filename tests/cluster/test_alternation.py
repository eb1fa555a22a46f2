"""The alternation of labels and centres, piece by piece and on more points than it holds scores of."""

from __future__ import annotations

import numpy as np
import pytest

from otlabel._input.sources import InMemory
from otlabel._system import machine
from otlabel.backends import load
from otlabel.cluster import BalancedKMeans, alternation, centres


def test_means_of_labels_and_of_plans_are_numpy_s(rng, monkeypatch):
    monkeypatch.setattr(centres, "_BLOCK", 7)
    points, labels, weights = rng.normal(size=(50, 3)), rng.integers(0, 5, 50), rng.random(50)
    labels[labels == 4] = 3
    before = rng.normal(size=(5, 3))
    found = centres.means(points, labels, weights, before)
    for j in range(4):
        np.testing.assert_allclose(found[j], np.average(points[labels == j], axis=0, weights=weights[labels == j]))
    np.testing.assert_array_equal(found[4], before[4])  # nobody's
    squares = ((points - before[labels]) ** 2).sum(axis=1)
    assert centres.inertia(points, labels, weights, before) == pytest.approx(weights @ squares)

    scores, g = rng.normal(size=(50, 5)), rng.normal(size=5)
    kernels = load("numba").Kernels(InMemory(scores), 1.0, np.full(50, 1 / 50), float(np.abs(scores).max()))
    p = np.exp(scores + g)
    p *= (weights / p.sum(axis=1))[:, None]
    soft, mass = centres.soft_means(points, kernels, g, weights, before, np.inf)
    np.testing.assert_allclose(mass, p.sum(axis=0))
    np.testing.assert_allclose(soft, (p.T @ points) / p.sum(axis=0)[:, None])


def test_many_points_begin_with_a_sample_and_are_not_held(rng, monkeypatch):
    monkeypatch.setattr(alternation, "_SAMPLED", 200)
    monkeypatch.setattr(alternation, "_SAMPLED_ITEMS", 20)
    points = (rng.normal(size=(10, 4))[rng.integers(0, 10, 3000)] * 3 + rng.normal(size=(3000, 4))).astype("float32")
    held = BalancedKMeans(10, random_state=0).fit(points)
    monkeypatch.setattr(alternation, "HELD", 0)
    streamed = BalancedKMeans(10, random_state=0).fit(points)
    assert set(held.sizes_) == {300}
    assert set(streamed.sizes_) == {300}
    assert streamed.inertia_ == pytest.approx(held.inertia_, rel=0.03)  # other steps lead to another optimum
    monkeypatch.setattr(alternation, "_SAMPLED", 1 << 20)
    whole = BalancedKMeans(10, random_state=0).fit(points)
    assert held.inertia_ <= 1.1 * whole.inertia_


def test_centres_of_clouds_far_apart_do_not_become_one(rng):
    """Where clouds share no first centre a point's lead is warmer than all clouds are wide: a plan at it is flat."""
    points = (3 * rng.normal(size=(100, 32)))[rng.integers(0, 100, 10_000)] + rng.normal(size=(10_000, 32))
    soft = []
    model = BalancedKMeans(
        100, random_state=0, callback=lambda step: soft.append(step.sizes) if step.phase == "soft" else None
    ).fit(points)
    assert soft
    assert max(sizes.max() for sizes in soft) < 1000  # 10,000 where all centres are one
    assert set(model.sizes_) == {100}


def test_too_little_memory_names_the_points_and_what_to_do(rng, monkeypatch):
    monkeypatch.setattr(machine, "free_memory", lambda: 1e5)
    with pytest.raises(
        MemoryError, match=r"500 points in 50 clusters take too much memory: .* MiB are free\. .*sample"
    ):
        BalancedKMeans(50, random_state=0).fit(rng.normal(size=(500, 4)))


def test_soft_steps_end_where_only_the_plan_s_own_error_moves_centres(rng, monkeypatch):
    monkeypatch.setattr(alternation, "_SAMPLED", 500)
    monkeypatch.setattr(alternation, "_SAMPLED_ITEMS", 20)
    points = (20 * rng.normal(size=(50, 16)))[rng.integers(0, 50, 10_000)] + rng.normal(size=(10_000, 16))
    of_all = []
    BalancedKMeans(50, random_state=0, callback=lambda step: of_all.append(step.phase)).fit(points)
    assert of_all.count("soft") < 60  # of 100 that max_iter allows
