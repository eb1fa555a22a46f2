"""First weights of a trunk that are not random: ImageNet's, or those of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torchvision
from torch import Tensor, nn

from ..system import tensors
from ..system.errors import UsageError
from .models import RESNETS, TIMM, Network

RANDOM, IMAGENET = "random", "imagenet"  # what ``init`` is where it is no file
HOLDERS = ("model", "state_dict", "network", "teacher", "net")  # keys under which checkpoints keep their weights
PREFIXES = ("module.", "_orig_mod.", "trunk.", "backbone.", "encoder.")
OF_A_SIZE = ("conv1.weight", "pos_embed", "patch_embed")  # weights whose shape follows from that of the images
HEADS = ("fc.", "head.", "top_layer", "hidden.", "rotation.", "classifier.6.", "projection", "predictor", "prototypes")


def initialise(network: Network, arch: str, init: str) -> list[str]:
    """Give the trunk its first weights; returns the names of those that stay random because their shapes differ.

    Args:
        init: "random", "imagenet" (torchvision's or timm's, fetched if they are not in their cache), or a file of
            weights with the trunk's own names: a plain state dict of torchvision's, a checkpoint that holds one, or
            ``last.pt``.

    Raises:
        UsageError: the weights cannot be read, or are another network's.
    """
    if init == RANDOM:
        return []
    given = _imagenet(arch) if init == IMAGENET else _plain(_read(Path(init)))
    own = network.trunk.state_dict()
    unknown = [name for name in given if name not in own and not name.startswith(HEADS)]
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    other = [name for name, tensor in own.items() if name in given and given[name].shape != tensor.shape]
    wrong = [name for name in other if not any(part in name for part in OF_A_SIZE)]
    if missing or unknown or wrong:
        raise UsageError(
            f"`init` {init} must hold the weights of `arch` {arch}, but of {len(own)} {len(missing)} are missing "
            f"({', '.join(missing[:3])}), {len(wrong)} have another shape ({', '.join(wrong[:3])}), and {len(unknown)} "
            f"are of something else ({', '.join(unknown[:3])})."
        )
    network.trunk.load_state_dict(
        {name: given[name] for name in own if name in given and name not in other}, strict=False
    )
    return other


def is_gone(init: str) -> bool:
    """Whether ``init`` is a file that is not there any more."""
    return init not in (RANDOM, IMAGENET) and not Path(init).exists()


def _imagenet(arch: str) -> dict[str, Tensor]:
    if arch in RESNETS:
        try:
            return torchvision.models.get_model_weights(arch).DEFAULT.get_state_dict(progress=True, check_hash=True)
        except OSError as error:
            raise UsageError(f"`init` imagenet cannot fetch the weights of {arch}: {error}. Use `init` FILE.") from None
    if arch.startswith(TIMM):
        import timm

        try:
            net: nn.Module = timm.create_model(arch.removeprefix(TIMM), pretrained=True)
        except (OSError, RuntimeError) as error:
            raise UsageError(f"`init` imagenet cannot have the weights of {arch}: {error} Use `init` FILE.") from None
        return net.state_dict()
    raise UsageError(f"`init` imagenet needs `arch` {', '.join(RESNETS)} or {TIMM}NAME, got {arch}.")


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            saved, reason = tensors.read(file)
    except (OSError, ValueError) as error:  # ValueError: no name of a file
        raise UsageError(f"`init` must be random, imagenet or a file of weights, got {path}: {error}") from None
    if reason is not None:
        raise UsageError(f"`init` {path} must be a file of tensors that torch.save wrote: {reason}.")
    return saved


def _plain(saved: Any) -> dict[str, Tensor]:
    """The state dict in a checkpoint, without the prefixes that wrappers add."""
    while isinstance(saved, dict) and (
        holder := next((key for key in HOLDERS if isinstance(saved.get(key), dict)), None)
    ):
        saved = saved[holder]
    if not isinstance(saved, dict):
        return {}
    found = {str(name): value for name, value in saved.items() if isinstance(value, Tensor)}
    plain = {}
    for name, value in found.items():
        while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), None):
            name = name.removeprefix(prefix)
        plain[name] = value
    return plain
