"""What a rule that labels images is asked, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from ...images.images import Images
from ...network.collect import rows_of
from ...network.models import Network
from ...options.config import Resolved
from ...system.processes import Processes

Needs = Literal["hidden", "features", "averaged", "table", "nothing"]


@dataclass(frozen=True)
class Labelling:
    """Labels of every image, keyed by its index, and how they were found: the same in every process."""

    labels: Tensor  # (n, heads) int64
    confidence: Tensor  # (n, heads) float32: what the row of the plan gives to the label, of 1; nan: there is no plan
    potentials: np.ndarray  # (heads, k): what is added to scores / epsilon to label other images
    sweeps: float = 0.0  # the most of any head; 0: no transport was solved
    converged: bool = True

    @classmethod
    def without_plan(cls, labels: Tensor | np.ndarray, k: int) -> Self:
        """Labels (n, heads) below k that no transport made: scores as they are label other images, and nobody is
        sure.

        Args:
            labels: whole numbers of any type; what is not is refused where the answer is checked, see ``answers``.
        """
        labels = torch.as_tensor(labels).cpu()
        labels = labels if labels.is_floating_point() else labels.long()
        return cls(labels, torch.full(labels.shape, float("nan")), np.zeros((*labels.shape[1:], k)))


def of_other_scores(potentials: np.ndarray) -> np.ndarray:
    """(heads, k) potentials for scores that are not those of the solve: none, but labels without a share stay so."""
    return np.where(np.isneginf(potentials), potentials, 0.0)


@dataclass(frozen=True)
class Context:
    """What a rule may look at: the images of a run as the network sees them now."""

    config: Resolved
    network: Network
    images: Images
    team: Processes
    epoch: int  # epochs finished
    values: Tensor  # (rows, width) float32 of what the rule needs, for this process's rows of the images
    table: Tensor | None = None  # (n, heads) int64: labels that were read from a file

    def all_values(self) -> Tensor:
        """(n, width): ``values`` of the images of every process, in each, in host memory."""
        return self.team.gather(self.values, rows_of(self.team, len(self.images))).cpu()


class Trained(Protocol):
    """What a rule may do to a network in training: ``State``."""

    def reset_heads(self) -> None: ...


class Assigner:
    """A rule that labels images. Training asks it everything it needs to know, and never its name."""

    title: ClassVar[str | None] = None  # in tables; None: "labels by" its name
    needs: ClassVar[Needs] = "features"
    """What it looks at (of this process's part of the images): "hidden", inputs of the heads in the views of the
    labelling; "features" of the images themselves; "averaged", features over the image and its views, each counting as
    much; the "table" of labels that was given; or "nothing"."""
    updates: ClassVar[bool] = True  # whether labels are solved for again as the network learns
    uses_transport: ClassVar[bool] = False  # whether labels may be given shares of the images
    solves: ClassVar[int] = 1  # transports a head, for the estimate: all but one are the first process's
    heads_know_labels: ClassVar[bool] = True
    """Whether the heads were trained on labels of the same numbers as the last ones, so that they say which are near
    each other."""
    predicts_others: ClassVar[bool] = False
    """Whether the scores of the trained network, shifted by the potentials, label images that were not there."""

    @classmethod
    def looks_at(cls, config: Resolved, epoch: int) -> Needs:
        """What it looks at after so many epochs: ``needs``, unless it finds its last labels in another way."""
        return cls.needs

    def solve(self, context: Context) -> Labelling:
        """Labels for every head."""
        raise NotImplementedError

    def after(self, state: Trained) -> None:
        """What new labels mean for the network: called before it is trained on them."""
