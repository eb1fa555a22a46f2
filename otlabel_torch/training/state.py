"""Everything a run has become, and its checkpoint."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..images.images import Images
from ..labels.assigners.base import Labelling, of_other_scores
from ..network import weights
from ..network.models import Network
from ..options.config import Resolved
from ..system.errors import DataError
from ..system.processes import Processes
from . import checkpoint

MOMENTUM = 0.9  # the paper's


@dataclass
class State:
    """Network, optimiser, labels, and how far they have come."""

    network: Network
    forward: nn.Module  # the network as it is called in training: compiled, or with gradients averaged over processes
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # of losses in float16; idle in other precisions
    images: str  # fingerprint of the images that the labels belong to
    epoch: int = 0  # epochs finished
    labels: Tensor | None = None  # (n, heads) int64
    confidence: Tensor | None = None  # (n, heads) float32
    potentials: np.ndarray | None = None  # (heads, k)
    labels_epoch: int | None = None  # epochs that were finished when the labels were made
    labels_seed: int | None = None  # of the views that they were made from
    records: list[dict[str, Any]] = field(default_factory=list)  # metrics.jsonl: a log, which nothing is read from

    @property
    def labels_are_new(self) -> bool:
        """Whether the labels were made since the last epoch but one: before the last one's steps, or after them."""
        return self.labels_epoch is not None and self.labels_epoch >= self.epoch - 1

    def relabel(self, found: Labelling, seed: int) -> None:
        """Take new labels in the place of those before.

        Args:
            seed: of the views that they were made from.
        """
        self.labels, self.confidence, self.potentials = found.labels, found.confidence, found.potentials
        self.labels_epoch, self.labels_seed = self.epoch, seed

    def reset_heads(self) -> None:
        """Random heads, and an optimiser and potentials that know nothing of those before."""
        self.network.head.reset_parameters()
        if self.potentials is not None:
            self.potentials = of_other_scores(self.potentials)
        rest(self.optimiser, self.network.head.parameters())

    def save(self, path: Path) -> None:
        """Write the checkpoint: ``model`` has the trunk's weights under the names that torchvision gives them."""
        parts = {name: part.state_dict() for name, part in self.network.named_children()}
        checkpoint.save(
            path,
            {
                "model": parts.pop("trunk"),
                "heads": parts,
                "optimiser": self.optimiser.state_dict(),
                "scaler": self.scaler.state_dict(),
                "epoch": self.epoch,
                "labels": self.labels,
                "confidence": self.confidence,
                "potentials": None if self.potentials is None else torch.from_numpy(self.potentials),
                "labels_epoch": self.labels_epoch,
                "labels_seed": self.labels_seed,
                "records": self.records,
                "images": self.images,
            },
        )

    def load(self, saved: dict[str, Any], path: Path) -> None:
        """Take up what ``save`` wrote.

        Args:
            saved: what ``checkpoint.load`` read.
            path: of the checkpoint, for the error.

        Raises:
            DataError: the checkpoint belongs to other images or to another network.
        """
        if saved["images"] != self.images:
            raise DataError(
                f"{path} belongs to other images: files were added, removed or renamed. Restore them, or start anew."
            )
        load_network(self.network, saved, path)
        self.optimiser.load_state_dict(saved["optimiser"])
        fuse(self.optimiser)
        self.scaler.load_state_dict(saved["scaler"])
        self.epoch, self.records = saved["epoch"], saved["records"]
        self.labels, self.confidence = saved["labels"], saved["confidence"]
        self.potentials = None if saved["potentials"] is None else saved["potentials"].numpy()
        self.labels_epoch, self.labels_seed = saved["labels_epoch"], saved["labels_seed"]


def rest(optimiser: torch.optim.Optimizer, parameters: Iterable[Tensor]) -> None:
    """No momentum, in buffers of their own: the fused step wants one for every parameter, laid out as that is."""
    for parameter in parameters:
        optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def fuse(optimiser: torch.optim.Optimizer) -> None:
    """Make an optimiser's state, as it was loaded, one for the fused step: older versions wrote that of another."""
    for group in optimiser.param_groups:
        group["fused"] = True
        for parameter in group["params"]:
            held = optimiser.state.get(parameter) or {}
            buffer = held.get("momentum_buffer") if isinstance(held, dict) else held
            if buffer is None or (isinstance(buffer, Tensor) and buffer.shape == parameter.shape):
                rest(optimiser, [parameter])
                if buffer is not None:
                    optimiser.state[parameter]["momentum_buffer"].copy_(buffer)
            # What else it may be the rules for checkpoints name.


def load_network(network: Network, saved: dict[str, Any], path: Path) -> None:
    """Give a network the weights of a checkpoint.

    Args:
        path: of the checkpoint, for the error.

    Raises:
        DataError: they are another network's.
    """
    heads = nn.ModuleDict({name: part for name, part in network.named_children() if name != "trunk"})
    try:
        network.trunk.load_state_dict(saved["model"])
        heads.load_state_dict({f"{head}.{key}": part[key] for head, part in saved["heads"].items() for key in part})
    except (RuntimeError, AttributeError) as error:
        reason = textwrap.shorten(str(error).splitlines()[-1], 120, placeholder=" ...")
        raise DataError(
            f"{path} must hold weights of the network that the run's configuration names: {reason} Restore one of "
            "the two, or start the run anew."
        ) from None


def build(config: Resolved) -> Network:
    """The network that the configuration names, with random weights."""
    return Network(
        config.arch, config.image_size, config.heads, config.k, hidden=config.hidden, rotation=config.rotation
    )


def start(
    config: Resolved, images: Images, team: Processes, tell: Callable[[str], object] = lambda line: None
) -> State:
    """The state before the first step, the same for the same seed; tell: of what a file of weights gave."""
    torch.manual_seed(config.seed)
    network = build(config)
    for line in weights.initialise(network, config.arch, config.init).notes:
        tell(line)
    network = network.to(team.device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        network.parameters(),
        config.lr,
        MOMENTUM,
        weight_decay=config.weight_decay,
        nesterov=config.nesterov,
        fused=True,
    )
    rest(optimiser, network.parameters())
    scaler = torch.amp.GradScaler(team.device.type, enabled=config.precision == "fp16")
    forward: nn.Module = torch.compile(network) if config.compile else network  # type: ignore[assignment]
    if team.comm is not None:
        forward = DistributedDataParallel(forward)
    return State(network, forward, optimiser, scaler, images.fingerprint)
