"""What clusters are worth for search: an inverted file, which looks for neighbours in a few clusters only."""

from __future__ import annotations

import numpy as np

NEIGHBOURS = 10
_BLOCK = 256  # queries at a time


def neighbours(points: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(q, 10) the nearest of points (n, d) to each of queries (q, d), by a look at all of them."""
    found, squares = [], (points**2).sum(axis=1)
    for start in range(0, len(queries), _BLOCK):
        apart = squares - 2 * queries[start : start + _BLOCK] @ points.T
        found.append(np.argpartition(apart, NEIGHBOURS, axis=1)[:, :NEIGHBOURS])
    return np.concatenate(found)


def recall(
    labels: np.ndarray, centres: np.ndarray, queries: np.ndarray, truth: np.ndarray, shares: tuple[float, ...]
) -> list[float]:
    """Of the true neighbours, those in the clusters nearest to a query, where so many of the points are looked at.

    Every query looks into its nearest clusters whole, the same number for all; between two such numbers the recall is
    linear in the share of points scanned, averaged over the queries. So it is one for equal work, whatever the sizes.

    Args:
        labels: (n,) of the points.
        centres: (k, d).
        queries: (q, d), none of them a point.
        truth: (q, 10) their neighbours among the points.
        shares: of the points.
    """
    sizes = np.bincount(labels, minlength=len(centres))
    apart = (centres**2).sum(axis=1) - 2 * queries @ centres.T
    order = np.argsort(apart, axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")  # of each cluster, for each query
    scanned = np.cumsum(sizes[order], axis=1).mean(axis=0) / len(labels)
    when = np.take_along_axis(rank, labels[truth], axis=1)  # the number of clusters, less 1, that finds a neighbour
    found = np.cumsum(np.bincount(when.ravel(), minlength=len(centres))) / truth.size
    return [float(np.interp(share, np.append(0.0, scanned), np.append(0.0, found))) for share in shares]
