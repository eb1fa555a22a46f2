"""The loop of the method: labels from the network, the network from the labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..evaluation.metrics import nmi
from ..images.augment import Augment
from ..images.images import Images
from ..labels import assigners as controls
from ..labels import transport as labelling
from ..labels.priors import shares
from ..network.models import Network
from ..options.config import Resolved
from ..system.processes import Processes
from .epoch import train_epoch
from .schedule import relabel_epochs
from .state import State

Report = Callable[[dict[str, Any]], None]


def fit(
    config: Resolved,
    images: Images,
    team: Processes,
    *,
    state: State,
    given: Tensor | None = None,
    after_epoch: Callable[[State], None] = lambda state: None,
    report: Report = lambda record: None,
    name: str = "SeLa",
) -> State:
    """Train ``state`` to the end of the schedule; the state it is given may be half-way there.

    Args:
        given: (n, heads) labels of ``--assigner file``.
        after_epoch: called with the state after every epoch and after the final labels, to save it.
        report: called with the metrics of every epoch.
    """
    solves = set(relabel_epochs(config.relabels, config.epochs, config.schedule))
    epochs = config.epochs if config.relabels else 0
    while state.epoch < epochs:
        record: dict[str, Any] = {"run": name, "epoch": state.epoch + 1}
        if state.epoch in solves:
            record |= _relabel(config, state, images, team, given)
        torch.manual_seed(epoch_seed(config, state.epoch))
        record |= train_epoch(config, state, images, team, name)
        _finish(state, record, after_epoch, report)
    if epochs in solves and len(state.records) == epochs:
        record = {"run": name, "epoch": epochs, "final": True} | _relabel(config, state, images, team, given)
        _finish(state, record, after_epoch, report)
    return state


def _finish(state: State, record: dict[str, Any], after_epoch: Callable[[State], None], report: Report) -> None:
    state.records.append(record)
    after_epoch(state)
    report(record)


def _relabel(config: Resolved, state: State, images: Images, team: Processes, given: Tensor | None) -> dict[str, Any]:
    began = time.perf_counter()
    torch.manual_seed(epoch_seed(config, state.epoch))
    found = assign(config, state, images, team, given)
    record: dict[str, Any] = {
        "sweeps": found.sweeps,
        "solve_seconds": round(found.seconds, 3),
        "label_seconds": round(time.perf_counter() - began, 3),
        "converged": found.converged,
    }
    if team.is_first:
        if state.labels is not None:
            record["changed"] = float((found.labels != state.labels).float().mean())
            record["nmi_previous"] = nmi(found.labels, state.labels)
        if images.classes is not None:
            record["nmi_classes"] = nmi(found.labels, images.classes)
    state.labels, state.confidence, state.potentials = found.labels, found.confidence, found.potentials
    return record


def assign(
    config: Resolved, state: State, images: Images, team: Processes, given: Tensor | None = None
) -> labelling.Labelling:
    """Labels of all images by the rule that the configuration names."""
    if config.assigner == "file":
        assert given is not None, "labels of a file are read before the run"
        return controls.given(given, config.k)
    if config.assigner == "random":
        return controls.random(len(images), config.heads, config.k, config.seed)
    if config.assigner == "kmeans":
        features = collect(config, state.network, images, team, "features")
        features = team.gather(features, labelling.rows_of(team, len(images)))
        if 0 < state.epoch < config.epochs:  # clusters have other numbers each time: what the heads know is void
            state.network.head.reset_parameters()
            for parameter in state.network.head.parameters():
                state.optimiser.state.pop(parameter, None)
        found = controls.kmeans(features.cpu(), config.heads, config.k, config.seed + state.epoch)
        team.from_first(found.labels)  # threads may sum in another order in every process
        return found
    return label(config, state.network, images, team, state.epoch)


def label(
    config: Resolved,
    network: Network,
    images: Images,
    team: Processes,
    epoch: int = 0,
) -> labelling.Labelling:
    """A partition of all images for every head, from ``config.views`` views of each, others in every epoch."""
    hidden = collect(config, network, images, team, "hidden", epoch)
    return labelling.solve(
        network,
        hidden,
        team,
        len(images),
        epsilon=config.epsilon,
        rounding=config.rounding,
        shares=shares(config.prior, config.k, config.heads),
    )


def epoch_seed(config: Resolved, epoch: int) -> int:
    """Of all that is drawn after so many epochs: a resumed run draws what the uninterrupted one would have drawn."""
    return config.seed * 100_003 + epoch


def collect(config: Resolved, network: Network, images: Images, team: Processes, layer: Any, epoch: int = 0) -> Tensor:
    """This process's share of what a layer makes of the images: features of the image itself, inputs of heads of its
    views."""
    team.from_first(*network.buffers())  # running statistics, of which each process has its own
    views = None
    if layer == "hidden" and config.views:
        augment = Augment(config.image_size, config.augment, alike=True)
        views = labelling.Views(augment, config.views, epoch_seed(config, epoch))
    train_mode = layer == "hidden" and config.label_mode == "train"
    return labelling.collect(
        network, images, team, layer=layer, views=views, precision=config.precision, train_mode=train_mode
    )
