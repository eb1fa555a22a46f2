"""Centres of clusters: where they begin, means of what is labelled, and how far points are from theirs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.cluster import kmeans_plusplus

from ..backends import Kernels

_SEEDED_ITEMS, _SEEDED = 20, 1 << 14  # points a cluster that k-means++ chooses among, where they are more than so many
_BLOCK = 1 << 16  # points whose sums and distances are computed in float64 at a time


def first_centres(
    points: np.ndarray, k: int, init: Any, weights: np.ndarray, random: np.random.RandomState
) -> np.ndarray:
    """(k, d) centres to begin with.

    Args:
        points: (m, d), all or a sample.
        init: "k-means++", "random", an array (k, d) or a function of points, k and the random state.
        weights: (m,) of the points.
    """
    if isinstance(init, str) and init == "k-means++":
        few = max(_SEEDED, _SEEDED_ITEMS * k)
        rows = np.sort(random.choice(len(points), few, replace=False)) if len(points) > few else slice(None)
        return kmeans_plusplus(points[rows], k, sample_weight=weights[rows], random_state=random)[0]
    if isinstance(init, str) and init == "random":
        heavy = np.flatnonzero(weights > 0)
        heavy = heavy if len(heavy) >= k else np.arange(len(points))
        return points[random.choice(heavy, k, replace=False)]
    centres = np.asarray(init(points, k, random) if callable(init) else init, dtype=points.dtype)
    if centres.shape != (k, points.shape[1]):
        raise ValueError(
            f"init must be centres of shape {(k, points.shape[1])}, n_clusters and features, got {centres.shape}."
        )
    if not np.isfinite(centres).all():
        raise ValueError("init must be finite centres, got NaN or infinity. Leave such rows out.")
    return centres


def means(points: np.ndarray, labels: np.ndarray, weights: np.ndarray, before: np.ndarray) -> np.ndarray:
    """(k, d) weighted means of the points with each label; of a label without any weight the centre before."""
    k, sums, mass = len(before), np.zeros(before.shape), np.bincount(labels, weights=weights, minlength=len(before))
    for start in range(0, len(points), _BLOCK):
        rows = slice(start, start + _BLOCK)
        of_rows = labels[rows]
        chosen = csr_array((weights[rows], of_rows, np.arange(len(of_rows) + 1)), shape=(len(of_rows), k))
        sums += chosen.T @ points[rows].astype(np.float64)
    return _divided(sums, mass, before)


def soft_means(
    points: np.ndarray, kernels: Kernels, g: np.ndarray, weights: np.ndarray, before: np.ndarray, depth: float
) -> tuple[np.ndarray, np.ndarray]:
    """(k, d) means of the points weighted by the plan at g (k,), of what is within ``depth`` nats of a row's best.

    Returns:
        them, and the (k,) weight of the points that each is the mean of.
    """
    short = kernels.shortlist(g, depth)
    counts = np.diff(short.indptr)
    p = np.exp(short.value + g[short.label] - np.repeat(short.best, counts))
    p *= np.repeat(weights / np.add.reduceat(p, short.indptr[:-1]), counts)
    sums, mass = np.zeros(before.shape), np.bincount(short.label, weights=p, minlength=len(g))
    for start in range(0, len(points), _BLOCK):
        of_rows = short.indptr[start : start + _BLOCK + 1]
        entries = slice(of_rows[0], of_rows[-1])
        plan = csr_array((p[entries], short.label[entries], of_rows - of_rows[0]), shape=(len(of_rows) - 1, len(g)))
        sums += plan.T @ points[start : start + _BLOCK].astype(np.float64)
    return _divided(sums, mass, before), mass


def inertia(points: np.ndarray, labels: np.ndarray, weights: np.ndarray, centres: np.ndarray) -> float:
    """The sum of squared distances of the points to the centres of their labels."""
    total = 0.0
    for start in range(0, len(points), _BLOCK):
        rows = slice(start, start + _BLOCK)
        apart = points[rows].astype(np.float64) - centres[labels[rows]]
        total += float(weights[rows] @ np.einsum("ij,ij->i", apart, apart))
    return total


def scale_of(points: np.ndarray, origin: np.ndarray) -> float:
    """A power of 2 near the largest coordinate from the origin (d,): dividing by it rounds nothing."""
    blocks = (points[start : start + _BLOCK] for start in range(0, len(points), _BLOCK))
    largest = max(float(np.abs(block - origin).max(initial=0.0)) for block in blocks)
    return 2.0 ** round(math.log2(largest)) if largest > 0 else 1.0


def _divided(sums: np.ndarray, mass: np.ndarray, before: np.ndarray) -> np.ndarray:
    has_some = mass > 0
    centres = before.astype(np.float64)
    centres[has_some] = sums[has_some] / mass[has_some, None]
    return centres.astype(before.dtype)
