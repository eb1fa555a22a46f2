"""The interval of what column sums may be: support function, gradient, capacities."""

from __future__ import annotations

import numpy as np

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
    assert marginal.support(g) <= (draws @ g).min() + 1e-15
    assert marginal.support(g) == np.minimum(lower * g, upper * g).sum()
    np.testing.assert_array_equal(marginal.wanted(np.ones(4), c), lower)
    np.testing.assert_array_equal(marginal.wanted(-np.ones(4), c), upper)
    np.testing.assert_array_equal(marginal.wanted(np.zeros(4), c), [0.1, 0.2, 0.45, 0.3])
    np.testing.assert_array_equal(marginal.gauged(g), g)  # there is none
    step = 1e-6 * rng.normal(size=4)
    slope = (marginal.wanted(g, c) @ step) / np.linalg.norm(step)
    assert abs((marginal.support(g + step) - marginal.support(g)) / np.linalg.norm(step) - slope) < 1e-9


def test_capacities_are_floor_and_ceiling_up_to_rounding():
    least, most = Marginal.exactly(np.array([0.1, 0.25, 0.65])).capacities(30)
    np.testing.assert_array_equal(least, [3, 7, 19])
    np.testing.assert_array_equal(most, [3, 8, 20])
    lower, upper = np.array([0.05, 0.2]), np.array([0.31, 0.9])
    least, most = Marginal(np.array([0.2, 0.8]), lower, upper).capacities(10)
    np.testing.assert_array_equal(least, [0, 2])
    np.testing.assert_array_equal(most, [4, 9])


def test_labels_out_of_use_are_left_out():
    marginal = Marginal.exactly(np.array([0.5, 0.0, 0.5])).of(np.array([True, False, True]))
    np.testing.assert_array_equal(marginal.target, [0.5, 0.5])
