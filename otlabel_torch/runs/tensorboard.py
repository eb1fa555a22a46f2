"""The metrics of a run for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from ..system.errors import UsageError


class Scalars:
    """Every number of an epoch's record as a scalar, by its name; a run that goes on replaces what came after
    ``epoch``.

    Args:
        folder: None: nothing is written.
    """

    def __init__(self, folder: Path | None, epoch: int):
        self.writer: Any = None if folder is None else summary_writer()(str(folder), purge_step=epoch + 1)

    def add(self, record: dict[str, Any]) -> None:
        """The record of an epoch."""
        if self.writer is None:
            return
        step = record["epoch"] + bool(record.get("final"))
        for name, value in record.items():
            if name != "epoch" and isinstance(value, float | int) and not isinstance(value, bool):
                self.writer.add_scalar(f"{record['run']}/{name}", value, step)
        self.writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.writer is not None:
            self.writer.close()


def summary_writer() -> type:
    """torch's writer of TensorBoard's files, if that is there."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "`tensorboard` needs tensorboard, which is not installed. Run: pip install tensorboard"
        ) from None
    return SummaryWriter
