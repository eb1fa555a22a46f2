"""What a layer makes of all images, each process its part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from ..images.augment import Augment, normalise
from ..images.images import Images
from ..options.config import Precision
from ..system.devices import free_memory, sent
from ..system.processes import Processes
from .convolution import unchanging
from .models import Network

BATCH = 128  # images: bounds the memory of the activations, and is what processes deal out
# Batches in one pass of a CUDA device, which would wait for the host that starts the kernels of one, and the side of
# images that so many are for. Activations of a ResNet-50 without its stem are 1 GB a layer then.
ON_CUDA, SMALL = 8, 32
MEMORY = 0.5  # of what is free, the most that values of all images may take; so much again is left for their scores

Read = Literal["features", "hidden"] | Callable[[Tensor], Tensor]  # or a function of normalised images (n, 3, s, s)
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Views:
    """Augmented views of an image, which its scores are averaged over: the same changes for every image.

    So the views of two images differ by the images alone, which may make better labels than draws of their own
    (docs/reproduce.md), and what is seen of an image depends on no other, nor on who looks, or when.
    """

    augment: Augment  # of alike changes
    count: int
    seed: int
    itself: int | None = None  # pixels a side, where the image as it is counts as a view more

    def of(self, pixels: Tensor, batch: int) -> Iterator[Tensor]:
        """The images of a batch in ``count`` views, after the images as they are if those count too."""
        torch.manual_seed(self.seed)
        changed = [self.augment(pixels) for _ in range(self.count)]
        torch.manual_seed(self.seed + batch + 1)  # dropout, in training mode, must differ from batch to batch
        return iter(changed if self.itself is None else [normalise(pixels, self.itself), *changed])


@torch.no_grad()
def collect(
    network: Network,
    images: Images,
    team: Processes,
    *,
    layer: Read = "features",
    views: Views | None = None,
    precision: Precision = "float32",
    train_mode: bool = False,
) -> Tensor:
    """What a layer makes of this process's part of the images, (rows, width) float32, every image in its place.

    ``hidden`` are the inputs of the heads. Those are linear, so that averages of inputs over views give the average
    scores. Up to a constant a row, which no plan sees, those are the log-probabilities that SeLa's objective averages
    over the same augmentations.

    Args:
        views: None: the image itself.
        train_mode: as the paper's code does: statistics of the batch, which also moves the running ones, and dropout.
    """
    team.from_first(*network.buffers())  # running statistics, of which each process has its own
    batches = _batches(len(images))
    own = range(len(batches))[team.part(len(batches))]
    several = 1 if train_mode else together(team.device, network.size)  # statistics are of one batch
    passes = [torch.cat([batches[i] for i in own[first : first + several]]) for first in range(0, len(own), several)]
    pixels = images.batches(passes)
    name = layer if isinstance(layer, str) else "layer"
    bar = tqdm(pixels, total=len(passes), desc=name, unit="batch", leave=False, disable=None if team.is_first else True)
    rows = sum(map(len, passes))
    kept, done = torch.empty(0, 0), 0
    with in_mode(network, train_mode):
        for number, batch in zip(own[::several], bar, strict=True):
            batch = sent(batch, team.device)
            inputs = iter((normalise(batch, network.size),)) if views is None else views.of(batch, number)
            mean = torch.stack([_output(network, view, layer, precision) for view in inputs]).mean(dim=0)
            if not done:
                kept = torch.empty(rows, mean.shape[1], device=mean.device if _fits(mean, rows) else "cpu")
            kept[done : done + len(mean)] = mean
            done += len(mean)
    return kept if passes else _nothing(network, team.device, layer)


def _output(network: Network, images: Tensor, layer: Read, precision: Precision) -> Tensor:
    """What a layer makes of images, (n, width) float32."""
    with autocast(images.device, precision):
        if callable(layer):
            return layer(images).float()
        features = network.features(images)
        return (features if layer == "features" else network.hidden(features)).float()


def _nothing(network: Network, device: torch.device, layer: Read) -> Tensor:
    """Of no images, as wide as what other processes have of theirs."""
    black = torch.zeros(1, 3, network.size, network.size, device=device)
    with in_mode(network, False):
        return _output(network, black, layer, "float32")[:0].cpu()


def together(device: torch.device, size: int) -> int:
    """How many batches of images of so many pixels one pass takes."""
    return min(ON_CUDA, max(1, ON_CUDA * SMALL**2 // size**2)) if device.type == "cuda" else 1


def rows_of(team: Processes, n: int) -> list[int]:
    """How many of n images each process collects."""
    batches = _batches(n)
    return [sum(len(batch) for batch in batches[part]) for part in team.parts(len(batches))]


def _batches(n: int) -> list[Tensor]:
    """Indices, BATCH at a time; one image by itself has no statistics, and goes with those before."""
    batches = list(torch.arange(n).split(BATCH))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def _fits(mean: Tensor, n: int) -> bool:
    """Whether such rows of n images may stay on their device: a CUDA device with room for them and for scores."""
    if mean.device.type != "cuda":
        return False
    return 4 * mean.shape[1] * n < MEMORY * free_memory(mean.device)


@contextmanager
def in_mode(network: Network, train: bool) -> Iterator[None]:
    """Evaluation mode inside, in which batch statistics are neither used nor changed, or training mode.

    Nothing may learn inside.
    """
    was_training = network.training
    network.train(train)
    try:
        with unchanging(network):
            yield
    finally:
        network.train(was_training)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager:
    """Where matrix products may be narrower than float32."""
    return torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "float32")
