"""Equal clusters of what the network sees, found anew each time."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...network.collect import rows_of
from ...options.config import Resolved
from ..priors import shares
from ..transport import partition
from .base import Context, Labelling, Needs, Trained
from .kmeans import COMPONENTS
from .sinkhorn import Sinkhorn

SPREAD = 1e-3  # of the widest component, below which there is little but rounding to whiten
STEPS = 3  # of balanced k-means
SAMPLE = 100  # images a label, at least, that the centres are found on
BLOCK = 1 << 14  # rows in float64 at a time


class Clusters(Sinkhorn):
    """SeLa's equal parts of DeepCluster's whitened features (Caron et al., 2018): balanced k-means from random images.

    Every head has starts of its own, and others each time, so that an image's labels say something new of it at every
    solve. The centres are put into the heads, to score features instead of their inputs, and labelled as ``Sinkhorn``
    labels them; training then begins with random heads. The last clusters, which nothing is trained on, are of the
    inputs of the heads, which so label other images. Why features, of the image and views, and why white:
    docs/reproduce.md.
    """

    title: ClassVar[str | None] = "SeLa, equal clusters"
    needs: ClassVar[Needs] = "averaged"
    solves: ClassVar[int] = 1 + STEPS
    heads_know_labels: ClassVar[bool] = False

    @classmethod
    def looks_at(cls, config: Resolved, epoch: int) -> Needs:
        return "hidden" if epoch == config.epochs else cls.needs

    def solve(self, context: Context) -> Labelling:
        config, team, head = context.config, context.team, context.network.head
        some = _sample(context)
        if team.is_first:
            sizes = shares(config.prior, config.k, config.heads)
            weight, bias = prototypes(some, config.heads, config.k, (config.seed, context.epoch), sizes)
            with torch.no_grad():
                head.weight.copy_(weight)
                head.bias.copy_(bias)
        team.from_first(head.weight.detach(), head.bias.detach())
        return super().solve(context)

    def after(self, state: Trained) -> None:
        state.reset_heads()


def _sample(context: Context) -> Tensor:
    """(at least SAMPLE k, width): random rows of all processes, or all rows."""
    config, team = context.config, context.team
    several = max(1, len(context.images) // (SAMPLE * config.k))
    counts = [-(-rows // several) for rows in rows_of(team, len(context.images))]
    draw = np.random.default_rng((config.seed, context.epoch, config.heads, team.rank))  # no head has that number
    chosen = np.sort(draw.permutation(len(context.values))[: counts[team.rank]])
    return team.gather(context.values[torch.from_numpy(chosen).to(context.values.device)], counts)


def prototypes(
    x: Tensor, heads: int, k: int, seeds: tuple[int, ...], sizes: np.ndarray | None = None
) -> tuple[Tensor, Tensor]:
    """Linear scores, weight (heads k, width) and bias (heads k,), of rows x (n, width) for centres of balanced k-means.

    The scores are about the cosines of whitened rows and centres: rows are measured by their mean length.

    Args:
        seeds: others are other starts, of each head.
        sizes: (k,) or (heads, k), shares of the labels; None: equal.
    """
    mean, whitening = _whitening(x)
    rows = torch.cat([((block.double() - mean) @ whitening).float() for block in x.split(BLOCK)])
    length = rows.norm(dim=1).mean().clamp(min=torch.finfo(torch.float32).tiny)
    rows = F.normalize(rows, dim=1)
    weights = []
    for head in range(heads):
        starts = np.random.default_rng((*seeds, head)).permutation(len(rows))[:k]
        centres = rows[torch.from_numpy(starts).to(rows.device)]
        share = sizes if sizes is None or sizes.ndim == 1 else sizes[head]
        for _ in range(STEPS):
            labels = partition(rows, centres, share)
            centres = F.normalize(torch.zeros_like(centres).index_add_(0, labels, rows), dim=1)
        weights.append(centres.double() @ whitening.T / length)
    weight = torch.cat(weights)
    return weight.float(), -(weight @ mean).float()


def _whitening(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (width,), and (width, at most COMPONENTS): to coordinates of spread 1 that do not vary together."""
    mean = torch.stack([block.double().sum(dim=0) for block in x.split(BLOCK)]).sum(dim=0) / len(x)
    products = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for block in x.split(BLOCK):
        apart = block.double() - mean
        products.addmm_(apart.T, apart)
    variance, directions = torch.linalg.eigh(products / len(x))  # the smallest first
    variance, directions = variance.flip(0)[:COMPONENTS], directions.flip(1)[:, :COMPONENTS]
    varies = variance > SPREAD**2 * variance[0].clamp(min=torch.finfo(torch.float32).tiny)
    return mean, directions[:, varies] / variance[varies].sqrt()
