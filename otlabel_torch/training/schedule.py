"""When the labels are solved for, and how fast the network learns."""

from __future__ import annotations

import math

import numpy as np


def relabel_epochs(relabels: int, epochs: int, schedule: str) -> list[int]:
    """The epochs before which labels are solved for, ascending, at most once each; ``epochs`` stands for the end.

    SeLa's times are epochs * linspace(0, 1, relabels)**2 on ImageNet and without the square on CIFAR. The first solve
    comes before the first step and, from two solves on, the last one after the last: it makes the final labels.
    """
    fractions = np.linspace(0.0, 1.0, relabels)
    times = epochs * (fractions**2 if schedule == "quadratic" else fractions)
    return sorted({int(time + 1e-9) for time in times})


def learning_rate(first: float, epoch: float, epochs: int, drops: tuple[float, ...]) -> float:
    """A tenth at each of the epochs in ``drops``, as in the paper; without them along a cosine to 0.

    Args:
        epoch: so far, with its fraction.
        drops: those below 1 are shares of ``epochs``.
    """
    if drops:
        return first * 0.1 ** sum(epoch >= drop_epoch(drop, epochs) for drop in drops)
    return first * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def drop_epoch(drop: float, epochs: int) -> float:
    """The epoch that an entry of ``lr_drops`` stands for."""
    return drop * epochs if drop < 1 else drop
