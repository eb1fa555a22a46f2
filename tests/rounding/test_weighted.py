"""Items that do not weigh the same: sums of weights, and the gap, against SciPy's linear program of split items."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_array, eye_array, kron, vstack

import otlabel
from otlabel import LinearScores
from otlabel._rounding.weighted import put_together


def best_split(scores, a, b):
    """The best score of a plan whose items may be split; b is met to rounding."""
    n, k = scores.shape
    sizes = kron(a[None], eye_array(k)) / a.max()
    wins = scores - scores.max(axis=1, keepdims=True)
    scale = np.abs(wins).max() or 1.0
    found = linprog(
        -(a[:, None] * wins / scale / a.max()).ravel(),
        A_eq=kron(eye_array(n), np.ones((1, k))),
        b_eq=np.ones(n),
        A_ub=vstack([sizes, -sizes]),
        b_ub=np.concatenate([b + 1e-12, 1e-12 - b]) / a.max(),
        bounds=(0, 1),
        method="highs-ds",
    )
    return float(a @ scores.max(axis=1)) - scale * a.max() * found.fun


def weights_of(rng, n):
    a = rng.dirichlet(np.full(n, 10.0 ** rng.uniform(-0.5, 1)))
    return a if rng.random() < 0.7 else np.where(rng.random(n) < 0.2, 0.0, a)


def test_sums_of_weights_and_the_gap(backend, rng):
    for _ in range(12):
        n, k = int(rng.integers(10, 120)), int(rng.integers(2, 7))
        scores, epsilon = rng.normal(size=(n, k)), float(10.0 ** rng.uniform(-1, 0.5))
        scores = np.round(scores) if rng.random() < 0.2 else scores
        a = weights_of(rng, n)
        a, b = a / a.sum(), rng.dirichlet(np.full(k, 3.0))
        result = otlabel.assign(scores, a=a, b=b, epsilon=epsilon, backend=backend)
        has = np.bincount(result.labels, weights=a, minlength=k)
        assert np.abs(has - b).max() <= a.max() * (1 + 1e-9)
        score = a @ scores[np.arange(n), result.labels]
        assert (best_split(scores, a, b) - score) / epsilon == pytest.approx(result.gap, abs=1e-6 / epsilon)


def test_many_items_of_many_weights_are_all_but_optimal(rng):
    scores = rng.normal(size=(20_000, 50)).astype(np.float32)
    a = rng.gamma(1.0, size=20_000)
    a /= a.sum()
    result = otlabel.assign(scores, a=a, epsilon=1.0)
    has = np.bincount(result.labels, weights=a, minlength=50)
    assert np.abs(has - 1 / 50).max() <= a.max()
    assert abs(result.gap) < 1e-2


def test_labels_out_of_use_and_features_and_heads(rng):
    features, weight = rng.normal(size=(80, 4)), rng.normal(size=(5, 4))
    a = rng.dirichlet(np.full(80, 3.0))
    b = np.array([0.4, 0.3, 0.3, 0.0, 0.0])
    truth = otlabel.assign(features @ weight.T, a=a, b=b)
    assert truth.labels.max() < 3
    np.testing.assert_array_equal(otlabel.assign(LinearScores(features, weight), a=a, b=b).labels, truth.labels)
    heads = otlabel.assign(np.stack([features @ weight.T] * 2), a=a, b=b)
    np.testing.assert_array_equal(heads.labels, np.stack([truth.labels] * 2))


def test_what_forbidden_labels_leave(rng):
    scores, a = rng.normal(size=(30, 3)), rng.dirichlet(np.full(30, 3.0))
    scores[:5, 0] = -np.inf
    result = otlabel.assign(scores, a=a)
    assert (result.labels[:5] > 0).all()
    assert np.abs(np.bincount(result.labels, weights=a, minlength=3) - 1 / 3).max() <= a.max()
    scores[:25, 0] = -np.inf
    with pytest.raises(ValueError, match="the shares asked for cannot be met"):
        otlabel.assign(scores, a=a)


def test_known_labels_weigh_what_they_weigh(rng):
    scores, a = rng.normal(size=(60, 3)), rng.dirichlet(np.full(60, 3.0))
    known = np.where(np.arange(60) < 12, np.arange(60) % 3, -1)
    result = otlabel.assign(scores, a=a, known=known)
    np.testing.assert_array_equal(result.labels[:12], known[:12])
    assert np.abs(np.bincount(result.labels, weights=a, minlength=3) - 1 / 3).max() <= a.max() * (1 + 1e-9)


def test_split_items_are_put_together_within_the_heaviest(rng):
    """Fractions of any kind, not only corners' forests."""
    for _ in range(200):
        m, k = int(rng.integers(1, 12)), int(rng.integers(1, 6))
        fractions = rng.dirichlet(np.full(k, 0.5), size=m)
        fractions[fractions < 0.05] = 0.0
        fractions /= fractions.sum(axis=1, keepdims=True)
        weights = rng.gamma(1.0, size=m)
        labels = put_together(csr_array(fractions), weights)
        assert (fractions[np.arange(m), labels] > 0).all()
        change = np.bincount(labels, weights=weights, minlength=k) - weights @ fractions
        assert np.abs(change).max() <= weights.max() * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["zeros", "alike", "one-hot"])
def test_items_of_scores_alike_take_no_minutes(rng, kind):
    n, k = 3000, 20
    scores = {
        "zeros": np.zeros((n, k)),
        "alike": np.tile(rng.normal(size=k), (n, 1)),
        "one-hot": np.eye(k)[rng.integers(0, k, n)],
    }[kind]
    a = rng.dirichlet(np.full(n, 3.0))
    result = otlabel.assign(scores, a=a)
    off = np.abs(np.bincount(result.labels, weights=a, minlength=k) - 1 / k)
    assert off.max() <= a.max() * (1 + 1e-9)
    assert (
        abs(result.gap) <= 0.01 + off.sum() / 2 * np.ptp(scores) / 0.04
    )  # what moving so much the longest way is worth


def test_huge_scores_are_no_forbidden_ones(rng):
    scores, a = rng.normal(size=(30, 3)), rng.dirichlet(np.full(30, 3.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
        labels = [otlabel.assign(scores * scale, a=a, epsilon=0.1).labels for scale in (1e16, 1e18, 1e22)]
    for found in labels:
        np.testing.assert_array_equal(found, labels[0])
