"""The adapter between networks and otlabel, and the only one in this package who asks it for labels."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import otlabel

from ..network.collect import MEMORY, rows_of
from ..network.models import Network
from ..system.devices import free_memory
from ..system.processes import Processes
from .assigners.base import Labelling

VERSION = otlabel.__version__


def solve(
    network: Network,
    hidden: Tensor,
    team: Processes,
    n: int,
    *,
    epsilon: float,
    rounding: Literal["balanced", "argmax"],
    shares: np.ndarray | None = None,
) -> Labelling:
    """One equipartition a head from the inputs of the heads: one solve over the rows of all processes.

    Solves do not start from the potentials of those before: an epoch moves them so far that it saves nothing
    (docs/training.md).

    Args:
        hidden: (rows, width) of this process.
        n: images in all processes.
        shares: (k,) or (heads, k) of the labels; None: equal.
    """
    results, labels, sure = [], [], []
    for head in tqdm(
        range(network.heads), desc="labels", unit="head", leave=False, disable=None if team.is_first else True
    ):
        scores = scores_of(network, head, hidden)
        result = otlabel.assign(
            scores,
            k=network.k,
            epsilon=epsilon,
            rounding=rounding,
            b=shares if shares is None or shares.ndim == 1 else shares[head],
            comm=team.comm,
        )
        found = torch.as_tensor(result.labels).to(hidden.device)
        sure.append(confidence_of(result.predictor, scores, found))
        labels.append(found)
        results.append(result)
    counts = rows_of(team, n)
    return Labelling(
        team.gather(torch.stack(labels, dim=1).cpu(), counts),
        team.gather(torch.stack(sure, dim=1).cpu(), counts),
        np.stack([result.potentials for result in results]),
        round(max(float(result.n_sweeps) for result in results), 1),
        all(result.converged for result in results),
    )


def partition(rows: Tensor, centres: Tensor, shares: np.ndarray | None = None) -> Tensor:
    """(n,) int64 labels of rows (n, width) by their products with centres (k, width), in this process alone.

    Args:
        shares: (k,) of the labels; None: equal.
    """
    found = otlabel.assign(_linear(rows, centres, centres.new_zeros(len(centres))), k=len(centres), b=shares).labels
    return torch.as_tensor(found).long().to(rows.device)


def scores_of(network: Network, head: int, hidden: Tensor) -> Tensor | otlabel.LinearScores:
    """Scores (rows, k) of one head, where its inputs (rows, width) are; computed anew each time if they do not fit.

    In host memory otlabel keeps them if they fit, and what comes out is the same.
    """
    return _linear(hidden, *(part.to(hidden.device, torch.float32) for part in network.linear(head)))


def _linear(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor | otlabel.LinearScores:
    if rows.device.type == "cpu" or 4 * len(rows) * len(weight) > MEMORY * free_memory(rows.device):
        return otlabel.LinearScores(rows, weight, bias)
    return F.linear(rows, weight, bias)


def predict(network: Network, hidden: Tensor, potentials: np.ndarray, epsilon: float) -> tuple[Tensor, Tensor]:
    """Labels (n, heads) of images that were not part of the solve, free of capacities, and their confidence.

    Args:
        hidden: (n, width) inputs of the heads.
        potentials: (heads, k) of the solve.
    """
    labels, sure = [], []
    for head in range(network.heads):
        scores, predictor = scores_of(network, head, hidden), otlabel.Predictor(potentials[head], epsilon)
        found = predictor.predict(scores)
        labels.append(torch.as_tensor(found))
        sure.append(confidence_of(predictor, scores, found))
    return torch.stack(labels, dim=1).cpu(), torch.stack(sure, dim=1).cpu()


def confidence_of(predictor: otlabel.Predictor, scores: Tensor | otlabel.LinearScores, labels: Any) -> Tensor:
    """(n,) float32: what each row of the plan gives to its label (n,)."""
    return torch.as_tensor(predictor.confidence(scores, labels)).float()
