"""How the network sees images when they are labelled."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor

from ..images.augment import Augment
from ..images.images import Images
from ..network.collect import Views, collect
from ..network.models import Network
from ..options.config import Resolved
from ..system.errors import UsageError
from ..system.processes import Processes
from .assigners.base import Assigner, Context, Needs


def look(
    assigner: Assigner | type[Assigner],
    config: Resolved,
    network: Network,
    images: Images,
    team: Processes,
    *,
    epoch: int = 0,
    seed: int,
    table: Tensor | None = None,
) -> Context:
    """Let the network see all images, if the rule needs that.

    Args:
        seed: of the views.

    Raises:
        UsageError: it needs what there is not.
    """
    needs = assigner.looks_at(config, epoch)
    if needs not in get_args(Needs):
        raise UsageError(
            f"the assigner {config.assigner} must need one of {', '.join(get_args(Needs))}, got {needs!r}. "
            "Mend its needs (docs/extending.md)."
        )
    views = None if needs == "features" else labelling_views(config, seed)
    if needs == "averaged" and views is not None:
        views = replace(views, itself=network.size)
    values = torch.empty(0, 0)
    if needs in ("hidden", "features", "averaged"):
        values = collect(
            network,
            images,
            team,
            layer="hidden" if needs == "hidden" else "features",
            views=views,
            precision=config.precision,
            train_mode=needs != "features" and config.label_mode == "train",
        )
    return Context(config, network, images, team, epoch, values, table)


def labelling_views(config: Resolved, seed: int) -> Views | None:
    """The views in which images are labelled; None: as they are."""
    size = config.train_size if config.small_views else config.image_size
    return Views(Augment(size, config.augment, alike=True), config.views, seed) if config.views else None
