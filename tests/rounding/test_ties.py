"""Rounding where scores leave a choice: rows that are the same, or nearly, by the thousand."""

from __future__ import annotations

import dataclasses

import numpy as np
import oracle
import pytest

import otlabel
from otlabel import backends
from otlabel._input.sources import InMemory
from otlabel._rounding import balance, near_tie_paths, search
from otlabel._rounding import bundles as heaps
from otlabel._rounding.bundles import Bundles, make_known, move
from otlabel._rounding.capacities import Bounds, Capacities
from otlabel._rounding.search import SIZE, Graph
from otlabel._solver.tuning import Tuning, tuned

KINDS = {
    "equal": lambda rng, n, k: np.zeros((n, k)),
    "alike": lambda rng, n, k: np.tile(rng.normal(size=k), (n, 1)),
    "1e-9 apart": lambda rng, n, k: rng.normal(size=k) + 1e-9 * rng.normal(size=(n, k)),
    "1e-13 apart": lambda rng, n, k: rng.normal(size=k) + 1e-13 * rng.normal(size=(n, k)),
    "half blank": lambda rng, n, k: np.where(rng.random((n, 1)) < 0.5, 0.0, rng.normal(size=(n, k))),
    "half the same": lambda rng, n, k: np.where(rng.random((n, 1)) < 0.5, rng.normal(size=k), rng.normal(size=(n, k))),
    "few rows": lambda rng, n, k: rng.normal(size=(5, k))[rng.integers(0, 5, n)],
    "whole numbers": lambda rng, n, k: rng.integers(0, 3, size=(n, k)) * 1.0,
    "one label only": lambda rng, n, k: np.where(np.arange(k) == 0, 1.0, 0.0) * rng.integers(0, 2, size=(n, 1)),
}


@pytest.mark.filterwarnings("ignore::otlabel.ConvergenceWarning")
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_exact_whatever_is_tied(backend, rng, kind, narrow):
    """Against SciPy; with lists of the whole matrix, and with lists that are too short at first."""
    for _ in range(3):
        n, k = int(rng.integers(100, 400)), int(rng.integers(2, 20))
        scores = KINDS[kind](rng, n, k)
        b = rng.dirichlet(np.full(k, 2.0)) if rng.random() < 0.5 else np.full(k, 1 / k)
        lists = dataclasses.replace(Tuning(), whole_matrix=0, ties=2, near_tie=0.1) if narrow else Tuning()
        with tuned(lists):
            result = otlabel.assign(scores, b=b, backend=backend)
        lower, upper = oracle.size_limits(n, b)
        assert ((lower <= result.sizes) & (result.sizes <= upper)).all()
        found = scores[np.arange(n), result.labels].sum()
        assert found == pytest.approx(oracle.best_balanced_score(scores, b), abs=1e-11 * n)
        assert abs(result.gap) <= 1e-10


@pytest.mark.parametrize("kind", ["half the same", "whole numbers", "1e-9 apart"])
def test_ways_are_forgotten_and_made_known_again_where_labels_are_very_many(rng, monkeypatch, kind):
    n, k, made = 1200, 150, []
    known = near_tie_paths.Bundles.of
    monkeypatch.setattr(near_tie_paths.Bundles, "of", lambda *a, **o: made.append(known(*a, **o)) or made[-1])
    for _ in range(10):  # some of whole numbers are balanced before so many labels are looked at
        scores = KINDS[kind](rng, n, k)
        with tuned(Tuning(largest_square=4, surplus=1.0)):
            result = otlabel.assign(scores, tol=1.0, backend="numba")
        best = oracle.best_balanced_score(scores, np.full(k, 1 / k))
        assert scores[np.arange(n), result.labels].sum() == pytest.approx(best, abs=1e-9)
        if any(bundles.held.size == 64 and (bundles.held >= 0).all() for bundles in made):
            return
    pytest.fail("no problem had ways to forget")


@pytest.mark.parametrize("alike", [False, True])
def test_heaps_know_the_cheapest_item_of_every_way(rng, alike):
    """Through a thousand moves of parts of bundles, against a look at all items."""
    n, k = 60, 6
    scores = rng.integers(0, 3, size=(12, k)).astype(float)
    scores[rng.random((12, k)) < 0.3] = -np.inf
    scores[:, :2] = 0.0  # somewhere to be, and somewhere to go
    scores = scores[rng.integers(0, 12, n)]
    kernels = backends.load("numpy").Kernels(InMemory(scores), 1.0, np.full(n, 1 / n), 3.0)
    short, labels, counted = kernels.shortlist(np.zeros(k), np.inf), np.zeros(n, dtype=np.int64), rng.random(n) < 0.9
    limits = Capacities.at(
        np.zeros(k), Bounds.of_shares(np.full(k, 1 / k), int(counted.sum())), np.bincount(labels[counted], minlength=k)
    )
    graph = Graph.of(np.bincount(labels[counted], minlength=k), np.zeros(k), limits, k)
    bundles = Bundles.of(labels, counted, short, k, k, alike=alike)
    indptr, label, value, facts, first, below, key, links, tops, held, clock = bundles
    assert (facts[heaps.MANY] > 1).any() == alike
    moves = 0
    while moves < 1000:
        u, v = rng.integers(0, k, size=2)
        if graph.slot[u] < 0:
            ways = graph.least, graph.ways, graph.degree, graph.slot
            make_known(indptr, label, value, facts, first, key, links, tops, held, clock, *ways, int(u))
        for w in range(k):
            own = np.flatnonzero(counted & (labels == u) & (scores[:, w] > -np.inf) & (np.diff(indptr) > 1))
            cheapest = (scores[own, u] - scores[own, w]).min(initial=np.inf)
            known = graph.least[graph.slot[u], w] if tops[graph.slot[u], w] >= 0 else np.inf
            assert known == (cheapest if w != u else np.inf)
        if u != v and tops[graph.slot[u], v] >= 0:
            b = int(links[heaps.OWNER, tops[graph.slot[u], v]])
            many = int(rng.integers(1, facts[heaps.MANY, b] + 1))
            ways = graph.least, graph.ways, graph.degree, graph.slot
            move(
                indptr, label, value, facts, first, below, key, links, tops, *ways, graph.sizes, labels, b, int(v), many
            )
            np.testing.assert_array_equal(graph.sizes[SIZE], np.bincount(labels[counted], minlength=k))
        moves += 1
    assert search.UNSURE < search.NOWHERE < search.ENOUGH < 0  # what a label can never be


def test_rows_of_few_kinds_are_moved_kind_by_kind(rng, monkeypatch):
    """The same embeddings differ in their last bits once a matrix product has made scores of them, block by block."""
    monkeypatch.setattr(balance, "solve", lambda *arguments, **options: pytest.fail("it went colder"))
    scores = 1000 + rng.normal(size=(4000, 100))
    scores[::2] = (1000 + rng.normal(size=100)) * (1 + 1e-9 * rng.integers(0, 3, size=(2000, 1)))
    found = otlabel.assign(scores, epsilon=0.1)
    assert set(found.sizes) == {40}
    assert found.gap <= 1e-9
    assert found.n_sweeps < 100
