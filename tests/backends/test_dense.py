"""Dense sweeps of the numba backend, piece by piece, against plain float64."""

from __future__ import annotations

import functools
import tracemalloc

import numpy as np
import oracle
import pytest
from dense_cases import (
    DEEPEST,
    LABELS,
    SMALL_PARTS,
    STORAGES,
    bind,
    is_allowed,
    random_cases,
    random_potentials,
    random_scores,
    random_weights,
    same,
    softmax,
)
from scipy.special import logsumexp

from otlabel import LinearScores, ScoreSource
from otlabel._input.sources import InMemory
from otlabel._solver.tuning import DEFAULT
from otlabel._system import threads
from otlabel.backends import numba


@pytest.mark.parametrize("k", LABELS)
@pytest.mark.parametrize("dtype", STORAGES)
def test_sweep_is_float32_s(rng, dtype, k):
    for kernels, x, a in random_cases(rng, dtype, k):
        dense, largest = kernels.dense(), np.abs(x[np.isfinite(x)]).max()
        for g in filter(functools.partial(is_allowed, x, a=a), random_potentials(rng, k)):
            value, c, squares = dense.sweep(g)
            true, p = softmax(x + dense.rounded(g), a)
            exponent = dense.error(g) + 2.0**-22
            assert abs(value - true) <= exponent + 2.0**-22 * largest
            np.testing.assert_allclose(c, a[a > 0] @ p, rtol=2 * exponent, atol=2e-12)
            np.testing.assert_allclose(squares, a[a > 0] @ p**2, rtol=4 * exponent, atol=2e-12)
            assert (c[np.isneginf(g)] == 0).all()


@pytest.mark.parametrize("kind", ["normal", "forbidden"])
@pytest.mark.parametrize("shape", [(131, 17), (400, 64)])
def test_sweeps_of_scores_that_are_large_in_what_rows_share(rng, shape, kind):
    n, k = shape
    scores, shared, a = random_scores(rng, shape, "float64", kind), 1e9 * rng.normal(size=k), random_weights(rng, n)
    scores[0] = rng.normal(size=k)  # whose scores stand for what rows share
    unused = np.where(np.arange(k) % 5 == 4, -np.inf, 0.0) if kind == "normal" else np.zeros(k)
    kernels = bind(scores + shared, 1.0, a)
    dense = kernels.dense()
    assert dense.is_wide
    for g in (rng.normal(size=k) - shared + 7e8, unused - shared):
        rounded = dense.rounded(g)
        np.testing.assert_allclose(rounded + shared, g + shared, rtol=1e-6, atol=1e-6)
        x = (scores + shared).astype(np.longdouble) + rounded
        value, p = softmax(x, a)
        for objective, c in (dense.sweep(g)[:2], dense.precise(rounded)[0][:2]):
            assert objective == pytest.approx(float(value), abs=2e-6)
            np.testing.assert_allclose(c, (a[a > 0] @ p).astype(float), rtol=2e-5, atol=2e-12)
        counted = dense.count(g, 5.0)
        best = x[a > 0].argmax(axis=1)
        assert counted.best == pytest.approx(float(a[a > 0] @ x[a > 0].max(axis=1)), abs=2e-6)
        np.testing.assert_allclose(counted.wins, np.bincount(best, weights=a[a > 0], minlength=k), atol=1e-6)


def test_a_copy_without_what_rows_share_is_not_made_of_many_scores_or_where_it_would_not_help(rng, monkeypatch):
    scores = rng.normal(size=(50, 8))
    assert bind(scores + 1e9 * rng.normal(size=8), 1.0, np.full(50, 1 / 50)).dense() is not None
    assert bind(1e9 * scores, 1.0, np.full(50, 1 / 50)).dense() is None
    monkeypatch.setattr(numba.Kernels, "sizes", numba.Sizes(centred=399))
    assert bind(scores + 1e9 * rng.normal(size=8), 1.0, np.full(50, 1 / 50)).dense() is None


@pytest.mark.parametrize("k", LABELS)
@pytest.mark.parametrize("dtype", STORAGES)
def test_precise_is_float64_s(rng, dtype, k):
    for kernels, x, a in random_cases(rng, dtype, k):
        dense, largest = kernels.dense(), np.abs(x[np.isfinite(x)]).max()
        for g in filter(functools.partial(is_allowed, x, a=a), random_potentials(rng, k)):
            if rng.random() < 0.3:
                dense.sweep(g + rng.normal())
            swept, cost = dense.precise(g)
            true, p = softmax(x + g, a)
            blur = 1e-15 * (64 + largest + np.abs(g[np.isfinite(g)]).max())
            assert abs(swept.logsumexp - true) <= 4 * blur
            np.testing.assert_allclose(swept.c, a[a > 0] @ p, rtol=4 * blur, atol=1e-16)
            reached = np.isfinite(g) & np.isfinite(x[a > 0]).any(axis=0)
            rows = (x + g)[a > 0]
            columns = logsumexp(rows - logsumexp(rows, axis=1)[:, None] + np.log(a[a > 0])[:, None], axis=0)
            np.testing.assert_allclose(swept.log_c[reached], columns[reached], rtol=1e-12, atol=4 * blur)
            assert 1 <= cost <= 2


def test_precise_leaves_nothing_to_float32(rng):
    scores, g = rng.normal(size=(3000, 50)).astype(np.float32), rng.normal(size=50)
    a = rng.dirichlet(np.ones(3000))
    swept, cost = bind(scores, 3.0, a).dense().precise(g)
    truth = oracle.plan(scores, 1 / 3.0, g, a).sum(axis=0)
    np.testing.assert_allclose(swept.c, truth.astype(float), rtol=1e-13)
    np.testing.assert_allclose(swept.logsumexp, float(oracle.logsumexp(scores, 1 / 3.0, g, a)), rtol=1e-13)
    assert cost == 1


def test_sums_over_many_rows_stay_float64_s():
    """Equal rows: what is rounded off is rounded off in the same direction each time."""
    swept, _ = bind(np.full((300_000, 1), 0.7), 1.0, np.full(300_000, 1 / 300_000)).dense().precise(np.zeros(1))
    assert swept.c[0] == pytest.approx(1.0, abs=3e-13)
    assert swept.logsumexp == pytest.approx(0.7, abs=3e-13)


def test_all_labels_but_one_may_be_out_of_use(rng):
    dense, only = bind(rng.normal(size=(40, 5)), 1.0, np.full(40, 1 / 40)).dense(), np.full(5, -np.inf)
    only[3] = 0.0
    for _ in range(2):  # what is infinite has no differences
        for c in (dense.sweep(only)[1], dense.precise(only)[0].c, dense.count(only, 5.0).wins):
            np.testing.assert_allclose(c, [0, 0, 0, 1, 0], atol=1e-12)
        dense.sweep(np.zeros(5))


def test_potentials_may_be_changed_in_place_between_sweeps(rng):
    x, a, g = rng.normal(size=(40, 5)), np.full(40, 1 / 40), np.zeros(5)
    dense = bind(x, 1.0, a).dense()
    dense.sweep(g)
    g += 1000 * rng.normal(size=5)
    np.testing.assert_allclose(dense.precise(g)[0].c, a @ softmax(x + g, a)[1], rtol=1e-9, atol=1e-16)
    assert (dense._at == g).all()
    assert dense._at is not g


@pytest.mark.parametrize("every", [2, 7, 1000])
def test_some_of_the_rows_are_swept_as_if_they_were_all(rng, monkeypatch, every):
    monkeypatch.setattr(numba.Kernels, "sizes", SMALL_PARTS)
    scores, a, g = rng.normal(size=(5000, 9)), rng.random(5000), rng.normal(size=9)
    results = []
    for count in (1, 3):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        results.append(bind(scores, 1.0, a / a.sum()).dense().sweep(g, every))
    same(results)
    (logsumexp, c, squares), every_one = results[0], bind(scores, 1.0, a / a.sum()).dense().sweep(g)
    assert c.sum() == pytest.approx(1.0)
    assert logsumexp == pytest.approx(every_one[0], abs=0.3)
    np.testing.assert_allclose(c, every_one[1], atol=0.1)
    np.testing.assert_allclose(squares, every_one[2], atol=0.1)
    assert not (c == every_one[1]).all()


def test_where_those_some_weigh_nothing_all_are_swept(rng):
    scores, a = rng.normal(size=(400, 5)), np.full(400, 1 / 10)
    a[:390] = 0.0
    some, every_one = (bind(scores, 1.0, a).dense().sweep(np.zeros(5), every) for every in (5, 1))
    same([some, every_one])


def error_at(x, g, a, b):
    return np.abs(a[a > 0] @ softmax(x + g, a)[1] - b).sum()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (7, 40), (300, 17), (200, 65), (90, 160)], ids=str)
@pytest.mark.parametrize("dtype", STORAGES)
def test_climb_reaches_its_goal(rng, dtype, shape):
    scores, a = random_scores(rng, shape, dtype, "normal"), random_weights(rng, shape[0])
    scale = 5.0 / np.abs(scores.astype(float)).max()
    dense, b = bind(scores, scale, a).dense(), rng.dirichlet(np.full(shape[1], 2.0))
    for start in (np.zeros(shape[1]), 5 * rng.normal(size=shape[1])):
        g, sweeps = dense.climb(start, b, 1e-4, 500, DEFAULT)
        assert np.isfinite(g).all()
        assert 1 <= sweeps < 500
        assert error_at(scores * scale if dtype == "float64" else scores.astype(float) * scale, g, a, b) <= 1.05e-4


@pytest.mark.parametrize("far", [0.0, 30.0, 3000.0])
@pytest.mark.parametrize("evenness", [0.02, 1.0], ids=["shares down to nothing", "shares"])
def test_climb_keeps_to_its_limit_and_gives_back_the_best(rng, far, evenness):
    x, a = 20 * rng.normal(size=(80, 30)), np.full(80, 1 / 80)
    b, start = np.maximum(rng.dirichlet(np.full(30, evenness)), 1e-200), far * rng.normal(size=30)
    errors = []
    for limit in range(1, 40):
        g, sweeps = bind(x, 1.0, a).dense().climb(start, b / b.sum(), 1e-9, limit, DEFAULT)
        assert sweeps <= limit
        assert np.abs(g - start).max() <= limit * DEFAULT.widest
        errors.append(error_at(x, g, a, b / b.sum()))
    slack = bind(x, 1.0, a).dense().error(start) + 1e-5
    assert (np.diff(np.array(errors)) <= slack).all()  # the best of more sweeps is no worse


@pytest.mark.parametrize("k", LABELS)
@pytest.mark.parametrize("dtype", STORAGES)
def test_labels_are_the_first_of_the_best(rng, dtype, k):
    for kernels, x, _ in random_cases(rng, dtype, k):
        for g in random_potentials(rng, k):
            wide = kernels.source.array.astype(np.float64) * kernels.scale
            np.testing.assert_array_equal(kernels.labels(g), (wide + g).argmax(axis=1))
        scores = np.round(x * 3 / max(1e-9, np.abs(x[np.isfinite(x)]).max()))  # ties that any power of 2 keeps
        ties = numba.Kernels(InMemory(scores), 0.25, np.full(len(x), 1 / len(x)), 3.0)
        np.testing.assert_array_equal(ties.labels(np.zeros(k)), scores.argmax(axis=1))


def answers(kernels, g, b):
    """All that dense sweeps tell at g, after another."""
    dense = kernels.dense()
    first = dense.sweep(g)
    return [
        *first,
        *dense.sweep(g + 0.3),
        *dense.count(g, 20.0),
        *dense.precise(g)[0],
        *dense.climb(g, b, 1e-3, 20, DEFAULT),
    ]


@pytest.mark.parametrize("sizes", [numba.Sizes(), SMALL_PARTS], ids=["few parts", "many parts"])
def test_any_number_of_threads_gives_the_same_bits(rng, monkeypatch, sizes):
    monkeypatch.setattr(numba.Kernels, "sizes", sizes)
    scores, a, b = rng.normal(size=(9001, 65)).astype(np.float32), rng.random(9001), rng.dirichlet(np.ones(65))
    kernels, g, results = bind(scores, 5.0, a / a.sum()), rng.normal(size=65), []
    for count in (1, 2, 3, 1):
        monkeypatch.setattr(threads, "count", lambda count=count: count)
        results.append([*answers(kernels, g, b), kernels.labels(g)])
    same(results)


@pytest.mark.parametrize("sizes", [numba.Sizes(converted=5000), SMALL_PARTS], ids=["few parts", "many parts"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_any_layout_gives_the_same_bits(rng, monkeypatch, dtype, sizes):
    monkeypatch.setattr(numba.Kernels, "sizes", sizes)
    scores, a, b = rng.normal(size=(1301, 40)).astype(dtype), rng.random(1301), rng.dirichlet(np.ones(40))
    wide = np.zeros((1301, 80), dtype)
    wide[:, ::2] = scores
    frozen = scores.copy()
    frozen.flags.writeable = False
    layouts = (scores, np.asfortranarray(scores), wide[:, ::2], scores[::-1].copy()[::-1], frozen)
    same([answers(bind(layout, 5.0, a / a.sum()), b * 3, b) for layout in layouts])


class Computed(ScoreSource):
    """Scores that are not in memory."""

    def __init__(self, scores, read_ahead):
        self.scores, self.shape, self.read_ahead, self.asked = scores, scores.shape, read_ahead, 0

    def rows(self, index):
        self.asked += 1
        return self.scores[index]


@pytest.mark.parametrize("read_ahead", [False, True])
def test_small_sources_are_held_in_memory(rng, read_ahead):
    scores, a, b = rng.normal(size=(500, 30)).astype(np.float32), np.full(500, 1 / 500), np.full(30, 1 / 30)
    source = Computed(scores, read_ahead)
    kernels = numba.Kernels(source, 5.0, a, float(np.abs(scores).max()))
    same([answers(bind(scores, 5.0, a), b, b), answers(kernels, b, b)])
    assert source.asked == 1


def test_scores_of_a_layer_are_swept_too(rng):
    layer = LinearScores(rng.normal(size=(300, 8)), rng.normal(size=(20, 8)), rng.normal(size=20))
    scores, a, b = layer[0:300], np.full(300, 1 / 300), np.full(20, 1 / 20)
    same([answers(bind(scores, 1.0, a), b, b), answers(numba.Kernels(layer, 1.0, a, 100.0), b, b)])


def test_there_are_none_where_they_would_not_do(rng, monkeypatch):
    scores, a = rng.normal(size=(500, 30)), np.full(500, 1 / 500)
    assert bind(scores, DEEPEST / np.abs(scores).max(), a).dense() is not None
    assert bind(scores, 1.1 * DEEPEST / np.abs(scores).max(), a).dense() is None
    monkeypatch.setattr(numba.Kernels, "sizes", numba.Sizes(held=500 * 30 - 1))
    assert numba.Kernels(Computed(scores, False), 1.0, a, 10.0).dense() is None


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_large_arrays_are_not_copied(rng, dtype):
    scores, b = rng.random((20_000, 128)).astype(dtype), np.full(128, 1 / 128)
    kernels = bind(scores, 5.0, np.full(20_000, 1 / 20_000))
    ((_, block),) = kernels.blocks(0, 20_000)
    assert np.shares_memory(block, scores)
    dense = kernels.dense()
    dense.sweep(b)  # compiled
    dense.count(b, 10.0)
    dense.precise(b)
    tracemalloc.start()
    dense = kernels.dense()
    dense.sweep(b)
    dense.count(b, 10.0)
    dense.precise(b)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.3 * scores.nbytes  # 32 bytes a row
