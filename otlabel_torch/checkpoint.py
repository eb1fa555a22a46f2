"""Checkpoints: tensors and plain values, which nothing but ``weights_only`` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .files import atomic


def save(path: Path, state: dict[str, Any]) -> None:
    """Tensors and plain values only: ``load`` refuses anything else."""
    with atomic(path) as file:
        torch.save(state, file)


def load(path: Path) -> dict[str, Any]:
    """What ``save`` wrote, in host memory."""
    return torch.load(path, map_location="cpu", weights_only=True)
