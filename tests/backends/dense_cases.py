"""Scores, weights and potentials of every kind, for the tests of dense sweeps."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import logsumexp

from otlabel._input.sources import InMemory
from otlabel.backends import numba

STORAGES = ("float64", "float32", "float16", "int8")
LABELS = (1, 2, 15, 16, 17, 63, 64, 65, 160, 200)
ROWS = (1, 2, 5, 64, 131)
SMALL_PARTS = numba.Sizes(dense_part=3000, converted=700)
DEEPEST = 4000.0  # nats, about, of S/epsilon for which there are dense sweeps


def bind(scores, scale, a):
    finite = np.abs(scores[np.isfinite(scores)].astype(np.float64))
    return numba.Kernels(InMemory(scores), scale, a, float(finite.max()))


def random_scores(rng, shape, dtype, kind):
    """(n, k) scores, of which the last row may be without a finite one."""
    n, k = shape
    scores = rng.normal(size=shape)
    match kind:
        case "offset rows":
            scores += 1e3 * rng.normal(size=(n, 1))
        case "constant rows":
            scores[:] = scores[:, :1]
        case "ties":
            scores = np.round(scores)
        case "forbidden":
            allowed = rng.random(shape) < 0.3
            allowed[np.arange(n), rng.integers(0, k, n)] = True
            scores[~allowed] = -np.inf
        case "one allowed":
            scores[:, 1:] = -np.inf  # whole columns
    if dtype == "int8":
        return np.round(np.clip(np.nan_to_num(scores, neginf=-3), -3, 3) * 40).astype(np.int8)
    return scores.astype(dtype)


def random_weights(rng, n):
    """Even ones, or uneven ones with zeros among them."""
    a = np.full(n, 1 / n) if rng.random() < 0.5 else rng.random(n) ** 3 * (rng.random(n) < 0.7)
    return a / a.sum() if a.sum() > 0 else np.full(n, 1 / n)


def random_potentials(rng, k):
    """Some g, each of which leaps from the one before; the last with labels out of use."""
    g = rng.normal(size=k)
    leap = g + 300 * rng.normal(size=k)
    unused = np.where(np.arange(k) > 0, np.where(rng.random(k) < 0.3, -np.inf, g), g)
    return [np.zeros(k), g, g + 0.1, leap, g, unused, unused + 0.01]


def random_cases(rng, dtype, k):
    """Dense sweeps of many kinds of scores, with what they are made of."""
    kinds = ("normal", "offset rows", "constant rows", "ties", "forbidden", "one allowed")
    for n, kind in itertools.product(ROWS, kinds):
        scores, a = random_scores(rng, (n, k), dtype, kind), random_weights(rng, n)
        if dtype != "int8":
            scores[a == 0] = rng.choice([-np.inf, 1.0])
        scale = rng.choice([1.0, 30.0, DEEPEST]) / max(1.0, np.abs(scores[np.isfinite(scores)].astype(float)).max())
        yield bind(scores, scale, a), scores.astype(np.float64) * scale, a


def is_allowed(x, g, a):
    """Whether each row that counts has a label in use."""
    return bool(np.isfinite(x + g)[a > 0].any(axis=1).all())


def softmax(x, a):
    """logsumexp, and the plan (rows of positive weight, k) with rows that sum to 1, in float64."""
    x = x[a > 0]
    lse = logsumexp(x, axis=1, keepdims=True)
    return a[a > 0] @ lse[:, 0], np.exp(x - lse)


def same(results):
    first, *others = results
    for other in others:
        for value, reference in zip(other, first, strict=True):
            np.testing.assert_array_equal(value, reference)
