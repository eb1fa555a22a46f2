"""k-means: labels of no balance, which others are compared with."""

from __future__ import annotations

import torch
from torch import Tensor


def kmeans(
    x: Tensor, k: int, seed: int, *, starts: int = 1, in_batches: bool = True, others: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Labels (n,) int64 below k of rows (n, width), and those of other rows (m, width) by their nearest centre.

    Args:
        starts: the best of so many.
        in_batches: of 1,024 rows: much faster where there are many, and a little worse.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans  # a second of imports, which --help should not take

    kind = MiniBatchKMeans if in_batches else KMeans
    means = kind(min(k, len(x)), n_init=starts, random_state=seed).fit(x.cpu().numpy())
    found = None if others is None else torch.from_numpy(means.predict(others.cpu().numpy())).long()
    return torch.from_numpy(means.labels_).long(), found
