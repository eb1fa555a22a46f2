"""What a loss is given, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ..state import State

# Images (n, 3, s, s) -> scores (n, heads, k), and what the network makes of turned ones, see network.models.
Forward = Callable[[Tensor], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Blend:
    """How every image of a batch is mixed with another one."""

    weight: Tensor  # (n,) of the image in its blend, of 1
    partner: Tensor  # (n,) int64: place of the other in the batch


@dataclass(frozen=True)
class Batch:
    """Images and their labels, on the network's device."""

    images: Tensor  # (n, 3, s, s) float32: a random view of each
    labels: Tensor  # (n, heads) int64
    another_view: Callable[[], Tensor]  # the same images in new random views
    blend: Blend | None = None  # of images and of the losses of their labels


class Loss:
    """The difference between what the network says and what it is to say."""

    def __call__(self, forward: Forward, batch: Batch, state: State) -> Tensor:
        """A mean over the images, float32 ().

        Args:
            forward: the network as it is trained: compiled, in the run's precision, with gradients averaged.
            state: of the run, to be read only.
        """
        raise NotImplementedError


def entropies(scores: Tensor, batch: Batch) -> Tensor:
    """(n,): cross-entropy of scores (n, heads, k) to the labels, averaged over the heads; of blends by weight."""
    value = _entropies(scores, batch.labels)
    if batch.blend is None:
        return value
    weight, partner = batch.blend.weight, batch.blend.partner
    return weight * value + (1 - weight) * _entropies(scores, batch.labels[partner])


def _entropies(scores: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(scores.float().flatten(0, 1), labels.flatten(), reduction="none").view_as(labels).mean(dim=1)
