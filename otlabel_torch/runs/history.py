"""The labels of every solve of a run, of its first head: a byte or two an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from ..system.errors import DataError
from ..system.files import atomic

_REMEDY = "Remove it, or restore it from a copy"


def add(folder: Path, epoch: int, labels: Tensor, k: int) -> None:
    """Keep labels (n, heads) that were made after so many epochs."""
    size = np.uint8 if k <= 1 << 8 else np.uint16 if k <= 1 << 16 else np.uint32
    with atomic(folder / f"{epoch:05d}.npy") as file:
        np.save(file, labels[:, 0].numpy().astype(size))


def read(folder: Path, n: int, k: int) -> list[tuple[int, np.ndarray]]:
    """Epochs that were finished and the labels (n,) of then, oldest first.

    Raises:
        DataError: a file is damaged, or is of other images.
    """
    found = []
    for path in sorted(folder.glob("[0-9]*.npy")):
        try:
            labels = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} must hold labels, but it cannot be read: {error}. {_REMEDY}.") from None
        if labels.shape != (n,) or labels.dtype.kind != "u" or (n and int(labels.max()) >= k):
            raise DataError(
                f"{path} must hold labels below {k} of {n} images, got {labels.dtype} {labels.shape}. {_REMEDY}."
            )
        found.append((int(path.stem), labels.astype(np.int64)))
    return found
