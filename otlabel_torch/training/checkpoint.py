"""Checkpoints: tensors and plain values, which nothing but ``weights_only`` reads."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from ..system.errors import DataError
from ..system.files import atomic


def save(path: Path, state: dict[str, Any]) -> None:
    """Tensors and plain values only: ``load`` refuses anything else."""
    whole = io.BytesIO()  # torch has words of its own for a full disk, which do not name it
    torch.save(state, whole)
    with atomic(path) as file:
        file.write(whole.getbuffer())


def load(path: Path) -> dict[str, Any]:
    """What ``save`` wrote, in host memory."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a checkpoint: {str(error).splitlines()[0]}") from None
