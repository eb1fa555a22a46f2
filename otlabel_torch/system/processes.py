"""The processes of a run: one, or those that torchrun has started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ..comm import TorchComm
from .devices import pick_device
from .errors import UsageError

PATIENCE = timedelta(hours=3)  # that processes wait for another: a solve or an evaluation by the first may take long


@dataclass(frozen=True)
class Processes:
    """This process among its like."""

    device: torch.device
    rank: int = 0
    size: int = 1
    comm: TorchComm | None = None  # None: there are no others

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes files and speaks."""
        return self.rank == 0

    def part(self, count: int) -> slice:
        """This process's part of ``count`` things, which are dealt in order."""
        return _part(count, self.rank, self.size)

    def gather(self, rows: Tensor, sizes: list[int]) -> Tensor:
        """The rows of all processes, one below the other, in each.

        Args:
            sizes: the number of rows of every process.
        """
        if self.comm is None:
            return rows
        padded = rows.new_zeros((max(sizes), *rows.shape[1:]), device=self._place)
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]).to(rows.device)

    def parts(self, count: int) -> list[slice]:
        """Every process's part."""
        return [_part(count, rank, self.size) for rank in range(self.size)]

    def from_first(self, *tensors: Tensor) -> None:
        """Give tensors the values that they have in the first process."""
        if self.comm is None:
            return
        for tensor in tensors:
            sent = tensor.to(self._place)
            dist.broadcast(sent, 0)
            tensor.copy_(sent)

    def mean(self, value: float) -> float:
        """Over the processes."""
        return value if self.comm is None else float(self.comm.all_reduce(np.array([value]))[0]) / self.size

    @property
    def _place(self) -> str:
        """Where tensors must lie to be sent."""
        return "cuda" if dist.get_backend() == "nccl" else "cpu"

    def wait(self) -> None:
        """For all the others."""
        if self.comm is not None:
            dist.barrier()


def _part(count: int, rank: int, size: int) -> slice:
    return slice(count * rank // size, count * (rank + 1) // size)


@contextmanager
def join(device: str) -> Iterator[Processes]:
    """This process among those of torchrun, or alone if that did not start it."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        yield Processes(pick_device(device))
        return
    local = int(os.environ["LOCAL_RANK"])
    if device == "auto" and torch.cuda.is_available():
        device = "cuda"
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"torchrun --nproc-per-node must not exceed the GPUs of the machine, {torch.cuda.device_count()}. "
                "Lower it, or add `device` cpu."
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    elif device not in ("auto", "cpu"):
        raise UsageError(f"`device` must be cpu, cuda or auto under torchrun, which deals the GPUs, got {device}.")
    place = pick_device("cpu" if device == "auto" else device)
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(place, dist.get_rank(), dist.get_world_size(), TorchComm())
    finally:
        dist.destroy_process_group()
