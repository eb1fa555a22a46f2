"""Conformance: every backend against the oracle, on fresh random input, by relative error.

For a backend of one's own: ``from test_kernels import *`` in a test file with a fixture ``backend``, as
test_own_backend.py does it.
"""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest

from otlabel.backends import numba
from otlabel.backends.gpu import kernels as gpu

DTYPES = ("float64", "float32", "float16", "int32", "int8", "uint8", "bool")
SHAPES = ((1, 1), (1, 7), (5, 1), (3, 2), (64, 10), (257, 33), (50, 1000))
LARGE = ((700, 300), (3000, 128))
WIDTHS = (0.0, 3.0, 14.0, np.inf)


@pytest.fixture(autouse=True, params=["one part", "many parts"])
def parts(request, monkeypatch):
    """Small inputs take the threaded path too, and are copied to a device in blocks."""
    if request.param == "many parts":
        monkeypatch.setattr(numba.Kernels, "sizes", numba.Sizes(part=50, labelled_part=50, converted=40))
        monkeypatch.setattr(gpu.Kernels, "sizes", gpu.Sizes(block=1 << 12, computed=1 << 13))


def random_scores(rng, shape, dtype):
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("float"):
        return (rng.normal(size=shape) * rng.choice([0.1, 1, 10])).astype(dtype)
    return rng.integers(0, 100, size=shape).astype(dtype)


def random_case(rng, shape, dtype="float64"):
    n, k = shape
    a = rng.random(n)
    return random_scores(rng, shape, dtype), a / a.sum(), rng.normal(size=k) * 3


def close(value, truth, naive, rest):
    """As good as a plain float64 computation, to a small factor, but for the rest that float32 may spoil."""
    truth = np.asarray(truth, dtype=np.float64)
    allowed = 8 * np.abs(np.asarray(naive) - truth).max() + 128 * np.finfo(float).eps * np.abs(truth).max() + rest
    assert np.abs(np.asarray(value) - truth).max() <= allowed


def naive_sweep(scores, epsilon, g, a):
    x = scores.astype(np.float64) / epsilon + g
    top = x.max(axis=1)
    q = np.exp(x - top[:, None])
    total = q.sum(axis=1)
    return a @ (top + np.log(total)), (a / total) @ q


def listed_part(scores, epsilon, g, width):
    """Which entries a survey lists."""
    x = scores.astype(np.float64) / epsilon + g
    return x >= x.max(axis=1, keepdims=True) - width


@pytest.mark.parametrize(
    ("shape", "width"), [*itertools.product(SHAPES, WIDTHS), *itertools.product(LARGE, WIDTHS[2:3])], ids=str
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_survey_agrees_with_oracle(backend, kernels_of, rng, shape, dtype, width):
    scores, a, g = random_case(rng, shape, dtype)
    epsilon = float(rng.choice([1 / 25, 0.1, 1.0, 50.0]))
    survey = kernels_of(scores, epsilon, a).survey(g, width, True)
    swept = survey.swept
    naive_lse, naive_c = naive_sweep(scores, epsilon, g, a)
    plan = oracle.plan(scores, epsilon, g, a)
    truth = plan.sum(axis=0)
    listed = listed_part(scores, epsilon, g, width)
    # What is not listed is summed in float32: so is its rounding of the exponents.
    float32 = 2.0**-22 * (np.abs(scores.astype(np.float64)).max() / epsilon + np.abs(g).max()) + 1e-6
    rest = float32 * float((plan * ~listed).sum()) if backend == "numba" else 0.0
    close(swept.logsumexp, oracle.logsumexp(scores, epsilon, g, a), naive_lse, rest)
    close(swept.c, truth, naive_c, rest)
    np.testing.assert_allclose(
        swept.log_c, np.log(truth).astype(float), rtol=1e-9 + 2 * float32 * (rest > 0), atol=1e-9
    )
    assert survey.density == pytest.approx(listed.mean(), abs=2 / listed.size)
    assert survey.cost >= 1
    if survey.squares is not None:
        # Float32 may take an entry at the edge for one that is listed, or not.
        surely, perhaps = (listed_part(scores, epsilon, g, width + doubt) for doubt in (-float32, float32))
        least, most = (((plan * part) ** 2 / a[:, None]).sum(axis=0).astype(float) for part in (surely, perhaps))
        slack = 1e-9 + 4 * float32
        assert (survey.squares >= (1 - slack) * least - 1e-15).all()
        assert (survey.squares <= (1 + slack) * most + 1e-15).all()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("shape", [*SHAPES, LARGE[0]], ids=str)
def test_rough_sweep_is_float32_s(kernels_of, rng, shape, dtype):
    scores, a, g = random_case(rng, shape, dtype)
    survey = kernels_of(scores, 0.5, a).survey(g, 20.0, False)
    truth = oracle.plan(scores, 0.5, g, a).sum(axis=0)
    allowed = 2.0**-21 * (np.abs(scores.astype(np.float64)).max() / 0.5 + np.abs(g).max()) + 2e-6
    allowed = allowed if survey.rough else 1e-7
    np.testing.assert_allclose(survey.swept.c, truth.astype(float), rtol=allowed, atol=1e-9)
    assert survey.swept.logsumexp == pytest.approx(float(oracle.logsumexp(scores, 0.5, g, a)), abs=allowed)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_sweep_of_listed_entries_agrees_with_oracle(kernels_of, rng, dtype):
    scores, a, g = random_case(rng, (160, 70), dtype)
    survey = kernels_of(scores, 0.5, a).survey(g, 4.0, True)
    new = g + rng.normal(size=70)
    listed = np.where(listed_part(scores, 0.5, g, 4.0), scores.astype(np.float64), -np.inf)
    logsumexp, c = survey.sweep(new)
    np.testing.assert_allclose(c, oracle.plan(listed, 0.5, new, a).sum(axis=0).astype(float), rtol=1e-12, atol=1e-17)
    np.testing.assert_allclose(logsumexp, float(oracle.logsumexp(listed, 0.5, new, a)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_lists_taken_from_lists_agree_with_oracle(kernels_of, rng, dtype):
    scores, a, g = random_case(rng, (160, 70), dtype)
    new = g + rng.normal(size=70)
    survey = kernels_of(scores, 0.5, a).survey(g, 6.0, True)
    narrow = survey.narrowed(new, 2.0) if survey.narrows else survey
    wide = np.where(listed_part(scores, 0.5, g, 6.0), scores.astype(np.float64), -np.inf)
    listed = np.where(listed_part(wide, 0.5, new, 2.0), wide, -np.inf) if survey.narrows else wide
    assert narrow.density == pytest.approx(np.isfinite(listed).mean(), abs=2 / listed.size)
    if narrow.squares is not None:
        squares = (oracle.plan(listed, 0.5, new, a) ** 2 / a[:, None]).sum(axis=0)
        np.testing.assert_allclose(narrow.squares, squares.astype(float), rtol=1e-12, atol=1e-17)
    np.testing.assert_allclose(
        narrow.sweep(g)[1], oracle.plan(listed, 0.5, g, a).sum(axis=0).astype(float), rtol=1e-12, atol=1e-17
    )


def test_scores_too_large_for_float32_are_swept_in_float64(kernels_of, rng):
    scores, a, g = random_case(rng, (60, 9))
    scores *= 1e30
    kernels = kernels_of(scores, 0.1, a)
    swept = kernels.survey(g, 14.0, True).swept
    np.testing.assert_allclose(swept.c, oracle.plan(scores, 0.1, g, a).sum(axis=0).astype(float), rtol=1e-12)
    np.testing.assert_array_equal(kernels.labels(g), scores.argmax(axis=1))


def test_sweep_where_columns_underflow(kernels_of, rng):
    scores, a, g = random_case(rng, (50, 6))
    g[2] -= 5000
    swept = kernels_of(scores, 1.0, a).survey(g, 14.0, True).swept
    lifted = oracle.plan(scores, 1.0, g, a)
    x = scores.astype(np.longdouble) + g
    top = x.max(axis=1)
    log_rows = np.log(a) + x[:, 2] - top - np.log(np.exp(x - top[:, None]).sum(axis=1))
    peak = log_rows.max()
    assert swept.c[2] < 1e-300
    assert lifted[:, 2].sum() < 1e-300
    np.testing.assert_allclose(swept.log_c[2], float(peak + np.log(np.exp(log_rows - peak).sum())), rtol=1e-12)


def test_label_out_of_use_gets_nothing(kernels_of, rng):
    scores, a, g = random_case(rng, (90, 8))
    g[3] = -np.inf
    kernels = kernels_of(scores, 0.1, a)
    swept = kernels.survey(g, 40.0, True).swept
    rest = np.delete(np.arange(8), 3)
    truth = oracle.plan(scores[:, rest], 0.1, g[rest], a).sum(axis=0)
    assert swept.c[3] == 0
    np.testing.assert_allclose(swept.c[rest], truth.astype(float), rtol=1e-12)
    assert not (kernels.labels(g) == 3).any()
    assert not (kernels.shortlist(g, np.inf).label == 3).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_and_shortlist_agree_with_dense_search(kernels_of, rng, dtype):
    scores, a, g = random_case(rng, (333, 21), dtype)
    if rng.random() < 0.5:
        g[:] = 0.0  # ties: the first label wins everywhere
    kernels = kernels_of(scores, 0.25, a)
    x = scores.astype(np.float64) * 4 + g
    np.testing.assert_array_equal(kernels.labels(g), x.argmax(axis=1))
    short = kernels.shortlist(g, 2.0)
    near = x >= x.max(axis=1, keepdims=True) - 2.0
    np.testing.assert_array_equal(short.best, x.max(axis=1))
    np.testing.assert_array_equal(np.diff(short.indptr), near.sum(axis=1))
    np.testing.assert_array_equal(short.label, np.nonzero(near)[1])
    np.testing.assert_array_equal(short.value, (scores.astype(np.float64) * 4)[near])
    np.testing.assert_array_equal(kernels.rows(np.array([7, 0, 7])), scores.astype(np.float64)[[7, 0, 7]] * 4)


def test_any_memory_layout_gives_the_same_bits(kernels_of, rng, monkeypatch):
    monkeypatch.setattr(gpu.Kernels, "sizes", gpu.Sizes(block=1 << 24))  # sums over blocks depend on where those end
    scores, a, g = random_case(rng, (301, 40), "float32")
    reference = kernels_of(scores, 0.1, a).survey(g, 2.0, True).swept
    wide = np.zeros((301, 80), np.float32)
    wide[:, ::2] = scores
    frozen = scores.copy()
    frozen.flags.writeable = False
    for layout in (np.asfortranarray(scores), wide[:, ::2], scores[::-1].copy()[::-1], frozen):
        swept = kernels_of(layout, 0.1, a).survey(g, 2.0, True).swept
        np.testing.assert_array_equal(swept.c, reference.c)
        assert swept.logsumexp == reference.logsumexp


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_cheapest_moves_to_each_label(rng, kernels_of, dtype):
    """Of labels with many items, some, one and none, all asked for at once."""
    n, k, epsilon = 400, 23, 0.07
    scores, a, _ = random_case(rng, (n, k), dtype)
    kernels = kernels_of(scores, epsilon, a)
    sizes = [0, 1, 2, 15, 16, 17, 150, 0, 1]
    order = np.split(rng.permutation(n)[: sum(sizes)], np.cumsum(sizes)[:-1])
    labels = rng.integers(0, k, len(sizes))
    least, which = kernels.regrets(order, labels)
    wide = scores.astype(np.float64) / epsilon
    for own, label, found, items in zip(order, labels, least, which, strict=True):
        if not len(own):
            assert (found == np.inf).all()
            continue
        regrets = wide[own, label][:, None] - wide[own]
        close(found, regrets.min(axis=0), regrets.min(axis=0), 1e-12 * np.abs(wide).max())
        assert np.isin(items, own).all()
        np.testing.assert_allclose(
            wide[items, label] - wide[items, np.arange(k)], found, atol=1e-12 * np.abs(wide).max()
        )
