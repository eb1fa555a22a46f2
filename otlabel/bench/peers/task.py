"""What a solver is asked, what it answers, and how it is introduced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Task:
    """What is to be solved, and for how long."""

    scores: np.ndarray  # (n, k), read-only
    epsilon: float
    tol: float
    cap: float  # seconds after which a solve should end, if it can, with what it has
    layer: tuple[np.ndarray, np.ndarray] | None = None  # features (n, d) and weight (k, d), if scores are their product


class Answer(NamedTuple):
    """What a solver gives back."""

    potentials: np.ndarray | None = None  # (k,) in nats
    labels: np.ndarray | None = None  # (n,); None: the argmax at the potentials
    sweeps: float | None = None  # passes over the scores: a Sinkhorn iteration makes two
    gap: float | None = None  # nats an item, if the solver certifies its labels
    capped: bool = False  # it gave up because of the time
    engine: str = ""  # otlabel's: what the solve went by


Adapter = Callable[[Task], Callable[[], Answer]]


class Peer(NamedTuple):
    """A solver to compare with."""

    name: str
    package: str | None  # as it is imported; None: written here
    install: str | None  # as pip knows it
    balances: bool  # gives labels that are exactly balanced, not potentials
    about: str  # a line of --help
    adapter: Adapter
