"""The loop of the method: labels from the network, the network from the labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..evaluation.metrics import nmi
from ..images.images import Images
from ..labels import answers
from ..labels.assigners.base import Assigner
from ..labels.look import look
from ..network.statistics import settle
from ..options.config import Resolved
from ..options.kinds import ASSIGNERS
from ..system.processes import Processes
from .epoch import train_epoch
from .losses.around import loss_of
from .schedule import relabel_epochs
from .state import State

Report = Callable[[dict[str, Any]], None]


def fit(
    config: Resolved,
    images: Images,
    team: Processes,
    *,
    state: State,
    table: Tensor | None = None,
    after_epoch: Callable[[State], None] = lambda state: None,
    report: Report = lambda record: None,
    name: str = "SeLa",
) -> State:
    """Train ``state`` to the end of the schedule; the state it is given may be half-way there.

    Args:
        table: (n, heads) labels that were read from a file, for an assigner that needs them.
        after_epoch: called with the state after every epoch, after the final labels and at the end, to save it.
        report: called with the metrics of every epoch.
        name: of the run in its metrics.
    """
    assigner, loss = ASSIGNERS[config.assigner](), loss_of(config)
    solves = set(relabel_epochs(config.relabels, config.epochs, config.schedule))
    epochs = config.epochs if config.relabels else 0

    def finish(record: dict[str, Any]) -> None:
        state.records.append(record)
        after_epoch(state)
        report(record)

    while state.epoch < epochs:
        record: dict[str, Any] = {"run": name, "epoch": state.epoch + 1}
        if state.epoch in solves:
            record |= relabel(assigner, config, state, images, team, table)
            assigner.after(state)
            team.from_first(*map(Tensor.detach, state.network.head.parameters()))  # which each may have drawn anew
        torch.manual_seed(epoch_seed(config, state.epoch))
        record |= train_epoch(config, state, loss, images, team, name)
        finish(record)
    if state.epoch:  # before the last labels, which are the network's as it stays
        settle(state.network, images, team, config.precision)
    if epochs in solves and state.labels_epoch != epochs:
        record = {"run": name, "epoch": epochs, "final": True}
        record |= relabel(assigner, config, state, images, team, table)
        if state.epoch and config.label_mode == "train":  # which has moved them
            settle(state.network, images, team, config.precision)
        finish(record)
    elif state.epoch:
        after_epoch(state)
    return state


def relabel(
    assigner: Assigner, config: Resolved, state: State, images: Images, team: Processes, table: Tensor | None
) -> dict[str, Any]:
    """Give the state new labels of all images; returns what metrics say of them."""
    began, seed = time.perf_counter(), epoch_seed(config, state.epoch)
    torch.manual_seed(seed)
    context = look(assigner, config, state.network, images, team, epoch=state.epoch, seed=seed, table=table)
    looked = time.perf_counter()
    found = assigner.solve(context)
    answers.check(found, config, len(images))
    ended = time.perf_counter()
    record: dict[str, Any] = {
        "sweeps": found.sweeps,
        "solve_seconds": round(ended - looked, 3),
        "label_seconds": round(ended - began, 3),
        "converged": found.converged,
    }
    if team.is_first:
        if state.labels is not None:
            record["changed"] = float((found.labels != state.labels).float().mean())
            record["nmi_previous"] = nmi(found.labels, state.labels)
        if images.classes is not None:
            record["nmi_classes"] = nmi(found.labels, images.classes)
    state.relabel(found, seed)
    return record


def epoch_seed(config: Resolved, epoch: int) -> int:
    """Of all that is drawn after so many epochs: a resumed run draws what the uninterrupted one would have drawn."""
    return config.seed * 100_003 + epoch
