"""Data sets made unequal, as in the paper's experiments on imbalance (Asano et al., 2020, table on imbalanced data)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..system.errors import DataError
from .images import Images


def imbalanced(images: Images, how: str, seed: int) -> Images:
    """Some images of each class, chosen at random with the seed, in their old order.

    Args:
        how: "light" (half of the last class is removed, ``truck`` of CIFAR-10), "heavy" (of C classes 0, 1/C, 2/C, ...
            are removed), or a file with the share to keep of each class, a number between 0 and 1 a line.
    """
    if images.classes is None:
        raise DataError(f"`imbalance` {how} needs classes, and the images have none.")
    count = len(images.class_names)
    shares = kept_shares(how, count)
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for number, share in enumerate(shares):
        members = torch.nonzero(images.classes == number).flatten()
        order = torch.randperm(len(members), generator=generator)
        chosen.append(members[order[: round(share * len(members))]])
    return images.of(torch.cat(chosen).sort().values)


def kept_shares(how: str, classes: int) -> np.ndarray:
    """The share to keep of each class, (classes,)."""
    if how == "light":
        return np.where(np.arange(classes) < classes - 1, 1.0, 0.5)
    if how == "heavy":
        return 1 - np.arange(classes) / classes
    try:
        shares = np.loadtxt(Path(how), ndmin=1)
    except (OSError, ValueError) as error:
        raise DataError(f"`imbalance` must be light, heavy or a file of numbers, got {how}: {error}") from None
    if shares.shape != (classes,) or not ((shares >= 0) & (shares <= 1)).all() or not shares.any():
        raise DataError(
            f"`imbalance` {how} must hold {classes} numbers between 0 and 1, the share to keep of each class, "
            f"got {shares.tolist()[:20]}."
        )
    return shares
