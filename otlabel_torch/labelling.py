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
BLOCK = 1 << 14  # rows of scores in float64 at a time


@dataclass(frozen=True)
class Labelling:
    """Labels of every image, keyed by its index, and how they were found."""

    labels: Tensor  # (n, heads) int64
    confidence: Tensor  # (n, heads) float32: what the row of the plan gives to the label, of 1
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
        return torch.cat([network.features(normalise(batch.to(device), network.size)).cpu() for batch in bar])


@torch.no_grad()
def collect_hidden(
    network: Network,
    images: Images,
    device: torch.device,
    augment: Augment | None = None,
    views: int = 0,
    seed: int | None = None,
) -> Tensor:
    """Inputs (n, width) of the heads, in eval mode, averaged over ``views`` augmented views; 0: the image itself.

    With a ``seed`` each batch draws the same views: what an image gets does not depend on its place.

    The heads are linear, so that these give the scores averaged over views. Up to a constant a row, which no plan sees,
    those are the log-probabilities that SeLa's objective averages over the same augmentations.
    """
    batches = images.pixels.split(BATCH)
    bar = tqdm(batches, desc="scores", unit="batch", leave=False, disable=None)
    hidden = []
    with evaluating(network):
        for batch in bar:
            batch = batch.to(device)
            if seed is not None:
                torch.manual_seed(seed)
            inputs = (augment(batch) for _ in range(views)) if augment and views else (normalise(batch, network.size),)
            of_views = [network.hidden(network.features(view)) for view in inputs]
            hidden.append(torch.stack(of_views).mean(dim=0).cpu())
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
    labels = result.labels.T.contiguous()
    sure = confidence(scores, labels, result.potentials, epsilon)
    return Labelling(labels, sure, result.potentials, sweeps, seconds, result.converged)


def predict(network: Network, hidden: Tensor, potentials: np.ndarray, epsilon: float) -> tuple[Tensor, Tensor]:
    """Labels (n, heads) of images that were not part of the solve, free of capacities, and their confidence.

    Args:
        hidden: (n, width) inputs of the heads.
        potentials: (heads, k) of the solve.
    """
    scores = collect_scores(network, hidden)
    labels = torch.empty(scores.shape[1::-1], dtype=torch.int64)
    for head, rows, exponent in _exponents(scores, potentials, epsilon):
        labels[rows, head] = exponent.argmax(dim=1)
    return labels, confidence(scores, labels, potentials, epsilon)


def confidence(scores: Tensor, labels: Tensor, potentials: np.ndarray, epsilon: float) -> Tensor:
    """(n, heads) float32: what each image's row of the plan gives to its label, rows summing to 1.

    Args:
        scores: (heads, n, k).
        labels: (n, heads).
    """
    sure = torch.empty(labels.shape, dtype=torch.float32)
    for head, rows, exponent in _exponents(scores, potentials, epsilon):
        own = exponent.gather(1, labels[rows, head, None])[:, 0]
        sure[rows, head] = torch.exp(own - exponent.logsumexp(dim=1)).float()
    return sure


def _exponents(scores: Tensor, potentials: np.ndarray, epsilon: float) -> Iterator[tuple[int, slice, Tensor]]:
    """The plan's logarithm up to a constant a row, docs/algorithm.md eq. (1), in float64: head, rows, (rows, k)."""
    for head, g in enumerate(torch.from_numpy(potentials)):
        for start in range(0, scores.shape[1], BLOCK):
            rows = slice(start, start + BLOCK)
            yield head, rows, scores[head, rows].double() / epsilon + g
