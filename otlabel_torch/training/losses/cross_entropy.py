"""SeLa's loss."""

from __future__ import annotations

from torch import Tensor

from ..state import State
from .base import Batch, Forward, Loss, entropies


class CrossEntropy(Loss):
    """Cross-entropy to the labels, averaged over images and heads: the paper's loss for several labellings."""

    def __call__(self, forward: Forward, batch: Batch, state: State) -> Tensor:
        scores, _turns = forward(batch.images)
        return entropies(scores, batch).mean()
