"""Where the network runs."""

from __future__ import annotations

import torch

from .errors import UsageError


def pick_device(name: str) -> torch.device:
    """The device called ``name``, proved to work; "auto" is the best there is."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()  # on "meta" there are no numbers
    except (RuntimeError, AssertionError) as error:  # torch's own words: unknown name, no driver, not compiled in
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name} cannot be used here: {reason} Use --device cpu, or auto.") from None
    return torch.device(name)
