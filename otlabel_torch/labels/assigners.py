"""Labels that do not come from transport: what the method is compared with."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from .transport import Labelling

COMPONENTS = 256  # of the features, whitened: DeepCluster's


def random(n: int, heads: int, k: int, seed: int) -> Labelling:
    """Equal numbers of every label, dealt at random."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.stack([(torch.arange(n) % k)[torch.randperm(n, generator=generator)] for _ in range(heads)], dim=1)
    return _without_scores(labels, k, 0.0)


def given(labels: Tensor, k: int) -> Labelling:
    """Labels (n, heads) that came from elsewhere."""
    return _without_scores(labels, k, 0.0)


def kmeans(features: Tensor, heads: int, k: int, seed: int) -> Labelling:
    """DeepCluster's rule (Caron et al., 2018): k-means of whitened features of length 1; another start for each head.

    Args:
        features: (n, width).
    """
    from sklearn.cluster import MiniBatchKMeans  # a second of imports that no other rule needs
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import normalize

    start = time.perf_counter()
    x = features.double().numpy()
    whitener = PCA(min(COMPONENTS, *x.shape), whiten=True, random_state=seed)
    x = whitener.fit_transform(x)
    spread = whitener.singular_values_ > whitener.singular_values_[0] * len(x) * np.finfo(np.float32).eps
    x = normalize(x[:, spread])  # where features do not vary there is nothing but rounding to whiten
    labels = [MiniBatchKMeans(k, random_state=seed + head, n_init=1).fit_predict(x) for head in range(heads)]
    return _without_scores(torch.from_numpy(np.stack(labels, axis=1)).long(), k, time.perf_counter() - start)


def _without_scores(labels: Tensor, k: int, seconds: float) -> Labelling:
    """There is no plan: the network's own scores predict, and nobody is sure."""
    unknown = torch.full(labels.shape, float("nan"))
    return Labelling(labels, unknown, np.zeros((labels.shape[1], k)), 0.0, seconds, True)
