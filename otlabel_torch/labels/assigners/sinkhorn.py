"""SeLa's own rule: optimal transport."""

from __future__ import annotations

from typing import ClassVar

from ..priors import shares
from ..transport import solve
from .base import Assigner, Context, Labelling, Needs


class Sinkhorn(Assigner):
    """A partition of all images for every head, each label with its share of them, at the best total score."""

    title: ClassVar[str | None] = "SeLa"
    needs: ClassVar[Needs] = "hidden"
    uses_transport = True
    predicts_others = True

    def solve(self, context: Context) -> Labelling:
        config = context.config
        return solve(
            context.network,
            context.values,
            context.team,
            len(context.images),
            epsilon=config.epsilon,
            rounding=config.rounding,
            shares=shares(config.prior, config.k, config.heads),
        )
