"""The closing table: what the run made, beside what it must beat."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ..evaluation.features import knn_accuracy
from ..evaluation.knn import NEIGHBOURS, weighted_knn
from ..evaluation.metrics import agreement
from ..evaluation.subject import Subject
from ..images.images import Images
from ..labels.assigners.sinkhorn import Sinkhorn
from ..labels.kmeans import kmeans
from ..labels.look import look
from ..network import weights
from ..network.collect import BATCH
from ..network.models import Network
from ..options.config import Resolved
from ..options.kinds import ASSIGNERS
from ..system.processes import Processes
from ..training.loop import Report, epoch_seed, fit
from ..training.state import State, start

RAW = 32  # side in pixels of the images whose pixels are compared


def rows(
    config: Resolved, state: State, train: Images, test: Images | None, team: Processes, tell: Report
) -> list[dict[str, Any]]:
    """A row for raw pixels, the untrained network, the control if it is asked for, and the run.

    All processes work on it; only the first one's rows are of use.
    """

    def judged(name: str, network: Network, labels: Tensor | None = None) -> dict[str, Any]:
        """A row. Labels of None stand for those the network would give now."""
        subject = Subject(network, train, test, team, config.seed, config.precision)
        _features = subject.features  # all processes work on them, the first one judges
        if labels is None:
            seen = look(Sinkhorn, config, network, train, team, seed=epoch_seed(config, 0))
            labels = Sinkhorn().solve(seen).labels
        if not team.is_first:
            return {}
        row: dict[str, Any] = {"name": name, "knn": knn_accuracy(subject, (NEIGHBOURS,))[0]}
        return row | agreement(labels, train.truth)

    table = [_raw_pixels(config, train, test)] if team.is_first else []
    starts = team.mean(weights.is_gone(config.init)) == 0  # else a run has gone on without its first weights
    if starts:
        untrained = start(dataclasses.replace(config, compile=False), train, team).network
        table.append(judged("untrained network", untrained))
    if starts and config.controls and config.relabels > 1:
        frozen = dataclasses.replace(config, relabels=1)
        control = start(frozen, train, team)
        fit(frozen, train, team, state=control, report=tell, name="control")
        table.append(judged("first labels, never updated", control.network))
    if state.labels is not None:
        name = ASSIGNERS[config.assigner].title or f"labels by {config.assigner}"
        table.append(judged(name, state.network, state.labels))
    return table


def _raw_pixels(config: Resolved, train: Images, test: Images | None) -> dict[str, Any]:
    """kNN on the pixels, and k-means labels of them; large images are shrunk first."""

    def flat(images: Images) -> Tensor:
        batches = images.batches(torch.arange(len(images)).split(BATCH))
        side = min(RAW, images.size)
        return (
            torch.cat([F.resize(batch, [side, side], antialias=True).flatten(1).cpu() for batch in batches]).float()
            / 255
        )

    pixels = flat(train)
    other = None if test is None else (flat(test), test.truth)
    labels, _others = kmeans(pixels, config.k, config.seed)
    row: dict[str, Any] = {"name": "raw pixels", "knn": weighted_knn(pixels, train.truth, other)[0]}
    return row | agreement(labels[:, None], train.truth)
