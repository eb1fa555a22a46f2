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
    heads_know_labels = False

    def solve(self, context: Context) -> Labelling:
        config = context.config
        found = clusters(context.all_values(), config.heads, config.k, (config.seed, context.epoch))
        context.team.from_first(found)  # threads may sum in another order in every process
        return Labelling.without_plan(found, config.k)

    def after(self, state: Trained) -> None:
        state.reset_heads()  # clusters have other numbers each time: what the heads know is void


def clusters(features: Tensor, heads: int, k: int, seeds: tuple[int, ...]) -> Tensor:
    """(n, heads) int64 labels below k of features (n, width).

    Args:
        seeds: others are other starts, of each head.
    """
    from sklearn.decomposition import PCA  # a second of imports that no other rule needs
    from sklearn.preprocessing import normalize

    x = features.double().numpy()
    whitener = PCA(min(COMPONENTS, *x.shape), whiten=True, random_state=_drawn(*seeds))
    x = whitener.fit_transform(x)
    spread = whitener.singular_values_ > whitener.singular_values_[0] * len(x) * np.finfo(np.float32).eps
    x = normalize(x[:, spread])  # where features do not vary there is nothing but rounding to whiten
    return torch.stack([kmeans(torch.from_numpy(x), k, _drawn(*seeds, head))[0] for head in range(heads)], dim=1)


def _drawn(*seeds: int) -> int:
    """A seed that no other of such numbers have: sums would, those of another head an epoch later."""
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])
