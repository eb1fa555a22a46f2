"""Whether two runs came to the same."""

from __future__ import annotations

import torch


def tensors_equal(one, other):
    """Deep equality of checkpoints, bit for bit; times of day are not compared."""
    if isinstance(one, torch.Tensor):
        return torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))
    if isinstance(one, dict):
        keys = [key for key in one if not str(key).endswith(("seconds", "_per_second"))]
        return one.keys() == other.keys() and all(tensors_equal(one[key], other[key]) for key in keys)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(tensors_equal, one, other))
    return one == other
