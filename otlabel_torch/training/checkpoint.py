"""Checkpoints: tensors and plain values, which nothing but ``weights_only`` reads."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..system import tensors
from ..system.errors import DataError
from ..system.files import atomic

FORMAT = 2  # raised whenever PARTS, or what they mean, change
TYPES = {
    "model": dict, "heads": dict, "optimiser": dict, "scaler": dict, "epoch": int, "images": str,
    "labels": Tensor | None, "confidence": Tensor | None, "potentials": Tensor | None,
    "labels_epoch": int | None, "labels_seed": int | None, "records": list,
}  # fmt: skip  # what ``State`` is made of
PARTS = tuple(TYPES)


def save(path: Path, parts: dict[str, Any]) -> None:
    """Tensors and plain values only: ``load`` refuses anything else."""
    whole = io.BytesIO()  # torch has words of its own for a full disk, which do not name it
    torch.save({"format": FORMAT} | {name: parts[name] for name in PARTS}, whole)
    with atomic(path) as file:
        file.write(whole.getbuffer())


def load(path: Path) -> dict[str, Any]:
    """What ``save`` wrote, in host memory.

    Raises:
        DataError: the file is no checkpoint, half of one, or another version's.
        OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        saved, reason = tensors.read(file)
    if reason is not None:
        raise DataError(f"{path} cannot be read as a checkpoint: {reason}. Restore it, or start the run anew.")
    if not isinstance(saved, dict) or "model" not in saved:
        raise DataError(f"{path} is no checkpoint of a run. Restore it, or start the run anew.")
    found = saved.get("format", 1)
    if found != FORMAT:
        raise DataError(
            f"{path} must be a checkpoint of format {FORMAT}, got {found}: another version of otlabel_torch wrote it. "
            "Go on with that one, or start the run anew."
        )
    missing = [name for name in PARTS if name not in saved]
    if missing:
        raise DataError(
            f"{path} must be a whole checkpoint, but {', '.join(missing)} are missing. Restore it, or start the run "
            "anew."
        )
    wrong = [name for name, kind in TYPES.items() if not isinstance(saved[name], kind)]
    if wrong:
        raise DataError(
            f"{path} must be a whole checkpoint, but {wrong[0]} is a {type(saved[wrong[0]]).__name__}. Restore it, or "
            "start the run anew."
        )
    return saved
