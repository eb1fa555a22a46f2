"""What a rule that labels images must answer: checked before anything is trained on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..options.config import Resolved
from ..system.errors import UsageError
from .assigners.base import Labelling


def check(found: Any, config: Resolved, n: int) -> None:
    """Raise UsageError if the answer of the configuration's assigner for n images is not what training needs."""
    if not isinstance(found, Labelling):
        raise _refused(config, "a Labelling", found)
    heads, k = config.heads, config.k
    labels, sure, potentials = found.labels, found.confidence, found.potentials
    if not (_is_table(labels, n, heads) and labels.dtype == torch.int64):
        raise _refused(config, f"labels as an int64 tensor {(n, heads)} on the CPU", labels)
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= k:
        raise _refused(config, f"labels from 0 to k - 1 = {k - 1}", least if least < 0 else most)
    if not (_is_table(sure, n, heads) and sure.is_floating_point()):
        raise _refused(config, f"confidence as a float tensor {(n, heads)} on the CPU", sure)
    is_array = isinstance(potentials, np.ndarray) and potentials.dtype.kind == "f"
    if not (is_array and potentials.shape == (heads, k)):
        raise _refused(config, f"potentials as a NumPy array of floats {(heads, k)}", potentials)


def _is_table(value: Any, n: int, heads: int) -> bool:
    return isinstance(value, Tensor) and value.shape == (n, heads) and value.device.type == "cpu"


def _refused(config: Resolved, rule: str, value: Any) -> UsageError:
    if isinstance(value, Tensor):
        got = f"a tensor of {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)} on {value.device}"
    elif isinstance(value, np.ndarray):
        got = f"a NumPy array of {value.dtype} {value.shape}"
    else:
        got = str(value) if isinstance(value, int) else f"a {type(value).__name__}"
    return UsageError(
        f"the assigner {config.assigner} must return {rule}, got {got}. Mend its solve() (docs/extending.md)."
    )
