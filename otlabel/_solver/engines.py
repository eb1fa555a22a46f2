"""Which engine a solve goes by: lists where few entries of a row matter, dense sweeps where many do."""

from __future__ import annotations

import numpy as np

from ..backends import Kernels
from .tuning import Tuning


def has_dense(kernels: Kernels) -> bool:
    """Whether there are dense sweeps over the same scores."""
    make = getattr(kernels, "dense", None)  # backends of others need not know of it
    return make is not None and make() is not None


def prefers_dense(depth: np.ndarray, size: int, tol: float, tuning: Tuning) -> bool:
    """Whether a climb on dense sweeps is predicted to take less time than one on lists.

    Lists take about as many looks whatever is asked for, since near the end they go by Newton's steps.

    Args:
        depth: (r, m) nats below the best, of some rows.
        size: n*k.
        tol: error to reach.
    """
    density, python = float((depth <= tuning.depth_of(depth, size)).mean()), tuning.step_cost / size
    steps = tuning.climb_steps * (1 + max(0.0, float(np.log10(1 / tol))))
    survey = tuning.survey_cost + tuning.entry_cost * density
    lists = tuning.list_surveys * survey + tuning.list_steps * (tuning.entry_cost * density + python)
    return steps * (1 + (python if size > tuning.compiled else 0.0)) <= lists
