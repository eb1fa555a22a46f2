"""What is laid around any loss: a check of its value, blended images, and a second task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...images.augment import mixed
from ...options.config import Resolved
from ...options.kinds import LOSSES
from ...system.errors import UsageError
from ..state import State
from .base import Batch, Blend, Forward, Loss


@dataclass(frozen=True)
class Checked(Loss):
    """A loss whose value must be one number that can be made smaller."""

    inner: Loss
    name: str

    def __call__(self, forward: Forward, batch: Batch, state: State) -> Tensor:
        value: Any = self.inner(forward, batch, state)  # of anybody's class
        if isinstance(value, Tensor) and value.shape == () and value.requires_grad:
            return value
        got = f"a {type(value).__name__}"
        if isinstance(value, Tensor):
            got = f"a tensor {tuple(value.shape)} {'with' if value.requires_grad else 'without'} a gradient"
        raise UsageError(
            f"the loss {self.name} must return a tensor () with a gradient, a mean over the images, got {got}. "
            "Mend its __call__() (docs/extending.md)."
        )


@dataclass(frozen=True)
class Mixup(Loss):
    """Images are blended, and so are the losses of their labels (Zhang et al., 2018)."""

    inner: Loss
    alpha: float

    def __call__(self, forward: Forward, batch: Batch, state: State) -> Tensor:
        images, weight, partner = mixed(batch.images, self.alpha)
        return self.inner(forward, replace(batch, images=images, blend=Blend(weight, partner)), state)


@dataclass(frozen=True)
class Rotation(Loss):
    """Every image is shown in four turns: the labels are asked of the upright one, the turn of all.

    SeLa+Rot: the sum of both losses.
    """

    inner: Loss

    def __call__(self, forward: Forward, batch: Batch, state: State) -> Tensor:
        tasks: list[Tensor] = []  # one for each pass through the network

        def turned(images: Tensor) -> tuple[Tensor, None]:
            four = torch.cat([images.rot90(turn, (2, 3)) for turn in range(4)])
            scores, turns = forward(four.contiguous(memory_format=torch.channels_last))
            assert turns is not None, "the network has a head for turns"
            truth = torch.arange(4, device=images.device).repeat_interleave(len(images))
            tasks.append(F.cross_entropy(turns.float(), truth))
            return scores, None

        return self.inner(turned, batch, state) + torch.stack(tasks).mean()


def loss_of(config: Resolved) -> Loss:
    """The loss that the configuration names, with what it lays around it."""
    loss: Loss = Checked(LOSSES[config.loss](), config.loss)
    if config.mixup:
        loss = Mixup(loss, config.mixup)
    return Rotation(loss) if config.rotation else loss
