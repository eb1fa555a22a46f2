"""Labels that say nothing."""

from __future__ import annotations

import torch

from .base import Assigner, Context, Labelling


class Random(Assigner):
    """Equal numbers of every label, dealt at random."""

    needs = "nothing"
    updates = False

    def solve(self, context: Context) -> Labelling:
        n, k = len(context.images), context.config.k
        generator = torch.Generator().manual_seed(context.config.seed)
        heads = [(torch.arange(n) % k)[torch.randperm(n, generator=generator)] for _ in range(context.config.heads)]
        return Labelling.without_plan(torch.stack(heads, dim=1), k)
