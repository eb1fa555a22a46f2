"""What a run has become, to be used on other images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..images.augment import Augment
from ..images.images import Images
from ..labels import transport as labelling
from ..network.models import Network
from ..options.config import Resolved
from ..system.processes import Processes
from ..training import loop as sela


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
        if self.config.assigner in ("kmeans", "random"):
            return f"its labels come from `assigner` {self.config.assigner}, which labels nothing but its own."
        return None

    def labels_of(self, images: Images, team: Processes) -> tuple[Tensor, Tensor]:
        """Labels (n, heads) and their confidence of any images: scores shifted by the potentials of the last solve.

        Every image is shown in the views of that solve.
        """
        config, views = self.config, None
        if config.views:
            last = [record for record in self.saved["records"] if "sweeps" in record][-1]
            seed = sela.epoch_seed(config, last["epoch"] - (not last.get("final")))
            views = labelling.Views(Augment(config.image_size, config.augment, alike=True), config.views, seed)
        hidden = labelling.collect(self.network, images, team, layer="hidden", views=views, precision=config.precision)
        potentials = self.saved["potentials"].numpy()
        if config.relabels <= 1:  # those of labels that were never updated belong to the untrained network's scores
            potentials = np.where(np.isneginf(potentials), potentials, 0.0)  # a label without a share stays so
        return labelling.predict(self.network, hidden, potentials, config.epsilon)
