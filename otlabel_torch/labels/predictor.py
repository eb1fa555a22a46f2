"""Labels and confidence of any scores, from what a solve has learned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROWS = 1 << 14  # of scores in float64 at a time


@dataclass(frozen=True)
class Predictor:
    """One head's potentials, and the temperature they belong to."""

    potentials: np.ndarray  # (k,)
    epsilon: float

    def predict(self, scores: Any) -> Tensor:
        """(n,) int64: the largest entry of each row of the plan, free of capacities.

        Args:
            scores: (n, k), a tensor or a source of scores such as LinearScores.
        """
        return torch.cat([exponent.argmax(dim=1) for _rows, exponent in self._exponents(scores)])

    def confidence(self, scores: Any, labels: Tensor) -> Tensor:
        """(n,) float32: what each row of the plan gives to its label (n,), rows summing to 1."""
        sure = torch.empty(labels.shape, dtype=torch.float32, device=labels.device)
        for rows, exponent in self._exponents(scores):
            own = exponent.gather(1, labels[rows, None])[:, 0]
            sure[rows] = torch.exp(own - exponent.logsumexp(dim=1)).float()
        return sure

    def _exponents(self, scores: Any) -> Iterator[tuple[slice, Tensor]]:
        """The plan's logarithm up to a constant a row, docs/algorithm.md eq. (1), in float64, for blocks of rows."""
        for start in range(0, scores.shape[0], ROWS):
            rows = slice(start, min(start + ROWS, scores.shape[0]))
            block = torch.as_tensor(scores[rows])
            yield rows, block.double() / self.epsilon + torch.as_tensor(self.potentials, device=block.device)
