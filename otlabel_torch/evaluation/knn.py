"""Weighted nearest neighbours: what features are worth without training anything on them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

NEIGHBOURS, TEMPERATURE = 10, 0.1  # the paper's: cosine, weight exp(similarity / 0.1)
BLOCK = 1 << 24  # similarities at a time: 64 MiB
LEFT_OUT = 10_000  # images that are classified by the others, at most: a million by a million take hours


def weighted_knn(
    features: Tensor, classes: Tensor, test: tuple[Tensor, Tensor] | None, counts: Sequence[int] = (NEIGHBOURS,)
) -> list[float]:
    """Accuracy in percent of a weighted vote of the nearest training images by cosine similarity, for each count.

    Wu et al., 2018, as in SeLa's code: the class with the largest sum of exp(similarity / 0.1) among the neighbours.

    Args:
        features: (n, width) of the training images, with their classes (n,). Work is done on their device.
        test: features and classes to classify, or None: training images by the others (leave one out), all of them or
            10,000 that are spread evenly.
        counts: numbers of neighbours; of fewer images all vote.
    """
    bank, classes = F.normalize(features.float(), dim=1), classes.to(features.device)
    if test is None:
        own = torch.arange(len(bank), device=bank.device)
        if len(own) > LEFT_OUT:
            own = own[torch.linspace(0, len(own) - 1, LEFT_OUT).long()]
        queries, truth = bank[own], classes[own]
    else:
        own, queries, truth = None, F.normalize(test[0].to(bank.device).float(), dim=1), test[1].to(bank.device)
    kinds = int(classes.max()) + 1
    most = min(max(counts), len(bank) - (own is not None))
    right = torch.zeros(len(counts), dtype=torch.int64)
    for rows in torch.arange(len(queries), device=bank.device).split(max(1, BLOCK // len(bank))):
        similarity = queries[rows] @ bank.T
        if own is not None:
            similarity[torch.arange(len(rows), device=bank.device), own[rows]] = -torch.inf
        nearest, neighbour = similarity.topk(most, dim=1)  # the nearest first
        weight, known = (nearest / TEMPERATURE).exp(), classes[neighbour]
        for i, count in enumerate(counts):
            votes = torch.zeros(len(rows), kinds, device=bank.device)
            votes.scatter_add_(1, known[:, :count], weight[:, :count])
            right[i] += (votes.argmax(dim=1) == truth[rows]).sum().cpu()
    return [100 * number / len(queries) for number in right.tolist()]
