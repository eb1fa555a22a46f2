"""Balanced rounding: sizes exact, score optimal, gap honest."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import oracle
import pytest

import otlabel
from otlabel import backends
from otlabel._input.sources import InMemory
from otlabel._rounding import balance, whole_matrix_paths
from otlabel._rounding.capacities import Bounds, Capacities
from otlabel._solver.marginal import Marginal
from otlabel._solver.tuning import Tuning, tuned


def total(scores, labels):
    return float(np.asarray(scores, dtype=np.float64)[np.arange(len(labels)), labels].sum())


@pytest.mark.filterwarnings("ignore::otlabel.ConvergenceWarning")  # optimal labels do not need converged potentials
@pytest.mark.parametrize("case", range(120))
def test_equals_the_exact_optimum(backend, rng, case):
    """Any scale, ties, tiny shares, potentials from hardly any sweeps to many: the labels are optimal all the same."""
    n, k = int(rng.integers(1, 60)), int(rng.integers(1, 14))
    scores = rng.normal(size=(n, k)) * rng.choice([0.01, 1, 30, 1e3, 1e6, 1e9])
    if case % 2:
        scores = np.round(scores / np.abs(scores).max() * 5) * np.abs(scores).max() / 5  # ties
    shares = (np.full(k, 1 / k), rng.dirichlet(np.ones(k)), rng.dirichlet(np.full(k, 0.05)))[case % 3]
    b = shares / shares.sum()
    max_sweeps = int(rng.choice([1, 2, 20, 200]))
    result = otlabel.assign(scores, b=b, epsilon=0.2, max_sweeps=max_sweeps, backend=backend)
    lower, upper = oracle.size_limits(n, b)
    assert (result.sizes >= lower).all()
    assert (result.sizes <= upper).all()
    assert result.sizes.sum() == n
    best = oracle.best_balanced_score(scores, b)
    size = 1 + np.abs(scores).max()
    assert total(scores, result.labels) == pytest.approx(best, abs=1e-9 * size)
    assert abs(result.gap) <= 1e-9 * size / 0.2


def test_narrow_shortlists_reach_the_same_optimum(backend, rng):
    scores = rng.normal(size=(400, 12))
    dense = otlabel.assign(scores, epsilon=0.05, backend=backend)
    for width in (1e-3, 0.5, 8.0):
        with tuned(Tuning(whole_matrix=0, near_tie=width)):
            result = otlabel.assign(scores, epsilon=0.05, backend=backend)
        assert set(result.sizes) == {33, 34}
        assert total(scores, result.labels) == pytest.approx(total(scores, dense.labels), abs=1e-9)
        assert result.gap <= 1e-9


@pytest.mark.parametrize("case", range(8))
def test_the_search_of_the_whole_matrix_reaches_the_same_optimum(backend, rng, monkeypatch, case):
    """The way of items that are few and find no near ties; here of all items."""
    n, k = int(rng.integers(50, 300)), int(rng.integers(4, 20))
    scores = rng.normal(size=(n, k)) * 10.0 ** rng.uniform(-2, 3)
    scores[(rng.random((n, k)) < 0.1) & (case % 2 == 1)] = -np.inf
    scores[:, 0] = np.where(np.isinf(scores[:, 0]), 0.0, scores[:, 0])
    scores[:k] = np.where(np.isinf(scores[:k]), 0.0, scores[:k])
    b = rng.dirichlet(np.full(k, 5.0))
    options = {"epsilon": 0.5, "b": b, "tol": 2.0, "backend": backend}
    paths = Tuning(surplus=1.0)  # leave all of it to the paths
    with tuned(paths):
        dense = otlabel.assign(scores, **options)
    searched, move_one = [], whole_matrix_paths._Ways.move_one
    monkeypatch.setattr(whole_matrix_paths._Ways, "move_one", lambda ways: searched.append(1) or move_one(ways))
    with tuned(dataclasses.replace(paths, whole_matrix=0, near_tie=1e-3, few_items=n)):
        far = otlabel.assign(scores, **options)
    assert searched
    np.testing.assert_array_less(np.abs(far.sizes - n * b), 1)
    assert total(scores, far.labels) == pytest.approx(total(scores, dense.labels), rel=1e-12)
    assert abs(far.gap) <= 1e-12 * (1 + np.abs(scores[np.isfinite(scores)]).max() / 0.5)


def test_the_search_of_the_whole_matrix_says_when_there_is_no_way(backend, rng):
    scores = rng.normal(size=(40, 4))
    scores[:30, 2:] = -np.inf  # 30 items for two labels of 10 places
    with tuned(Tuning(whole_matrix=0)), pytest.raises(ValueError, match="sizes asked for cannot be met"):
        otlabel.assign(scores, tol=2.0, backend=backend)


def test_gap_of_worse_labels_is_what_they_lose(rng):
    """The certificate must be able to say no: swapping two items raises the gap by exactly the loss."""
    scores = rng.normal(size=(60, 5))
    result = otlabel.assign(scores, epsilon=1.0)
    kernels = backends.load("numpy").Kernels(InMemory(scores), 1.0, np.full(60, 1 / 60), 10.0)
    g = result.potentials.copy()
    marginal, bounds = Marginal.exactly(np.full(5, 0.2)), Bounds.of_shares(np.full(5, 0.2), 60)
    limits = Capacities.at(g, bounds, np.full(5, 12))
    labels, gap = balance.round_plan(kernels, g, marginal, bounds, np.ones(60), "balanced")
    short = kernels.shortlist(g, np.inf)
    bound = balance._gap(short, labels, np.ones(60, bool), limits, g)
    worse = labels.copy()
    i, j = 0, int(np.flatnonzero(labels != labels[0])[0])
    worse[[i, j]] = labels[[j, i]]
    loss = (total(scores, labels) - total(scores, worse)) / 60
    assert loss > 0
    assert balance._gap(short, worse, np.ones(60, bool), limits, g) == pytest.approx(bound + loss, abs=1e-12)
    assert bound >= gap - 1e-12


def test_bounds_are_floor_and_ceiling_and_shares_that_are_whole_up_to_rounding_count_as_whole():
    for items in Bounds.of_shares(np.full(10, 0.1), 30):
        np.testing.assert_array_equal(items, 3)
    least, most = Bounds.of_shares(np.array([0.1, 0.25, 0.65]), 30)
    np.testing.assert_array_equal(least, [3, 7, 19])
    np.testing.assert_array_equal(most, [3, 8, 20])


def test_spare_places_go_to_the_smallest_potentials_and_of_those_alike_where_items_are():
    bounds = Bounds(np.array([1, 0, 2, 0]), np.array([9, 4, 2, 3]))
    limits = Capacities.at(np.array([0.5, -1.0, 3.0, 0.0]), bounds, np.array([5, 4, 1, 0]))
    np.testing.assert_array_equal(limits.target, [1, 4, 2, 3])
    limits = Capacities.at(np.array([0.0, -1.0, 3.0, 0.0]), bounds, np.array([4, 4, 2, 0]))
    np.testing.assert_array_equal(limits.target, [4, 4, 2, 0])
    assert limits.hub == 0
    limits = Capacities.at(np.zeros(4), bounds, np.array([0, 0, 9, 1]))
    np.testing.assert_array_equal(limits.target, [7, 0, 2, 1])


def test_argmax_is_the_plan_s_argmax(backend, rng):
    scores = rng.normal(size=(500, 9))
    result = otlabel.assign(scores, rounding="argmax", backend=backend)
    np.testing.assert_array_equal(result.labels, result.plan(np.arange(500)).argmax(axis=1))
    assert np.isnan(result.gap)


def test_without_numba_the_labels_are_the_same(rng, tmp_path):
    """Rounding is compiled where it can be; interpreted it does the same, ties and bundles included."""
    scores = rng.normal(size=(90, 7))
    scores[::3] = scores[0]
    np.save(tmp_path / "scores.npy", scores)
    program = (
        "import sys; sys.modules['numba'] = None; import numpy, otlabel;"
        "print(*otlabel.assign(numpy.load(sys.argv[1]), backend='numpy').labels)"
    )
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, tmp_path / "scores.npy"],
        capture_output=True,
        text=True,
        check=True,
    )
    labels = otlabel.assign(scores, backend="numpy").labels
    np.testing.assert_array_equal(np.array(found.stdout.split(), dtype=int), labels)
