"""The interval of what column sums may be: support function, gradient, capacities."""

from __future__ import annotations

import numpy as np
import pytest

from otlabel._solver.marginal import Marginal


def test_exact_shares_are_the_textbook_s(rng):
    b, c, g = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6)), rng.normal(size=6)
    marginal = Marginal.exactly(b)
    assert marginal.support(g) == b @ g
    np.testing.assert_array_equal(marginal.wanted(g, c), b)
    assert abs(marginal.gauged(g).mean()) < 1e-15


def test_an_interval_supports_from_below_and_lets_free_labels_be(rng):
    lower, upper = np.array([0.1, 0.2, 0.0, 0.3]), np.array([0.4, 0.2, 0.5, 0.9])
    marginal = Marginal((lower + upper) / 2, lower, upper)
    g, c = rng.normal(size=4), np.array([0.05, 0.3, 0.45, 0.2])
    draws = lower + (upper - lower) * rng.random((1000, 4))
    assert marginal.support(g) <= (draws @ g).min() + 1e-14
    assert marginal.support(g) == pytest.approx(np.minimum(lower * g, upper * g).sum(), abs=1e-14)
    np.testing.assert_array_equal(marginal.wanted(np.ones(4), c), lower)
    np.testing.assert_array_equal(marginal.wanted(-np.ones(4), c), upper)
    np.testing.assert_array_equal(marginal.wanted(np.zeros(4), c), [0.1, 0.2, 0.45, 0.3])
    step = 1e-6 * rng.normal(size=4)
    slope = (marginal.wanted(g, c) @ step) / np.linalg.norm(step)
    assert abs((marginal.support(g + step) - marginal.support(g)) / np.linalg.norm(step) - slope) < 1e-9


def test_an_interval_is_gauged_where_f_is_largest_along_constant_g(rng):
    """Between any shift and none; and a shift of what is gauged is none."""
    for _ in range(200):
        k = int(rng.integers(1, 9))
        lower = rng.dirichlet(np.ones(k)) * rng.choice([0.0, 0.5, 0.9])
        upper = lower + 2 * rng.dirichlet(np.ones(k)) * (rng.random(k) < 0.8)
        if upper.sum() < 1:
            continue
        marginal, g = Marginal.between(lower, upper), np.round(rng.normal(size=k), 1)
        shifts = np.concatenate([np.linspace(-5, 5, 201), -g])
        gauged = marginal.gauged(g)
        along = [marginal.support(g + t) - t for t in shifts]
        assert marginal.support(gauged) - (gauged - g)[0] >= max(along) - 1e-12
        assert np.ptp(gauged - g) < 1e-12
        np.testing.assert_array_equal(marginal.gauged(gauged), gauged)


def test_bounds_that_leave_no_choice_are_met_exactly(rng):
    b = rng.dirichlet(np.ones(5))
    for lower, upper in ((b, b + 0.1), (0.5 * b, b), (b, b)):
        marginal = Marginal.between(lower, upper)
        assert marginal.is_exact
        np.testing.assert_allclose(marginal.target, b, rtol=1e-15)
    marginal = Marginal.between(0.5 * b, 2 * b)
    assert not marginal.is_exact
    assert marginal.target.sum() == pytest.approx(1, abs=1e-15)
    assert (marginal.target >= marginal.lower).all()
    assert (marginal.target <= marginal.upper).all()


def test_an_orthant_ends_where_f_bends():
    marginal = Marginal.between(np.array([0.1, 0.1, 0.1, 0.1, 0.3]), np.array([0.4, 0.4, 0.4, 0.4, 0.3]))
    lower, upper = marginal.orthant(np.array([1.0, -1.0, 0.0, 0.0, 2.0]), np.array([-0.1, 0.1, 0.2, 0.0, 0.3]))
    np.testing.assert_array_equal(lower, [0, -np.inf, 0, 0, -np.inf])
    np.testing.assert_array_equal(upper, [np.inf, 0, np.inf, 0, np.inf])


def test_the_relative_error_is_that_beside_the_nearest_bound():
    marginal = Marginal.between(np.array([0.0, 0.2]), np.array([0.5, 0.9]))
    assert marginal.relative_error(np.log([0.75, 0.25])) == pytest.approx(0.5)
    assert marginal.relative_error(np.log([0.4, 0.6])) == 0
    assert marginal.relative_error(np.log([0.9, 0.1])) == pytest.approx(0.8)


def test_labels_out_of_use_are_left_out():
    marginal = Marginal.exactly(np.array([0.5, 0.0, 0.5])).of(np.array([True, False, True]))
    np.testing.assert_array_equal(marginal.target, [0.5, 0.5])
