"""Sizes between bounds: exact against SciPy, the plan against the textbook iteration with bounds."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import oracle
import pytest

import otlabel
from otlabel import LinearScores
from otlabel._solver.tuning import DEFAULT, tuned


def random_bounds(rng, n, k):
    """(least, most), of which some labelling of n items keeps to."""
    sizes = rng.multinomial(n, rng.dirichlet(np.ones(k)))
    return np.maximum(sizes - rng.integers(0, n // k + 2, k), 0), sizes + rng.integers(0, n // k + 2, k)


def random_scores(rng, n, k):
    spread = 10.0 ** rng.uniform(-2, 1)
    scores = spread * rng.normal(size=(n, k)) + 10.0 ** rng.uniform(-2, 1) * rng.normal(size=k)
    return np.round(scores) if rng.random() < 0.2 else scores  # ties


def has_the_best_total(result, scores, least, most, *, epsilon):
    best = oracle.best_score_between(scores, least, most)
    total = scores[np.arange(len(scores)), result.labels].sum()
    largest = np.abs(scores[np.isfinite(scores)]).max()
    assert total == pytest.approx(best, abs=1e-9 * (1 + largest * len(scores)))
    assert (result.sizes >= least).all()
    assert (result.sizes <= most).all()
    np.testing.assert_array_equal(result.sizes, np.bincount(result.labels, minlength=len(result.sizes)))
    assert abs(result.gap) <= 1e-11 * (1 + largest / epsilon)


def test_labels_have_the_best_total_of_all_between_the_bounds(backend, rng):
    for _ in range(12):
        n, k = int(rng.integers(1, 120)), int(rng.integers(1, 9))
        scores, epsilon = random_scores(rng, n, k), float(10.0 ** rng.uniform(-1, 0.5))
        least, most = random_bounds(rng, n, k)
        result = otlabel.assign(scores, size_min=least, size_max=most, epsilon=epsilon, backend=backend)
        has_the_best_total(result, scores, least, most, epsilon=epsilon)
        assert result.error <= 1e-4


def test_one_bound_may_be_left_out(rng):
    scores = rng.normal(size=(90, 6)) + 3 * rng.normal(size=6)
    for given, least, most in ((dict(size_min=10), 10, 90), (dict(size_max=21), 0, 21)):
        result = otlabel.assign(scores, epsilon=0.3, **given)
        has_the_best_total(result, scores, np.full(6, least), np.full(6, most), epsilon=0.3)


@pytest.mark.parametrize("engine", ["dense", "lists", "sinkhorn"])
def test_the_plan_is_the_one_of_the_textbook(engine, rng):
    """Of the alternating maximisation with bounds, which needs no kinks explained to it."""
    n, k, epsilon = 400, 12, 0.4
    scores = rng.normal(size=(n, k)) + rng.normal(size=k)
    least, most = random_bounds(rng, n, k)
    reference = oracle.potentials_between(scores / epsilon, least / n, most / n)
    by = {"dense": {"entry_cost": np.inf}, "lists": {"entry_cost": 0.0, "survey_cost": 0.0, "step_cost": 0.0}}
    with tuned(dataclasses.replace(DEFAULT, small=0, listed=6, **by.get(engine, {}))):
        result = otlabel.assign(
            scores,
            epsilon=epsilon,
            size_min=least,
            size_max=most,
            tol=1e-9,
            max_sweeps=20_000,
            method="sinkhorn" if engine == "sinkhorn" else "lbfgs",
        )
    assert result.engine in (engine, "lists")  # which go on where float32 ends too early: 1 of 500 times
    plan = oracle.plan(scores, epsilon, reference, np.full(n, 1 / n))
    np.testing.assert_allclose(result.plan(np.arange(n)), plan, atol=1e-8)
    # The certificate: columns at the bound that their potential's sign says, and within the two where that is 0.
    c, g = np.asarray(plan.sum(axis=0), dtype=float), result.potentials
    wanted = np.where(g > 0, least / n, np.where(g < 0, most / n, np.clip(c, least / n, most / n)))
    assert np.abs(c - wanted).sum() < 1e-7
    assert result.error <= 1e-9


def test_bounds_that_leave_no_choice_are_todays_problem_to_the_digit(rng):
    scores = rng.normal(size=(120, 6))
    equal = otlabel.assign(scores, epsilon=0.2)
    for bounds in (dict(size_min=20, size_max=20), dict(size_min=20), dict(size_max=[20] * 6)):
        result = otlabel.assign(scores, epsilon=0.2, **bounds)
        np.testing.assert_array_equal(result.potentials, equal.potentials)
        np.testing.assert_array_equal(result.labels, equal.labels)
        assert result.error == equal.error
        assert result.gap == equal.gap


def test_bounds_that_hold_nobody_are_the_argmax(rng):
    scores = rng.normal(size=(150, 7))
    result = otlabel.assign(scores, size_min=0, size_max=150)
    np.testing.assert_array_equal(result.labels, scores.argmax(axis=1))
    np.testing.assert_array_equal(result.potentials, 0)
    assert result.n_sweeps == 1


def test_a_label_that_may_have_none_is_out_of_use(rng):
    scores = rng.normal(size=(50, 4))
    result = otlabel.assign(scores, size_max=[0, 30, 30, 30], size_min=[0, 5, 5, 5])
    assert result.sizes[0] == 0
    assert result.potentials[0] == -np.inf
    has_the_best_total(result, scores, np.array([0, 5, 5, 5]), np.array([0, 30, 30, 30]), epsilon=1 / 25)


def test_heads_features_and_rows_that_do_not_count(rng):
    features, weight = rng.normal(size=(200, 5)), rng.normal(size=(8, 5))
    scores = features @ weight.T
    bounds = dict(size_min=10, size_max=40, epsilon=0.5)
    truth = otlabel.assign(scores, **bounds)
    np.testing.assert_array_equal(otlabel.assign(LinearScores(features, weight), **bounds).labels, truth.labels)
    heads = otlabel.assign(np.stack([scores, -scores]), size_min=[[10] * 8, [20] * 8], size_max=40, epsilon=0.5)
    np.testing.assert_array_equal(heads.labels[0], truth.labels)
    has_the_best_total(
        otlabel.assign(-scores, size_min=20, size_max=40), -scores, np.full(8, 20), np.full(8, 40), epsilon=1 / 25
    )
    assert heads.sizes[1].min() >= 20
    a = np.append(np.full(200, 1 / 200), [0.0, 0.0])
    more = otlabel.assign(np.vstack([scores, scores[:2]]), a=a, **bounds)
    assert more.sizes.sum() == 200
    assert (more.sizes >= 10).all()
    assert (more.sizes <= 40).all()


def test_forbidden_labels_and_bounds(rng):
    for _ in range(30):
        n, k = int(rng.integers(2, 40)), int(rng.integers(2, 6))
        scores = np.where(rng.random((n, k)) < 0.4, -np.inf, rng.normal(size=(n, k)))
        scores[np.arange(n), rng.integers(0, k, n)] = 0.0
        least, most = random_bounds(rng, n, k)
        best = oracle.best_score_between(scores, least, most)
        try:
            result = otlabel.assign(scores, size_min=least, size_max=most, epsilon=0.3)
        except ValueError as refused:
            assert best is None or "forbidden to all" in str(refused)  # noqa: PT017
        else:
            has_the_best_total(result, scores, least, most, epsilon=0.3)


def test_large_problems_go_by_the_same_paths(rng):
    """Whose lists are narrow, and whose totals SciPy would be long about: the gap is the proof."""
    scores = rng.normal(size=(20_000, 200)).astype(np.float32) + rng.normal(size=200).astype(np.float32)
    for epsilon in (0.05, 1.0):
        result = otlabel.assign(scores, size_min=50, size_max=150, epsilon=epsilon)
        assert result.converged
        assert abs(result.gap) < 1e-11
        assert result.n_sweeps < 60
        assert result.sizes.min() == 50
        assert result.sizes.max() == 150


def test_the_predictor_and_the_file_know_shares_between_the_bounds(rng, tmp_path):
    scores = rng.normal(size=(60, 4))
    result = otlabel.assign(scores, size_min=5, size_max=30)
    result.save(tmp_path / "a.npz")
    loaded = otlabel.Assignment.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(loaded.predict(scores), result.predict(scores))
    np.testing.assert_allclose(result.predictor.shares, 0.25)


ERRORS = {
    "too much": (dict(size_min=6), "size_min must not sum to more than the 20 items that there are, got a sum of 24"),
    "too little": (dict(size_max=4), "size_max must sum to at least the 20 items that there are, got a sum of 16"),
    "crossed": (dict(size_min=[1, 9, 1, 1], size_max=8), "must not be above size_max, got 9 and 8 for label 1"),
    "negative": (dict(size_min=-1), "size_min must be whole numbers of items of at least 0, got -1"),
    "part": (dict(size_max=7.5), "size_max must be whole numbers of items of at least 0, got 7.5"),
    "nan": (dict(size_min=np.nan), "size_min must be whole numbers of items of at least 0, got nan"),
    "shape": (dict(size_min=[1, 2]), "have shape (4,), a number a label, got (2,)"),
    "nobody": (dict(size_max=0), "size_max must leave some label items, got 0 for all"),
    "both": (dict(size_max=9, b=[0.25] * 4), "pass shares (b) or bounds, not both"),
    "weights": (dict(size_max=9, a=np.arange(20) / 190, rounding="argmax"), "the positive weights in a must be equal"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_is_wrong(case, rng):
    arguments, message = ERRORS[case]
    with pytest.raises(ValueError, match=re.escape(message)):
        otlabel.assign(rng.normal(size=(20, 4)), **arguments)


def test_bounds_of_text_are_no_bounds(rng):
    with pytest.raises(TypeError, match="size_min must hold real numbers"):
        otlabel.assign(rng.normal(size=(20, 4)), size_min="many")


def test_where_labels_lack_items_and_none_has_too_many(rng):
    """The surplus is on the side of the least then, of labels that may have no items at all."""
    scores = rng.normal(size=(1000, 3)) + np.array([-20, -20, 0])
    for epsilon in (0.04, 1.0, 1e3):
        result = otlabel.assign(scores, size_min=[0, 400, 0], size_max=[5, 1000, 1000], epsilon=epsilon)
        has_the_best_total(result, scores, np.array([0, 400, 0]), np.array([5, 1000, 1000]), epsilon=epsilon)


def test_a_label_forbidden_to_all_is_out_of_use_where_it_needs_no_items(rng):
    scores = rng.normal(size=(10, 3))
    scores[:, 2] = -np.inf
    result = otlabel.assign(scores, size_max=8)
    has_the_best_total(result, scores, np.zeros(3, dtype=int), np.full(3, 8), epsilon=1 / 25)
    assert result.potentials[2] == -np.inf
    few = otlabel.assign(scores[:2])  # fewer items than labels: floors are 0
    np.testing.assert_array_equal(few.sizes, [1, 1, 0])
    with pytest.raises(ValueError, match=r"label 2 is forbidden to all\. Allow it to some, or take it out of use"):
        otlabel.assign(scores, size_min=1)
    with pytest.raises(ValueError, match="without labels that are forbidden to all"):
        otlabel.assign(scores, size_max=4)


def test_a_start_that_is_optimal_is_left_alone_where_float32_rounds_it(rng):
    """Scores that rows share are taken off before float32: potentials of 0 were rounded to a side of their kinks."""
    for _ in range(10):
        scores = (1e5 * rng.normal(size=17) + rng.normal(size=(2, 17))).astype(np.float32)
        size_max = rng.integers(1, 4, 17)
        size_max[[scores[0].argmin(), scores[0].argmax()]] = 0, 2
        result = otlabel.assign(scores, epsilon=6.65, size_min=0, size_max=size_max, tol=1e-9)
        assert result.n_sweeps < 5
        assert set(result.potentials) == {0.0, -np.inf}
        assert result.gap == pytest.approx(0, abs=1e-9)
