"""What a run has left behind, opened to be used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..labels import transport
from ..labels.assigners import ASSIGNERS
from ..labels.look import labelling_views
from ..network.collect import collect
from ..training import checkpoint
from ..options.config import Resolved
from ..images.images import Images
from ..system.errors import UsageError
from ..network.models import Network
from ..system.processes import Processes
from ..training.state import build, load_network


@dataclass(frozen=True)
class Finished:
    """A run's configuration, network and last labels."""

    config: Resolved
    saved: dict[str, Any]  # the last checkpoint
    network: Network

    @classmethod
    def read(cls, folder: Path, device: torch.device) -> Finished:
        """The run in a folder.

        Raises:
            UsageError: it is not a run's.
        """
        last = folder / "checkpoints" / "last.pt"
        for path in (last, folder / "config.yaml"):
            if not path.exists():
                raise UsageError(f"RUN must be the --out of a training run, but {path} is not there.")
        config, saved = Resolved.read(folder / "config.yaml"), checkpoint.load(last)
        network = build(config)
        load_network(network, saved, last)
        return cls(config, saved, network.to(device).to(memory_format=torch.channels_last))

    @property
    def why_no_labels(self) -> str | None:
        """Why the run cannot label images that it has not seen; None: it can."""
        if self.saved["labels"] is None:
            return "it never solved for labels (--relabels 0), and has no potentials to label images with."
        name = self.config.assigner
        if name not in ASSIGNERS:
            return f"its labels come from --assigner {name}, which is registered by another program: predict from there."
        if not ASSIGNERS[name].predicts_others:
            return f"its labels come from --assigner {name}, which labels nothing but its own."
        return None

    def labels_of(self, images: Images, team: Processes) -> tuple[Tensor, Tensor]:
        """Labels (n, heads) and their confidence of any images: scores shifted by the potentials of the last solve.

        Every image is shown in the views of that solve.
        """
        config, views = self.config, labelling_views(self.config, self.saved["labels_seed"])
        hidden = collect(self.network, images, team, layer="hidden", views=views, precision=config.precision)
        potentials = self.saved["potentials"].numpy()
        if self.saved["labels_epoch"] == 0:  # they belong to the scores of the untrained network
            potentials = np.where(np.isneginf(potentials), potentials, 0.0)  # a label without a share stays so
        return transport.predict(self.network, hidden, potentials, config.epsilon)
