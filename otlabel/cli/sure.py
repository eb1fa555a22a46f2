"""How far items are from their centres, and how much nearer those are than the next."""

from __future__ import annotations

import numpy as np

from ..cluster import BalancedKMeans

_BLOCK = 1 << 22  # distances computed at a time


def distances(
    model: BalancedKMeans, points: np.ndarray, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of points (n, d) with labels (n,), by default those of ``fit``.

    Returns:
        (n,) distances to the own centre; (n,) the simplified silhouette, (next - own) / the larger of the two, where
        next is the nearest other centre: 1 sure, 0 half way, negative where another is nearer (Rousseeuw 1987, with
        centres in the place of all points); (k,) items whose nearest centre is each.
    """
    labels = model.labels_ if labels is None else labels
    n, k = len(points), model.n_clusters
    own, sure, nearest = np.empty(n), np.ones(n), np.zeros(k, dtype=np.int64)
    step = max(1, _BLOCK // k)
    for start in range(0, n, step):
        rows = slice(start, start + step)
        apart, of_rows = model.transform(points[rows]), labels[rows]
        nearest += np.bincount(apart.argmin(axis=1), minlength=k)
        places = np.arange(len(of_rows))
        own[rows] = apart[places, of_rows]
        apart[places, of_rows] = np.inf
        other = apart.min(axis=1)
        larger = np.maximum(own[rows], other)
        if k > 1:
            sure[rows] = np.divide(other - own[rows], larger, out=np.zeros(len(larger)), where=larger > 0)
    return own, sure, nearest
