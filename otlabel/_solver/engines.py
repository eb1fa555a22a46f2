"""Which engine a solve goes by: lists where few entries of a row matter, dense sweeps where many do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..backends import Kernels
from .tuning import Tuning


def has_dense(kernels: Kernels) -> bool:
    """Whether there are dense sweeps over the same scores."""
    make = getattr(kernels, "dense", None)  # backends of others need not know of it
    return make is not None and make() is not None


def prefers_dense(depth: Callable[[], np.ndarray], size: int, tol: float, tuning: Tuning) -> bool:
    """Whether a climb on dense sweeps is predicted to take less time than one on lists.

    Lists take about as many looks whatever is asked for, since near the end they go by Newton's steps.

    Args:
        depth: gives (r, m) nats below the best, of some rows; asked where it matters.
        size: n*k.
        tol: error to reach.
    """
    python = tuning.step_cost / size
    steps = tuning.climb_steps * (1 + max(0.0, float(np.log10(1 / tol))))
    dense = steps * (1 + (python if size > tuning.compiled else 0.0))
    empty_lists = tuning.list_surveys * tuning.survey_cost + tuning.list_steps * python
    if dense <= empty_lists:
        return True
    nats = depth()
    listed = tuning.entry_cost * float((nats <= tuning.depth_of(nats, size)).mean())
    return dense <= empty_lists + (tuning.list_surveys + tuning.list_steps) * listed
