"""The closing table: what the run made, beside what it must beat."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ..labels.assigners import ASSIGNERS
from ..labels.assigners.sinkhorn import Sinkhorn
from ..labels.look import look
from ..network.collect import BATCH, collect, rows_of
from ..training.loop import Report, epoch_seed, fit
from ..options.config import Resolved
from ..images.images import Images
from ..evaluation.knn import weighted_knn
from ..evaluation.metrics import agreement
from ..network.models import Network
from ..system.processes import Processes
from ..training.state import State, start

RAW = 32  # side in pixels of the images whose pixels are compared


def rows(
    config: Resolved, state: State, train: Images, test: Images | None, team: Processes, tell: Report
) -> list[dict[str, Any]]:
    """A row for raw pixels, the untrained network, the control if it is asked for, and the run.

    All processes work on it; only the first one's rows are of use.
    """
    table = [_raw_pixels(config, train, test)] if team.is_first else []
    untrained = start(dataclasses.replace(config, compile=False), train, team).network
    table.append(_judge("untrained network", config, untrained, None, train, test, team))
    if config.controls and config.relabels > 1:
        frozen = dataclasses.replace(config, relabels=1)
        control = start(frozen, train, team)
        fit(frozen, train, team, state=control, report=tell, name="control")
        table.append(_judge("first labels, never updated", config, control.network, None, train, test, team))
    if state.labels is not None:
        name = ASSIGNERS[config.assigner].title or f"labels by {config.assigner}"
        table.append(_judge(name, config, state.network, state.labels, train, test, team))
    return table


def _raw_pixels(config: Resolved, train: Images, test: Images | None) -> dict[str, Any]:
    """kNN on the pixels, and k-means labels of them; large images are shrunk first."""
    from sklearn.cluster import MiniBatchKMeans

    def flat(images: Images) -> Tensor:
        batches = images.batches(torch.arange(len(images)).split(BATCH))
        side = min(RAW, images.size)
        return (
            torch.cat([F.resize(batch, [side, side], antialias=True).flatten(1).cpu() for batch in batches]).float()
            / 255
        )

    pixels = flat(train)
    other = None if test is None else (flat(test), test.truth)
    means = MiniBatchKMeans(config.k, random_state=config.seed, n_init=1).fit_predict(pixels.numpy())
    labels = torch.from_numpy(means).long()[:, None]
    return {"name": "raw pixels", "knn": weighted_knn(pixels, train.truth, other)[0]} | agreement(labels, train.truth)


def _judge(
    name: str,
    config: Resolved,
    network: Network,
    labels: Tensor | None,
    train: Images,
    test: Images | None,
    team: Processes,
) -> dict[str, Any]:
    """A row of the closing table. Labels of None stand for those the network would give now."""
    features = _features(config, network, train, team)
    other = None if test is None else (_features(config, network, test, team), test.truth)
    if labels is None:
        labels = Sinkhorn().solve(look(Sinkhorn, config, network, train, team, seed=epoch_seed(config, 0))).labels
    if not team.is_first:
        return {}
    row: dict[str, Any] = {"name": name, "knn": weighted_knn(features, train.truth, other)[0]}
    return row | agreement(labels, train.truth)


def _features(config: Resolved, network: Network, images: Images, team: Processes) -> Tensor:
    found = collect(network, images, team, precision=config.precision)
    return team.gather(found.cpu(), rows_of(team, len(images)))
