"""What a command would take, from a part of the work."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

import otlabel

from .._input.bounds import bounds_of, feasible
from ..cluster import BalancedKMeans
from ..cluster.alternation import HELD

_TRIED = 20_000  # rows
_STEPS = 25  # assignments, soft and exact, that a start takes: 17 to 28 of those in docs/clusters.md
_ITEM = 1200  # bytes of an item beside its vector and its distances: lists


class Needs(NamedTuple):
    """About: within a factor of two or three."""

    seconds: float
    memory: float  # bytes


def of_clusters(model: BalancedKMeans, points: np.ndarray) -> Needs:
    """Of a fit, from one assignment of some points to some of their centres."""
    (n, d), k = points.shape, model.n_clusters
    some = np.array(points[:: -(-n // _TRIED)], dtype=np.float32)
    centres = some[np.random.default_rng(0).choice(len(some), min(k, len(some)), replace=False)]
    few = BalancedKMeans(len(centres), init=centres, max_iter=1, metric=model.metric)
    few.fit(some[: 2 * len(centres)])  # compiles
    start = time.perf_counter()
    few.fit(some)
    seconds = (time.perf_counter() - start) * n / len(some) * k / len(centres)
    held = 4 * min(n * k, HELD)
    return Needs(model.n_init * _STEPS / 8 * seconds, n * (8 * d + _ITEM) + held)


def of_labels(scores: np.ndarray, epsilon: float, tol: float, coverage: float | None, bounds: dict[str, Any]) -> Needs:
    """Of a solve, from one of some rows; ValueError if the whole cannot be."""
    n, k = scores.shape
    least, most = bounds_of(bounds.get("size_min"), bounds.get("size_max"), 1, k)
    part = 1.0 if coverage is None else coverage
    feasible(least[0], most[0], (int(n * part), int(np.ceil(n * part))))
    some = np.array(scores[:: -(-n // _TRIED)])
    for _ in range(2):  # compiles first
        start = time.perf_counter()
        otlabel.assign(some, epsilon=epsilon, tol=tol, coverage=coverage)
        seconds = time.perf_counter() - start
    return Needs(seconds * n / len(some), n * (_ITEM + 8))


def of_prediction(points: np.ndarray, k: int) -> Needs:
    """Of labels that are each by itself: a product of the points and the centres."""
    n, d = points.shape
    some = np.array(points[:_TRIED], dtype=np.float32)
    start = time.perf_counter()
    some @ np.zeros((d, min(k, 1000)), dtype=np.float32)
    seconds = (time.perf_counter() - start) * n / len(some) * k / min(k, 1000)
    return Needs(5 * seconds, n * (8 * d + 64))
