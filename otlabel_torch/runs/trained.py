"""What a run has become, to be used on other images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..images.images import Images
from ..labels import transport
from ..labels.assigners.base import of_other_scores
from ..labels.look import labelling_views
from ..network.collect import collect
from ..network.models import Network
from ..options.config import Resolved
from ..options.kinds import ASSIGNERS
from ..system.processes import Processes


@dataclass(frozen=True)
class TrainedRun:
    """A run's configuration, network and last labels."""

    config: Resolved
    saved: dict[str, Any]  # the last checkpoint
    network: Network

    @property
    def labels(self) -> Tensor | None:
        """(n, heads) int64 of the images that the run was trained on; None: it never solved for any."""
        return self.saved["labels"]

    @property
    def images(self) -> str:
        """Fingerprint of the images that the labels belong to."""
        return self.saved["images"]

    @property
    def why_no_labels(self) -> str | None:
        """Why the run cannot label images that it has not seen; None: it can."""
        if self.labels is None:
            return "it never solved for labels (`relabels` 0), and has no potentials to label images with."
        name = self.config.assigner
        if not ASSIGNERS[name].predicts_others:
            return f"its labels come from `assigner` {name}, which labels nothing but its own."
        return None

    def labels_of(self, images: Images, team: Processes) -> tuple[Tensor, Tensor]:
        """Labels (n, heads) and their confidence of any images: scores shifted by the potentials of the last solve.

        Every image is shown in the views of that solve.
        """
        config, views = self.config, labelling_views(self.config, self.saved["labels_seed"])
        hidden = collect(self.network, images, team, layer="hidden", views=views, precision=config.precision)
        potentials = self.saved["potentials"].numpy()
        if self.saved["labels_epoch"] == 0:  # they belong to the scores of the untrained network
            potentials = of_other_scores(potentials)
        return transport.predict(self.network, hidden, potentials, config.epsilon)
