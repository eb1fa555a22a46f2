"""The adapter between networks and otlabel, and the only one in this package who asks it for labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

import otlabel

from ..images.augment import Augment, normalise
from ..images.images import Images
from ..network.models import Network
from ..system.devices import free_memory
from ..system.processes import Processes

VERSION = otlabel.__version__
BATCH = 128  # images: bounds the memory of the activations, and is what processes deal out
BLOCK = 1 << 14  # rows of scores in float64 at a time
SHARE = 0.5  # of the free memory that the scores of one head may take; else they are computed anew in every sweep

Precision = Literal["float32", "bf16", "fp16"]
Layer = Literal["features", "hidden"] | Callable[[Tensor], Tensor]  # or a function of normalised images (n, 3, s, s)
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Labelling:
    """Labels of every image, keyed by its index, and how they were found."""

    labels: Tensor  # (n, heads) int64
    confidence: Tensor  # (n, heads) float32: what the row of the plan gives to the label, of 1
    potentials: np.ndarray  # (heads, k)
    sweeps: float  # the most of any head
    seconds: float  # of the transport, the network's pass not counted
    converged: bool


@dataclass(frozen=True)
class Views:
    """Augmented views of an image, which its scores are averaged over: the same changes for every image.

    So the views of two images differ by the images alone, which may make better labels than draws of their own
    (docs/reproduce.md), and what is seen of an image depends on no other, nor on who looks, or when.
    """

    augment: Augment  # of alike changes
    count: int
    seed: int

    def of(self, pixels: Tensor, batch: int) -> Iterator[Tensor]:
        """``count`` views of the images of a batch."""
        torch.manual_seed(self.seed)
        changed = [self.augment(pixels) for _ in range(self.count)]
        torch.manual_seed(self.seed + batch + 1)  # dropout, in training mode, must differ from batch to batch
        return iter(changed)


@torch.no_grad()
def collect(
    network: Network,
    images: Images,
    team: Processes,
    *,
    layer: Layer = "features",
    views: Views | None = None,
    precision: Precision = "float32",
    train_mode: bool = False,
) -> Tensor:
    """What a layer makes of this process's share of the images, (rows, width) float32, every image in its place.

    ``hidden`` are the inputs of the heads. Those are linear, so that averages of inputs over views give the average
    scores. Up to a constant a row, which no plan sees, those are the log-probabilities that SeLa's objective averages
    over the same augmentations.

    Args:
        views: None: the image itself.
        train_mode: as the paper's code does: statistics of the batch, which also moves the running ones, and dropout.
    """
    batches = _batches(len(images))
    own = range(len(batches))[team.share(len(batches))]
    pixels = images.batches(batches[i] for i in own)
    name = layer if isinstance(layer, str) else "layer"
    bar = tqdm(pixels, total=len(own), desc=name, unit="batch", leave=False, disable=None if team.is_first else True)
    rows = sum(len(batches[i]) for i in own)
    kept, done = torch.empty(0), 0
    with in_mode(network, train_mode):
        for number, batch in zip(own, bar, strict=True):
            batch = batch.to(team.device, non_blocking=True)
            inputs = iter((normalise(batch, network.size),)) if views is None else views.of(batch, number)
            mean = torch.stack([_output(network, view, layer, precision) for view in inputs]).mean(dim=0)
            if not done:
                kept = torch.empty(rows, mean.shape[1], device=mean.device if _fits(mean, rows) else "cpu")
            kept[done : done + len(mean)] = mean
            done += len(mean)
    return kept


def _output(network: Network, images: Tensor, layer: Layer, precision: Precision) -> Tensor:
    """What a layer makes of images, (n, width) float32."""
    with autocast(images.device, precision):
        if callable(layer):
            return layer(images).float()
        features = network.features(images)
        return (features if layer == "features" else network.hidden(features)).float()


def rows_of(team: Processes, n: int) -> list[int]:
    """How many of n images each process collects."""
    batches = _batches(n)
    return [sum(len(batch) for batch in batches[share]) for share in team.shares(len(batches))]


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
    return 4 * mean.shape[1] * n < SHARE * free_memory(mean.device)


@contextmanager
def in_mode(network: Network, train: bool) -> Iterator[None]:
    """Evaluation mode inside, in which batch statistics are neither used nor changed, or training mode."""
    was_training = network.training
    network.train(train)
    try:
        yield
    finally:
        network.train(was_training)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager:
    """Where matrix products may be narrower than float32."""
    return torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "float32")


def solve(
    network: Network,
    hidden: Tensor,
    team: Processes,
    n: int,
    *,
    epsilon: float,
    rounding: Literal["balanced", "argmax"],
    shares: np.ndarray | None = None,
) -> Labelling:
    """One equipartition a head from the inputs of the heads: one solve over the rows of all processes.

    Solves do not start from the potentials of those before: an epoch moves them so far that it saves nothing
    (docs/training.md).

    Args:
        hidden: (rows, width) of this process.
        n: images in all processes.
        shares: (k,) or (heads, k) of the labels; None: equal.
    """
    began = time.perf_counter()
    results, labels, sure = [], [], []
    for head in tqdm(
        range(network.heads), desc="labels", unit="head", leave=False, disable=None if team.is_first else True
    ):
        scores = scores_of(network, head, hidden)
        result = otlabel.assign(
            scores,
            k=network.k,
            epsilon=epsilon,
            rounding=rounding,
            b=shares if shares is None or shares.ndim == 1 else shares[head],
            comm=team.comm,
        )
        found = torch.as_tensor(result.labels).to(hidden.device)
        sure.append(_confidence(scores, found, result.potentials, epsilon))
        labels.append(found)
        results.append(result)
    counts = rows_of(team, n)
    return Labelling(
        team.gather(torch.stack(labels, dim=1).cpu(), counts),
        team.gather(torch.stack(sure, dim=1).cpu(), counts),
        np.stack([result.potentials for result in results]),
        round(max(float(result.n_sweeps) for result in results), 1),
        time.perf_counter() - began,
        all(result.converged for result in results),
    )


def scores_of(network: Network, head: int, hidden: Tensor) -> Tensor | otlabel.LinearScores:
    """Scores (rows, k) of one head, where its inputs (rows, width) are; computed anew each time if they do not fit."""
    weight, bias = (part.to(hidden.device, torch.float32) for part in network.linear(head))
    if 4 * len(hidden) * network.k > SHARE * free_memory(hidden.device):
        return otlabel.LinearScores(hidden, weight, bias)
    return F.linear(hidden, weight, bias)


def predict(network: Network, hidden: Tensor, potentials: np.ndarray, epsilon: float) -> tuple[Tensor, Tensor]:
    """Labels (n, heads) of images that were not part of the solve, free of capacities, and their confidence.

    Args:
        hidden: (n, width) inputs of the heads.
        potentials: (heads, k) of the solve.
    """
    labels, sure = [], []
    for head in range(network.heads):
        scores = scores_of(network, head, hidden)
        best = [exponent.argmax(dim=1) for _rows, exponent in _exponents(scores, potentials[head], epsilon)]
        labels.append(torch.cat(best))
        sure.append(_confidence(scores, labels[-1], potentials[head], epsilon))
    return torch.stack(labels, dim=1).cpu(), torch.stack(sure, dim=1).cpu()


def _confidence(scores: Any, labels: Tensor, potentials: np.ndarray, epsilon: float) -> Tensor:
    """(n,) float32: what each image's row of the plan gives to its label (n,), rows summing to 1."""
    sure = torch.empty(labels.shape, dtype=torch.float32, device=labels.device)
    for rows, exponent in _exponents(scores, potentials, epsilon):
        own = exponent.gather(1, labels[rows, None])[:, 0]
        sure[rows] = torch.exp(own - exponent.logsumexp(dim=1)).float()
    return sure


def _exponents(scores: Any, potentials: np.ndarray, epsilon: float) -> Iterator[tuple[slice, Tensor]]:
    """The plan's logarithm up to a constant a row, docs/algorithm.md eq. (1), in float64, for blocks of rows."""
    for start in range(0, scores.shape[0], BLOCK):
        rows = slice(start, min(start + BLOCK, scores.shape[0]))
        block = torch.as_tensor(scores[rows])
        yield rows, block.double() / epsilon + torch.as_tensor(potentials, device=block.device)
