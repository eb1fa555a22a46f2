"""The adapter between networks and otlabel, and the only importer of otlabel in this package."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

import otlabel

from .augment import Augment, normalise
from .data import Images
from .models import Network

VERSION = otlabel.__version__
BATCH = 128  # images: bounds the memory of the activations


@dataclass(frozen=True)
class Labelling:
    """Labels of every image, keyed by its index, and how they were found."""

    labels: Tensor  # (n, heads) int64
    potentials: np.ndarray  # (heads, k)
    sweeps: float  # the most of any head
    seconds: float  # of the transport, the network's pass not counted
    converged: bool


@torch.no_grad()
def collect(network: Network, images: Images, device: torch.device) -> Tensor:
    """Features (n, width) of every image in its place, in eval mode and without augmentation."""
    batches = images.pixels.split(BATCH)
    bar = tqdm(batches, desc="features", unit="batch", leave=False, disable=None)
    with evaluating(network):
        return torch.cat([network.features(normalise(batch.to(device))).cpu() for batch in bar])


@torch.no_grad()
def collect_hidden(
    network: Network, images: Images, device: torch.device, augment: Augment | None = None, views: int = 0
) -> Tensor:
    """Inputs (n, width) of the heads, in eval mode, averaged over ``views`` augmented views; 0: the image itself.

    The heads are linear, so that these give the scores averaged over views. Up to a constant a row, which no plan sees,
    those are the log-probabilities that SeLa's objective averages over the same augmentations.
    """
    batches = images.pixels.split(BATCH)
    bar = tqdm(batches, desc="scores", unit="batch", leave=False, disable=None)
    hidden = []
    with evaluating(network):
        for batch in bar:
            batch = batch.to(device)
            inputs = (augment(batch) for _ in range(views)) if augment and views else (normalise(batch),)
            hidden.append(sum(network.hidden(network.features(view)) for view in inputs).cpu() / max(views, 1))
    return torch.cat(hidden)


@torch.no_grad()
def collect_scores(network: Network, hidden: Tensor) -> Tensor:
    """Scores (heads, n, k) of the heads' inputs (n, width)."""
    device = network.head.weight.device
    return network.scores(hidden.to(device)).permute(1, 0, 2).contiguous().cpu()


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """Batch statistics are neither used nor changed inside."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


def solve(network: Network, hidden: Tensor, epsilon: float, rounding: Literal["balanced", "argmax"]) -> Labelling:
    """One equipartition a head from the scores that the heads give to their inputs (n, width)."""
    scores = collect_scores(network, hidden)
    start = time.perf_counter()
    result = otlabel.assign(scores, k=network.k, epsilon=epsilon, rounding=rounding)
    seconds = time.perf_counter() - start
    sweeps = round(float(np.max(result.n_sweeps)), 1)
    return Labelling(result.labels.T.contiguous(), result.potentials, sweeps, seconds, result.converged)
