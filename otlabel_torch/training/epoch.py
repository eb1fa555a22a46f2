"""One epoch of training on labels that stay."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ..images.augment import Augment
from ..images.images import Images
from ..network.collect import autocast
from ..options.config import Resolved
from ..system.devices import sent
from ..system.errors import TrainingError
from ..system.processes import Processes
from .losses.base import Batch, Loss
from .schedule import learning_rate
from .state import State


def train_epoch(
    config: Resolved, state: State, loss: Loss, images: Images, team: Processes, name: str
) -> dict[str, Any]:
    """Every image once, in random order, in batches that the processes share; returns the epoch's metrics."""
    assert state.labels is not None, "labels come before the first step"
    began = time.perf_counter()
    state.network.train()
    augment = Augment(config.train_size, config.augment)
    steps = max(1, len(images) // config.batch_size)
    order = torch.randperm(len(images))[: steps * config.batch_size]
    # (steps, parts, images): the parts of a step are passed one after the other, their gradients add up.
    own = order.view(steps, team.size, config.accumulate, -1)[:, team.rank]
    if team.rank:  # all have the same order, each its own augmentation
        torch.manual_seed(torch.initial_seed() + team.rank)
    pixels = images.batches(own.flatten(0, 1))
    total = torch.zeros((), device=team.device)

    def forward(images: Tensor) -> tuple[Tensor, Tensor | None]:
        with autocast(images.device, config.precision):
            return state.forward(images)

    title = f"{name} {state.epoch + 1}/{config.epochs}"
    bar = tqdm(own, desc=title, unit="batch", leave=False, disable=None if team.is_first else True)
    for step, parts in enumerate(bar):
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(config.lr, state.epoch + step / steps, config.epochs, config.lr_drops)
        state.optimiser.zero_grad(set_to_none=True)
        for number, part in enumerate(parts):
            shown = sent(next(pixels), team.device)
            batch = Batch(augment(shown), sent(state.labels[part], team.device), partial(augment, shown))
            alone = number < len(parts) - 1 and isinstance(state.forward, DistributedDataParallel)
            with state.forward.no_sync() if alone else nullcontext():  # type: ignore[operator]
                value = loss(forward, batch, state) / len(parts)
                state.scaler.scale(value).backward()
            total += value.detach()
        state.scaler.step(state.optimiser)
        state.scaler.update()
    mean = team.mean(total.item()) / steps  # .item() waits for the device: once an epoch
    whole = all(bool(parameter.isfinite().all()) for parameter in state.network.parameters())
    if not (mean < float("inf") and whole):
        raise TrainingError(
            f"{'the weights' if mean < float('inf') else 'the loss'} became no finite numbers in epoch "
            f"{state.epoch + 1}. Start anew with a smaller `lr` than {config.lr}"
            f"{' or `precision` bf16' if config.precision == 'fp16' else ''}; the epochs before are kept."
        )
    state.epoch += 1
    seconds = time.perf_counter() - began
    return {"loss": mean, "train_seconds": round(seconds, 3), "images_per_second": round(order.numel() / seconds, 1)}
