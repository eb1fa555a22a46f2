"""Which engine a solve goes by: lists where few entries of a row matter, dense sweeps where many do."""

from __future__ import annotations

import numpy as np

from ..backends import Kernels
from .tuning import Tuning


def has_dense(kernels: Kernels) -> bool:
    """Whether there are dense sweeps over the same scores."""
    make = getattr(kernels, "dense", None)  # backends of others need not know of it
    return make is not None and make() is not None


def prefers_dense(depth: np.ndarray, width: float, size: int, tuning: Tuning) -> bool:
    """Whether a climb on dense sweeps is predicted to take less time than one on lists.

    Args:
        depth: (r, m) nats below the best, of some rows.
        width: of the lists.
        size: n*k.
    """
    steps, python = tuning.climb_steps, tuning.step_cost / size
    density = float((depth <= width).mean())
    survey = tuning.survey_cost + tuning.entry_cost * density
    lists = tuning.list_surveys * survey + steps * (tuning.entry_cost * density + python)
    return steps + (python if size > tuning.compiled else 0.0) <= lists
