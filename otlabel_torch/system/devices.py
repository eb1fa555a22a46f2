"""Where the network runs."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from otlabel._system import heap, machine

from .errors import UsageError


def pick_device(name: str) -> torch.device:
    """The device called ``name``, proved to work; "auto" is the best there is."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()  # on "meta" there are no numbers
    except (RuntimeError, AssertionError) as error:  # torch's own words: unknown name, no driver, not compiled in
        reason = str(error).splitlines()[0]
        raise UsageError(f"`device` {name} cannot be used here: {reason} Use `device` cpu, or auto.") from None
    return torch.device(name)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; the host need not wait until a CUDA device has done all that it was told before.

    CUDA's driver takes a copy of what lies in pageable memory before it returns, so that the tensor may go at once.
    """
    return tensor.to(device, non_blocking=device.type == "cuda")


def free_memory(device: torch.device | None = None) -> float:
    """Bytes that this process may still take of a CUDA device, or of the host, which the processes there share."""
    if device is not None and device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    heap.give_back()
    return machine.free_memory() / int(os.environ.get("LOCAL_WORLD_SIZE", 1))
