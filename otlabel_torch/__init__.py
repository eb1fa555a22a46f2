"""SeLa on torchvision: a network and the labels of unlabelled images, learned together from random weights.

Commands are modules: ``python -m otlabel_torch.train --help``. The names of this package are for programs, such as
those that bring a rule of labelling or a loss of their own (docs/extending.md). torch is imported when one is used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# Before torch, whose threads wait for each other awake, 300,000 looks (15 ms) long: where other programs want the same
# cores a step takes 25 times as long. A tenth of that costs nothing where they are free (docs/training.md).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")

if TYPE_CHECKING:
    from .comm import TorchComm as TorchComm
    from .evaluation.features import layer_scores as layer_scores
    from .evaluation.subject import Subject as Subject
    from .images.images import Images as Images
    from .images.images import Source as Source
    from .images.images import load as load
    from .labels.assigners.base import Assigner as Assigner
    from .labels.assigners.base import Context as Context
    from .labels.assigners.base import Labelling as Labelling
    from .network.collect import collect as collect
    from .network.models import Network as Network
    from .options.config import Config as Config
    from .options.config import Resolved as Resolved
    from .options.kinds import register_assigner as register_assigner
    from .options.kinds import register_loss as register_loss
    from .runs.folder import RunFolder as RunFolder
    from .runs.resolve import resolve as resolve
    from .system.devices import pick_device as pick_device
    from .system.errors import DataError as DataError
    from .system.errors import TrainingError as TrainingError
    from .system.errors import UnwritableError as UnwritableError
    from .system.errors import UsageError as UsageError
    from .system.errors import UserError as UserError
    from .system.processes import Processes as Processes
    from .training.loop import fit as fit
    from .training.losses.base import Batch as Batch
    from .training.losses.base import Forward as Forward
    from .training.losses.base import Loss as Loss
    from .training.losses.base import entropies as entropies
    from .training.state import State as State
    from .training.state import start as start

_HOMES = {
    "comm": ["TorchComm"],
    "evaluation.features": ["layer_scores"],
    "evaluation.subject": ["Subject"],
    "images.images": ["Images", "Source", "load"],
    "labels.assigners.base": ["Assigner", "Context", "Labelling"],
    "network.collect": ["collect"],
    "network.models": ["Network"],
    "options.config": ["Config", "Resolved"],
    "options.kinds": ["register_assigner", "register_loss"],
    "runs.folder": ["RunFolder"],
    "runs.resolve": ["resolve"],
    "system.devices": ["pick_device"],
    "system.errors": ["DataError", "TrainingError", "UnwritableError", "UsageError", "UserError"],
    "system.processes": ["Processes"],
    "training.loop": ["fit"],
    "training.losses.base": ["Batch", "Forward", "Loss", "entropies"],
    "training.state": ["State", "start"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
