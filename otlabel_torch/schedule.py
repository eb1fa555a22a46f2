"""When the labels are solved for."""

from __future__ import annotations

import numpy as np


def relabel_epochs(relabels: int, epochs: int, schedule: str) -> list[int]:
    """The epochs before which labels are solved for, ascending, at most once each; ``epochs`` stands for the end.

    SeLa's times are epochs * linspace(0, 1, relabels)**2 on ImageNet and without the square on CIFAR. The first solve
    comes before the first step and, from two solves on, the last one after the last: it makes the final labels.
    """
    fractions = np.linspace(0.0, 1.0, relabels)
    times = epochs * (fractions**2 if schedule == "quadratic" else fractions)
    return sorted({int(time + 1e-9) for time in times})
