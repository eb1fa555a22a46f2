"""DeepCluster's rule, to compare with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..kmeans import kmeans
from .base import Assigner, Context, Labelling, Trained

COMPONENTS = 256  # of the features, whitened: DeepCluster's


class KMeans(Assigner):
    """k-means of whitened features of length 1 (Caron et al., 2018); another start for each head."""

    needs = "features"

    def solve(self, context: Context) -> Labelling:
        config = context.config
        found = clusters(context.all_values(), config.heads, config.k, config.seed + context.epoch)
        context.team.from_first(found)  # threads may sum in another order in every process
        return Labelling.without_plan(found, config.k)

    def after(self, state: Trained) -> None:
        state.reset_heads()  # clusters have other numbers each time: what the heads know is void


def clusters(features: Tensor, heads: int, k: int, seed: int) -> Tensor:
    """(n, heads) int64 labels below k of features (n, width)."""
    from sklearn.decomposition import PCA  # a second of imports that no other rule needs
    from sklearn.preprocessing import normalize

    x = features.double().numpy()
    whitener = PCA(min(COMPONENTS, *x.shape), whiten=True, random_state=seed)
    x = whitener.fit_transform(x)
    spread = whitener.singular_values_ > whitener.singular_values_[0] * len(x) * np.finfo(np.float32).eps
    x = normalize(x[:, spread])  # where features do not vary there is nothing but rounding to whiten
    return torch.stack([kmeans(torch.from_numpy(x), k, seed + head)[0] for head in range(heads)], dim=1)
