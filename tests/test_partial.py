"""Labels that are known already, and items that are better left without one; rows that can have none."""

from __future__ import annotations

import re

import numpy as np
import oracle
import pytest
from scipy.special import logsumexp

import otlabel
from otlabel import LinearScores


def wanted(scores, epsilon, known=None, coverage=None, bounds=None):
    """The best total of the unknown items: their extended scores, and bounds of all columns."""
    n, k = scores.shape
    known = np.full(n, -1) if known is None else known
    held, left = np.bincount(known[known >= 0], minlength=k), int((known < 0).sum())
    part = 1.0 if coverage is None else coverage
    share = (held.sum() + left * part) / k
    least, most = bounds or (np.full(k, np.floor(share + 1e-9)), np.full(k, np.ceil(share - 1e-9)))
    least, most = np.maximum(least - held, 0).astype(int), (most - held).astype(int)
    free = scores[known < 0]
    if coverage is not None:
        free = np.column_stack([free, epsilon * logsumexp(free / epsilon, axis=1)])
        none = left * (1 - part)
        least, most = np.append(least, int(none + 1e-9)), np.append(most, int(np.ceil(none - 1e-9)))
    return free, least, most


def agrees(result, scores, epsilon, **options):
    n, k = scores.shape
    known = options.get("known", np.full(n, -1))
    free, least, most = wanted(scores, epsilon, **options)
    labels = np.where(result.labels < 0, k, result.labels)[known < 0]
    best = oracle.best_score_between(free, least, most)
    assert free[np.arange(len(free)), labels].sum() == pytest.approx(best, abs=1e-6 * (1 + np.abs(free).sum()))
    np.testing.assert_array_equal(result.labels[known >= 0], known[known >= 0])
    np.testing.assert_array_equal(result.sizes, np.bincount(result.labels[result.labels >= 0], minlength=k))
    assert abs(result.gap) < 1e-9
    assert result.error <= 1e-4


def some_known(rng, labels, part=0.3):
    return np.where(rng.random(len(labels)) < part, labels, -1)


def test_known_labels_are_kept_and_the_rest_is_the_best_there_is(backend, rng):
    for _ in range(8):
        n, k = int(rng.integers(6, 100)), int(rng.integers(2, 6))
        scores, epsilon = rng.normal(size=(n, k)), float(10.0 ** rng.uniform(-1, 0.5))
        known = some_known(rng, rng.permutation(np.arange(n) % k))
        if (known < 0).any():
            agrees(otlabel.assign(scores, known=known, epsilon=epsilon, backend=backend), scores, epsilon, known=known)


def test_the_sure_are_labelled_and_the_others_are_not(backend, rng):
    for _ in range(8):
        n, k = int(rng.integers(6, 100)), int(rng.integers(2, 6))
        scores, epsilon = rng.normal(size=(n, k)), float(10.0 ** rng.uniform(-1, 0.5))
        coverage = float(rng.uniform(0.2, 0.95))
        result = otlabel.assign(scores, coverage=coverage, epsilon=epsilon, backend=backend)
        agrees(result, scores, epsilon, coverage=coverage)
        assert np.ptp(result.sizes) <= 1
        assert abs((result.labels >= 0).sum() - n * coverage) < 1


def test_both_at_once_and_with_bounds(rng):
    scores = rng.normal(size=(90, 4))
    known = some_known(rng, np.arange(90) % 4)
    agrees(otlabel.assign(scores, known=known, coverage=0.6, epsilon=0.5), scores, 0.5, known=known, coverage=0.6)
    bounds = np.full(4, 10), np.full(4, 40)
    result = otlabel.assign(scores, known=known, coverage=0.6, size_min=10, size_max=40, epsilon=0.5)
    agrees(result, scores, 0.5, known=known, coverage=0.6, bounds=bounds)
    result = otlabel.assign(scores, known=known, size_min=10, size_max=40, epsilon=0.5)
    agrees(result, scores, 0.5, known=known, bounds=bounds)


def test_a_constant_added_to_a_row_changes_nothing(rng):
    scores = rng.normal(size=(200, 5))
    first = otlabel.assign(scores, coverage=0.7, epsilon=0.3)
    moved = otlabel.assign(scores + 10 * rng.normal(size=(200, 1)), coverage=0.7, epsilon=0.3)
    np.testing.assert_array_equal(first.labels, moved.labels)
    np.testing.assert_allclose(first.potentials, moved.potentials, atol=1e-3)


def test_potentials_go_on_from_where_they_were(rng):
    """0 is the potential of no label, so that they say all: a solve that begins there has nothing to do."""
    scores = rng.normal(size=(500, 6)) + rng.normal(size=6)
    first = otlabel.assign(scores, coverage=0.5, epsilon=0.4, tol=1e-8)
    again = otlabel.assign(scores, coverage=0.5, epsilon=0.4, tol=1e-7, init=first.potentials)
    assert again.n_sweeps < 2
    np.testing.assert_array_equal(first.predict(scores), (scores / 0.4 + first.potentials).argmax(axis=1))
    assert first.predictor.shares.sum() == pytest.approx(1)


def test_features_files_heads_and_kinds_of_numbers(rng, tmp_path):
    features, weight = rng.normal(size=(300, 6)), rng.normal(size=(5, 6))
    scores = features @ weight.T
    options = dict(coverage=0.7, known=some_known(rng, np.arange(300) % 5, 0.1), epsilon=0.5)
    truth = otlabel.assign(scores, **options)
    np.testing.assert_array_equal(otlabel.assign(LinearScores(features, weight), **options).labels, truth.labels)
    np.save(tmp_path / "scores.npy", scores)
    np.testing.assert_array_equal(
        otlabel.assign(np.load(tmp_path / "scores.npy", mmap_mode="r"), **options).labels, truth.labels
    )
    blocks = otlabel.assign(iter([scores[:100], scores[100:]]), **options)
    np.testing.assert_array_equal(blocks.labels, truth.labels)
    heads = otlabel.assign(np.stack([scores, -scores]), coverage=0.7, epsilon=0.5)
    np.testing.assert_array_equal(heads.labels[1], otlabel.assign(-scores, coverage=0.7, epsilon=0.5).labels)
    for dtype in (np.float16, np.int8):
        narrow = (4 * scores).astype(dtype)
        agrees(otlabel.assign(narrow, coverage=0.7), narrow.astype(np.float64), 1 / 25, coverage=0.7)


def test_plans_of_known_and_of_unsure_items(rng):
    scores, known = rng.normal(size=(40, 3)), np.full(40, -1)
    known[:5] = [0, 1, 2, 0, 1]
    result = otlabel.assign(scores, known=known, coverage=0.5, epsilon=1.0)
    plan = result.plan(np.arange(40))
    np.testing.assert_array_equal(plan[:5], np.eye(3)[known[:5]] / 40)
    extended = np.column_stack([scores, logsumexp(scores, axis=1)])
    truth = oracle.plan(extended[5:], 1.0, np.append(result.potentials, 0.0), np.full(35, 1 / 40))
    np.testing.assert_allclose(plan[5:], np.asarray(truth[:, :3], dtype=float), rtol=1e-9)


def test_weights_of_known_items_count_where_labels_are_the_plan_s_argmax(rng):
    scores, a = rng.normal(size=(400, 4)), rng.dirichlet(np.full(400, 5.0))
    known = some_known(rng, np.arange(400) % 4)
    result = otlabel.assign(scores, a=a, known=known, rounding="argmax", epsilon=0.5, tol=1e-7)
    np.testing.assert_allclose(result.plan(np.arange(400)).sum(axis=0), 0.25, atol=1e-7)


def test_rows_that_do_not_count_may_have_no_label(backend, rng):
    scores = rng.normal(size=(60, 4)).astype(np.float32)
    scores[[3, 50]] = -np.inf
    a = np.ones(60)
    a[[3, 50]] = 0
    for rounding in ("balanced", "argmax"):
        result = otlabel.assign(scores, a=a / a.sum(), rounding=rounding, backend=backend)
        np.testing.assert_array_equal(result.labels[[3, 50]], -1)
        alone = otlabel.assign(scores[a > 0], rounding=rounding, backend=backend)
        np.testing.assert_array_equal(result.labels[a > 0], alone.labels)
        assert result.sizes.sum() == 58


def test_known_labels_that_are_full_may_be_all_that_their_rows_allow(rng):
    """The label is out of use for the others then, and those rows have no score that matters."""
    scores, known = rng.normal(size=(40, 4)), np.full(40, -1)
    known[:10] = 0
    scores[:10, 1:] = -np.inf
    result = otlabel.assign(scores, known=known)
    np.testing.assert_array_equal(result.labels[:10], 0)
    np.testing.assert_array_equal(result.sizes, 10)
    np.testing.assert_array_equal(result.plan([0]), [[1 / 40, 0, 0, 0]])


ERRORS = {
    "shape": (dict(known=np.zeros(3, dtype=int)), "known must have shape (20,), a label an item or -1, got (3,)"),
    "label": (dict(known=np.full(20, 4)), "known must be labels from 0 to 3, or -1, got 4 in row 0"),
    "below": (dict(known=np.full(20, -2)), "known must be labels from 0 to 3, or -1, got -2 in row 0"),
    "all": (dict(known=np.arange(20) % 4), "known must leave items to be labelled"),
    "too many": (
        dict(known=np.array([2] * 6 + [-1] * 14)),
        "known gives label 2 6 items, but 5 is the most that it is to have",
    ),
    "too many for bounds": (
        dict(known=np.array([2] * 6 + [-1] * 14), size_max=[20, 20, 3, 20]),
        "known gives label 2 6 items, but 3 is the most",
    ),
    "coverage": (dict(coverage=1.5), "coverage must be at most 1, all items, got 1.5"),
    "coverage 0": (dict(coverage=0), "coverage must be a positive number"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_is_wrong(case, rng):
    arguments, message = ERRORS[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        otlabel.assign(rng.normal(size=(20, 4)), **arguments)


def test_errors_of_known_labels_that_cannot_be(rng):
    scores, known = rng.normal(size=(20, 4)), np.full(20, -1)
    known[7] = 2
    scores[7, 2] = -np.inf
    with pytest.raises(ValueError, match="row 7 has a score of -inf for its label 2"):
        otlabel.assign(scores, known=known)
    with pytest.raises(ValueError, match="known takes scores"):
        otlabel.assign(np.zeros((2, 20, 4)), known=known)
    with pytest.raises(TypeError, match="known must hold whole numbers"):
        otlabel.assign(scores, known=known.astype(float))
    with pytest.raises(ValueError, match="known leaves 1 items, but to have their shares the labels still need 2 at"):
        otlabel.assign(rng.normal(size=(7, 5)), known=np.array([0, 0, 1, 1, 2, 2, -1]))


def test_coverage_of_all_is_no_coverage(rng):
    scores = rng.normal(size=(50, 5))
    np.testing.assert_array_equal(otlabel.assign(scores, coverage=1.0).labels, otlabel.assign(scores).labels)


def test_bounds_may_leave_no_place_for_items_without_a_label(rng):
    scores = rng.normal(size=(10, 2))
    result = otlabel.assign(scores, size_min=5, coverage=0.95)
    np.testing.assert_array_equal(result.sizes, [5, 5])
    np.testing.assert_array_equal(result.labels, otlabel.assign(scores).labels)


def test_sizes_that_cannot_be_with_known_labels_and_coverage_are_an_error():
    for known, k in (([0, 0, 1, 1, -1, -1], 4), ([0, 1, -1, -1, -1, -1, 0, 1, -1], 6)):
        with pytest.raises(ValueError, match=r"known (leaves|gives)"):
            otlabel.assign(np.zeros((len(known), k)), known=np.array(known), coverage=0.5)


def test_a_large_constant_leaves_the_same_items_out(rng):
    """In float32 too, whose rounding of the constant is more than what is compared."""
    scores = rng.normal(size=(2000, 10)).astype(np.float32) + np.float32(2.0**17)
    narrow, wide = (otlabel.assign(kind, coverage=0.8) for kind in (scores, scores.astype(np.float64)))
    assert (narrow.labels != wide.labels).mean() < 0.005
    agrees(narrow, scores.astype(np.float64), 1 / 25, coverage=0.8)


def test_potentials_of_before_are_a_start_where_a_label_was_full(rng):
    scores, known = rng.normal(size=(10, 2)), np.append(np.zeros(5, dtype=int), np.full(5, -1))
    first = otlabel.assign(scores, known=known)
    assert first.potentials[0] == -np.inf
    again = otlabel.assign(scores, known=known, init=first.potentials)
    np.testing.assert_array_equal(again.labels, first.labels)


def test_known_items_of_unequal_weights_must_fit_too(rng):
    scores, a = rng.normal(size=(30, 3)), rng.dirichlet(np.full(30, 5.0))
    known = np.append(np.zeros(25, dtype=int), np.full(5, -1))
    with pytest.raises(ValueError, match=r"known gives label 0 a weight of .*, but its share is 0.333"):
        otlabel.assign(scores, a=a, known=known)
    with pytest.raises(ValueError, match=r"known gives label 2 a weight of .*, but its share is 0"):
        otlabel.assign(scores, a=a, b=[0.5, 0.5, 0], known=np.append(2, np.full(29, -1)))
