"""Which clusters are like which."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import leaves_list, linkage

MOST = 6  # neighbours of a cluster


class Near(NamedTuple):
    """Of the clusters of a head."""

    nearest: np.ndarray  # (k, MOST or fewer) the most similar others, most similar first
    order: np.ndarray  # (k,) in which similar ones stand side by side


def near(centres: np.ndarray) -> Near:
    """By the cosine of centres (k, d): neighbours, and the leaves of the tree of average linkage."""
    k = len(centres)
    directions = centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-30)
    alike = directions @ directions.T
    np.fill_diagonal(alike, -np.inf)
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, : min(MOST, k - 1)]
    if k < 3:
        return Near(nearest, np.arange(k))
    distances = np.maximum(1 - alike[np.triu_indices(k, 1)], 0)
    return Near(nearest, leaves_list(linkage(distances, "average")))
