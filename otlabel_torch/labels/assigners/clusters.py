"""Equal clusters of what the network sees, found anew each time."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...network.collect import rows_of
from .. import transport
from ..priors import shares
from .base import Context, Labelling, Trained
from .sinkhorn import Sinkhorn

COMPONENTS = 256  # of the whitened inputs of the heads, at most: DeepCluster's number
SPREAD = 1e-3  # of the widest component, below which there is little but rounding to whiten
STEPS = 3  # of balanced k-means
SAMPLE = 100  # images a label that the centres are found on


class Clusters(Sinkhorn):
    """SeLa's equal parts of DeepCluster's whitened features (Caron et al., 2018): balanced k-means from random images.

    Every head has starts of its own, and others each time, so that an image's labels say something new of it at every
    solve. The centres are put into the heads, whose scores are labelled as ``Sinkhorn`` labels them; training then
    begins with random heads. So the last ones, which nothing is trained on, label other images.
    """

    title: ClassVar[str | None] = "SeLa, equal clusters"
    solves: ClassVar[int] = 1 + STEPS

    def solve(self, context: Context) -> Labelling:
        config, team, head = context.config, context.team, context.network.head
        stride = max(1, len(context.images) // (SAMPLE * config.k))
        some = team.gather(
            context.values[::stride], [-(-rows // stride) for rows in rows_of(team, len(context.images))]
        )
        if team.is_first:
            sizes = shares(config.prior, config.k, config.heads)
            weight, bias = prototypes(some, config.heads, config.k, config.seed + context.epoch, sizes)
            with torch.no_grad():
                head.weight.copy_(weight)
                head.bias.copy_(bias)
        team.from_first(head.weight.detach(), head.bias.detach())
        return super().solve(context)

    def after(self, state: Trained) -> None:
        state.reset_heads()


def prototypes(x: Tensor, heads: int, k: int, seed: int, sizes: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """Linear scores, weight (heads k, width) and bias (heads k,), of rows x (n, width) for centres of balanced k-means.

    The scores are about the cosines of whitened rows and centres: rows are measured by their mean length.

    Args:
        sizes: (k,) or (heads, k), shares of the labels; None: equal.
    """
    mean = x.double().mean(dim=0)
    whitening = _whitening(x, mean)
    rows = (x.double() - mean) @ whitening
    length = rows.norm(dim=1).mean().clamp(min=torch.finfo(torch.float32).tiny)
    rows = F.normalize(rows, dim=1).float()
    weights = []
    for head in range(heads):
        draw = torch.Generator().manual_seed(seed + head)
        centres = rows[torch.randperm(len(rows), generator=draw)[:k].to(rows.device)]
        share = sizes if sizes is None or sizes.ndim == 1 else sizes[head]
        for _ in range(STEPS):
            labels = transport.partition(rows @ centres.T, share)
            centres = F.normalize(torch.zeros_like(centres).index_add_(0, labels, rows), dim=1)
        weights.append(centres.double() @ whitening.T / length)
    weight = torch.cat(weights)
    return weight.float(), -(weight @ mean).float()


def _whitening(x: Tensor, mean: Tensor) -> Tensor:
    """(width, at most COMPONENTS): to coordinates of spread 1 that do not vary together."""
    apart = x.double() - mean
    variance, directions = torch.linalg.eigh(apart.T @ apart / len(x))  # the smallest first
    variance, directions = variance.flip(0)[:COMPONENTS], directions.flip(1)[:, :COMPONENTS]
    varies = variance > SPREAD**2 * variance[0].clamp(min=torch.finfo(torch.float32).tiny)
    return directions[:, varies] / variance[varies].sqrt()
