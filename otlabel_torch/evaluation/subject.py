"""What is evaluated: a network, and the images it is evaluated on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..images.images import Images
from ..network.collect import Read, collect, rows_of
from ..network.models import Network
from ..options.config import Precision
from ..system.processes import Processes

HELD_OUT = 5  # where there are no validation images, one of so many is held out from probes and majorities


@dataclass(frozen=True)
class Subject:
    """A network, images with classes to learn from and, if there are any, to measure on."""

    network: Network
    train: Images
    test: Images | None
    team: Processes
    seed: int = 0
    precision: Precision = "float32"

    def values(self, images: Images, layer: Read) -> Tensor:
        """(n, width) float32 of a layer, in every process; without others it stays on the device if it fits."""
        found = collect(self.network, images, self.team, layer=layer, precision=self.precision)
        if self.team.comm is None:
            return found
        return self.team.gather(found.cpu(), rows_of(self.team, len(images)))

    @cached_property
    def features(self) -> tuple[Tensor, Tensor | None]:
        """(n, width) of the training and of the validation images: all processes work on them."""
        return self.values(self.train, "features"), None if self.test is None else self.values(self.test, "features")

    def parts(self, n: int) -> tuple[Tensor, Tensor]:
        """Indices of n training images to learn from and to measure on, where there are no validation images."""
        mixed = torch.randperm(n, generator=torch.Generator().manual_seed(self.seed))
        held = max(1, len(mixed) // HELD_OUT)
        return mixed[held:].sort().values, mixed[:held].sort().values
