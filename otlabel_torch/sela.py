"""The loop of the method: labels from the network, the network from the labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from . import checkpoint, controls, labelling
from .augment import Augment
from .config import Resolved
from .data import Images
from .errors import DataError
from .metrics import agreement
from .models import Network
from .schedule import learning_rate, relabel_epochs

VIEW_GROUP = 64  # images that share a draw when labels are solved for: each has several, and drawing takes longer
Report = Callable[[dict[str, Any]], None]


@dataclass
class State:
    """Everything a run has become; what a checkpoint holds."""

    network: Network
    optimiser: torch.optim.Optimizer
    images: str  # fingerprint of the images that the labels belong to
    epoch: int = 0  # epochs finished
    labels: Tensor | None = None  # (n, heads) int64
    confidence: Tensor | None = None  # (n, heads) float32
    potentials: np.ndarray | None = None  # (heads, k)
    records: list[dict[str, Any]] = field(default_factory=list)  # metrics.jsonl

    def save(self, path: Path) -> None:
        checkpoint.save(
            path,
            {
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "epoch": self.epoch,
                "labels": self.labels,
                "confidence": self.confidence,
                "potentials": None if self.potentials is None else torch.from_numpy(self.potentials),
                "records": self.records,
                "images": self.images,
            },
        )

    def load(self, path: Path) -> None:
        saved = checkpoint.load(path)
        if saved["images"] != self.images:
            raise DataError(
                f"{path} belongs to other images: files were added, removed or renamed. Restore them, or start anew."
            )
        self.network.load_state_dict(saved["network"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.epoch, self.records = saved["epoch"], saved["records"]
        self.labels, self.confidence = saved["labels"], saved["confidence"]
        self.potentials = None if saved["potentials"] is None else saved["potentials"].numpy()


def start(config: Resolved, images: Images, device: torch.device) -> State:
    """A random network, the same for the same seed."""
    torch.manual_seed(config.seed)
    network = (
        Network(config.arch, config.image_size, config.heads, config.k).to(device).to(memory_format=torch.channels_last)
    )
    optimiser = torch.optim.SGD(network.parameters(), lr=config.lr, momentum=0.9, weight_decay=config.weight_decay)
    return State(network, optimiser, images.fingerprint)


def views(config: Resolved, group: int = VIEW_GROUP) -> Augment:
    """What draws the views of an image that its labels are found from."""
    return Augment(config.image_size, scans=config.data == "digits", group=group)


def assign(config: Resolved, state: State, images: Images, device: torch.device) -> labelling.Labelling:
    """Labels by the rule that the configuration names."""
    if config.assigner == "random":
        return controls.random(len(images), config.heads, config.k, config.seed)
    if config.assigner == "kmeans":
        features = labelling.collect(state.network, images, device)
        if 0 < state.epoch < config.epochs:  # clusters have other numbers each time: what the heads know is void
            state.network.head.reset_parameters()
            for parameter in state.network.head.parameters():
                state.optimiser.state.pop(parameter, None)
        return controls.kmeans(features, config.heads, config.k, config.seed + state.epoch)
    return label(config, state.network, images, device)


def label(config: Resolved, network: Network, images: Images, device: torch.device) -> labelling.Labelling:
    """An equipartition of all images for every head, from ``config.views`` views of each."""
    hidden = labelling.collect_hidden(network, images, device, views(config), config.views)
    return labelling.solve(network, hidden, config.epsilon, config.rounding)


def fit(
    config: Resolved,
    images: Images,
    device: torch.device,
    *,
    state: State,
    after_epoch: Callable[[State], None] = lambda state: None,
    report: Report = lambda record: None,
    name: str = "SeLa",
) -> State:
    """Train ``state`` to the end of the schedule; the state it is given may be half-way there.

    Args:
        after_epoch: called with the state after every epoch and after the final labels, to save it.
        report: called with the metrics of every epoch.
    """
    solves = set(relabel_epochs(config.relabels, config.epochs, config.schedule))
    epochs = config.epochs if config.relabels else 0
    augment = Augment(config.image_size, scans=config.data == "digits")
    while state.epoch < epochs:
        # One seed an epoch: a resumed run draws what the uninterrupted one would have drawn.
        torch.manual_seed(config.seed * 100_003 + state.epoch)
        record: dict[str, Any] = {"run": name, "epoch": state.epoch + 1}
        if state.epoch in solves:
            record |= _relabel(config, state, images, device)
        record |= _train_epoch(config, state, images, augment, device, epochs, name)
        _finish(state, record, after_epoch, report)
    if epochs in solves and len(state.records) == epochs:
        torch.manual_seed(config.seed * 100_003 + epochs)
        record = {"run": name, "epoch": epochs, "final": True} | _relabel(config, state, images, device)
        _finish(state, record, after_epoch, report)
    return state


def _finish(state: State, record: dict[str, Any], after_epoch: Callable[[State], None], report: Report) -> None:
    state.records.append(record)
    after_epoch(state)
    report(record)


def _relabel(config: Resolved, state: State, images: Images, device: torch.device) -> dict[str, Any]:
    began = time.perf_counter()
    found = assign(config, state, images, device)
    record: dict[str, Any] = {
        "sweeps": found.sweeps,
        "solve_seconds": round(found.seconds, 3),
        "label_seconds": round(time.perf_counter() - began, 3),
        "converged": found.converged,
    }
    if state.labels is not None:
        record["changed"] = float((found.labels != state.labels).float().mean())
        record["nmi_previous"] = agreement(found.labels, state.labels)["nmi"]
    if images.classes is not None:
        record |= {f"{name}_classes": value for name, value in agreement(found.labels, images.classes).items()}
    state.labels, state.confidence, state.potentials = found.labels, found.confidence, found.potentials
    return record


def _train_epoch(
    config: Resolved,
    state: State,
    images: Images,
    augment: Augment,
    device: torch.device,
    epochs: int,
    name: str,
) -> dict[str, Any]:
    assert state.labels is not None, "the first solve comes before the first step"
    began = time.perf_counter()
    network, optimiser = state.network.train(), state.optimiser
    n, steps = len(images), max(1, len(images) // config.batch_size)
    order = torch.randperm(n)
    total = torch.zeros((), device=device)
    for step in tqdm(range(steps), desc=f"{name} {state.epoch + 1}/{epochs}", unit="batch", leave=False, disable=None):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config.lr, state.epoch + step / steps, epochs, config.lr_drops)
        batch = order[step * config.batch_size : (step + 1) * config.batch_size]
        scores = network(augment(images.pixels[batch].to(device)))  # (batch, heads, k)
        # Averaged over images and heads: the paper's loss for several labellings.
        loss = F.cross_entropy(scores.flatten(0, 1), state.labels[batch].flatten().to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total += loss.detach()
    state.epoch += 1
    # .item() waits for the device: once an epoch.
    return {"loss": total.item() / steps, "train_seconds": round(time.perf_counter() - began, 3)}
