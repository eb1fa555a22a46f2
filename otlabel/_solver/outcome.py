"""How solves and climbs end, and what the caller hears of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class ConvergenceWarning(UserWarning):
    """The solve stopped before the L1 error of the column sums reached ``tol``."""


class Status(enum.Enum):
    """How a solve ended; the value is the message for the reader. Ordered from best to worst."""

    CONVERGED = "The column sums are within tol of the marginal b."
    PLATEAU = "Neither the objective nor the error improves any more: this is the limit of float64 on these scores."
    SWEEP_LIMIT = "The limit max_sweeps was reached before tol: raise max_sweeps, tol or epsilon."


class Engine(enum.Enum):
    """What a solve went by, from where quantile steps had led."""

    DENSE = "sweeps over all scores"
    LISTS = "sweeps, and steps on lists of the entries that matter"
    SINKHORN = "the textbook iteration"


class Step(NamedTuple):
    """One full sweep of a solve, as the callback sees it."""

    head: int
    sweeps: float  # so far: scores looked at, divided by n*k
    objective: float  # the semi-dual F(g), docs/algorithm.md eq. (2), in nats
    error: float  # sum_j |c_j - b_j| at this sweep's g


@dataclass(frozen=True)
class Solution:
    """The end of a solve of one head."""

    g: np.ndarray  # (k,) potentials, -inf for labels not in use
    error: float  # sum_j |c_j - b_j|
    max_relative_error: float  # max_j |c_j/b_j - 1| over the labels in use
    n_sweeps: float
    history: np.ndarray  # (surveys, 3): sweeps so far, F, error
    status: Status
    engine: Engine


class Ended(enum.Enum):
    """Why a climb between two surveys ended."""

    GOAL = "the error is as small as was asked for"
    EDGE = "what is left inside the box is little beside what it holds back"
    STALLED = "steps do not lower the error any more"
    EXHAUSTED = "no further evaluation may be made"
