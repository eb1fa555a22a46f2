"""What quantile steps count in dense sweeps of the numba backend, against sorting."""

from __future__ import annotations

import numpy as np
import pytest
from dense_cases import (
    LABELS,
    SMALL_PARTS,
    STORAGES,
    bind,
    random_cases,
    random_potentials,
    same,
)

from otlabel._solver.marginal import Marginal
from otlabel._solver.quantiles import quantile_step
from otlabel._system import threads
from otlabel.backends import numba
from otlabel.backends.numba_rows import EDGES


class Regrets:
    """What quantile steps are about, by sorting: how far each potential goes until its label has its share."""

    def __init__(self, x, a):
        self.a, top = a, np.sort(x, axis=1)[:, ::-1]
        self.best, self.winner = top[:, 0], x.argmax(axis=1)
        self.behind = self.best[:, None] - x
        self.lead = top[:, 0] - top[:, 1] if x.shape[1] > 1 else np.full(len(x), np.inf)
        self.wins = np.bincount(self.winner, weights=a, minlength=x.shape[1])

    def step(self, j, target):
        """The least change after which label j is the best of rows of that weight."""
        if target > self.wins[j]:
            others, need = self.winner != j, target - self.wins[j]
            return self._distance(self.behind[others, j], self.a[others], need)
        own = self.winner == j
        return -self._distance(self.lead[own], self.a[own], self.wins[j] - target)

    @staticmethod
    def _distance(distance, weight, need):
        order = np.argsort(distance)
        enough = np.flatnonzero(np.cumsum(weight[order]) >= need - 1e-12)
        return distance[order][enough[0]] if enough.size else np.inf


def edges_of(reach):
    """The distances that a count tells apart."""
    finest = max(0.1, reach / 1000)
    return np.geomspace(finest, max(reach, 2 * finest), EDGES)


@pytest.mark.parametrize("k", LABELS)
@pytest.mark.parametrize("dtype", STORAGES)
def test_count_finds_quantiles_to_a_bin(rng, dtype, k):
    for kernels, x, a in random_cases(rng, dtype, k):
        g, reach = random_potentials(rng, k)[rng.choice([1, 3])], float(rng.choice([1.0, 30.0, 500.0]))
        b = rng.dirichlet(np.ones(k))
        found, true = kernels.dense().count(g, reach), Regrets((x + g)[a > 0], a[a > 0])
        step = quantile_step(found, b)
        largest = np.abs(x[np.isfinite(x)]).max() + np.abs(g).max()
        rounding = 2.0**-21 * largest + 1e-5
        assert abs(found.best - a[a > 0] @ true.best) <= rounding
        if np.sort(true.lead)[0] <= rounding:
            continue  # float32 may see another winner
        np.testing.assert_allclose(found.wins, true.wins, rtol=1e-12, atol=1e-15)
        edges = edges_of(reach)
        for j in range(k):
            if abs(b[j] - true.wins[j]) < 1e-9:
                continue
            exact = true.step(j, b[j])
            assert np.sign(step[j]) == np.sign(exact) or abs(exact) < rounding
            bins = np.concatenate([[0.0], edges])
            above = np.searchsorted(edges, abs(exact) - rounding)  # the first edge that is not below
            below = np.searchsorted(edges, abs(exact) + rounding)
            assert bins[above] - 1e-5 * reach <= abs(step[j]) <= bins[min(below + 1, EDGES)] * (1 + 1e-6)


def test_count_is_exact_where_an_edge_falls_on_a_share():
    edges = edges_of(30.0)
    behind = np.concatenate([edges - 0.01, edges + 100])  # label 0 lacks that much in as many rows
    x = np.stack([-behind, np.zeros(16), np.full(16, -1e3)], axis=1)
    dense = bind(x, 1.0, np.full(16, 1 / 16)).dense()
    for e in range(EDGES):
        found, share = dense.count(np.zeros(3), 30.0), np.array([(e + 1) / 16, 1 - (e + 1) / 16, 0.0])
        np.testing.assert_allclose(quantile_step(found, share), [edges[e], -edges[e], 0.0], rtol=1e-12)
        np.testing.assert_array_equal(found.wins, [0, 1, 0])


@pytest.mark.parametrize("layout", ["C", "F"])
def test_a_sample_of_rows_is_counted_as_if_there_were_no_others(rng, layout):
    scores, a, g = np.asarray(rng.normal(size=(1000, 9)), order=layout), rng.random(1000), rng.normal(size=9)
    some = np.arange(1000) // 64 % 3 == 0
    found = bind(scores, 2.0, a / a.sum()).dense().count(g, 10.0, 3)
    truth = bind(np.ascontiguousarray(scores[some]), 2.0, a[some] / a[some].sum()).dense().count(g, 10.0)
    for one, other in zip(found, truth, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    a[some] = 0.0  # nothing is known of these: all are asked
    kernels = bind(scores, 2.0, a / a.sum())
    np.testing.assert_array_equal(kernels.dense().count(g, 10.0, 3).wins, kernels.dense().count(g, 10.0).wins)


def test_only_what_is_outside_of_an_interval_is_moved(rng):
    scores, a = rng.normal(size=(400, 7)) + np.arange(7), np.full(400, 1 / 400)
    dense, g = bind(scores, 1.0, a).dense(), np.zeros(7)
    found = dense.count(g, 10.0)
    wins = found.wins
    few, many = quantile_step(found, wins / 2), quantile_step(found, wins * 1.2)

    def step(least, most):
        between = Marginal(wins, least * wins, most * wins)
        return between.change(g, quantile_step(found, between.lower), quantile_step(found, between.upper))

    assert (step(0.5, 1.2) == 0).all()
    assert (step(1.2, 2.0) == many).all()  # to the nearer end
    assert (step(0.25, 0.5) == few).all()
    assert (many[wins > 0] > 0).all()
    assert (few[wins > 0] < 0).all()


def test_heavy_rows_count_as_much_as_their_copies(rng):
    scores, g = rng.normal(size=(60, 6)), rng.normal(size=6)
    copies = rng.integers(0, 5, 60)
    copies[0] = 1
    alone = bind(scores, 1.0, copies / copies.sum()).dense()
    copied = bind(np.repeat(scores, copies, axis=0), 1.0, np.full(copies.sum(), 1 / copies.sum())).dense()
    for one, other in zip(alone.count(g, 20.0), copied.count(g, 20.0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-12)
    for one, other in zip(alone.sweep(g), copied.sweep(g), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("every", [2, 7, 1000])
def test_some_of_the_rows_are_counted_as_if_they_were_all(rng, monkeypatch, every):
    monkeypatch.setattr(numba.Kernels, "sizes", SMALL_PARTS)
    scores, a, g = rng.normal(size=(5000, 9)), rng.random(5000), rng.normal(size=9)
    results = []
    for count in (1, 3):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        results.append(bind(scores, 1.0, a / a.sum()).dense().count(g, 20.0, every))
    same(results)
    some, every_one = results[0], bind(scores, 1.0, a / a.sum()).dense().count(g, 20.0)
    assert some.wins.sum() == pytest.approx(1.0)
    assert some.best == pytest.approx(every_one.best, abs=0.3)
    np.testing.assert_allclose(some.wins, every_one.wins, atol=0.1)
    assert not (some.wins == every_one.wins).all()


def test_where_those_some_weigh_nothing_all_are_counted(rng):
    scores, a = rng.normal(size=(400, 5)), np.full(400, 1 / 10)
    a[:390] = 0.0
    some, every_one = (bind(scores, 1.0, a).dense().count(np.zeros(5), 20.0, every) for every in (5, 1))
    same([some, every_one])
    np.testing.assert_allclose(some.wins, np.bincount(scores[390:].argmax(axis=1), minlength=5) / 10)
