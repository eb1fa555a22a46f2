"""What batch normalisation knows of images, once training has ended."""

from __future__ import annotations

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ..images.augment import normalise
from ..images.images import Images
from ..options.config import Precision
from ..system.devices import sent
from ..system.processes import Processes
from .collect import BATCH, autocast, in_mode
from .models import Network

SEEN = 80 * BATCH  # images, at most: statistics of more are the same


@torch.no_grad()
def settle(network: Network, images: Images, team: Processes, precision: Precision = "float32") -> None:
    """Take the statistics of batch normalisation anew, of plain images at their full size.

    Those of training are of what the network was shown last: crops in other colours, blended by mixup, and smaller
    where they are. Nearest neighbours by the features gain (docs/training.md); that sizes of training and of
    use differ in their statistics is Touvron et al., 2019. The first process does it for all.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]
    if team.is_first and layers and len(images) > 1:
        # Mixed: folders come class by class, and a batch's variance is that within it.
        rows = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:SEEN]
        batches = [rows for rows in rows.split(BATCH) if len(rows) == BATCH] or [rows]  # each counts as much
        momenta = [layer.momentum for layer in layers]
        with in_mode(network, False):  # no dropout, as in use
            for layer in layers:
                layer.reset_running_stats()
                layer.train()
                layer.momentum = None  # the mean of all batches
            for pixels in images.batches(batches):
                with autocast(team.device, precision):
                    network.hidden(network.features(normalise(sent(pixels, team.device), network.size)))
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    team.from_first(*network.buffers())
