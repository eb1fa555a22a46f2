"""First weights of a trunk that are not random: ImageNet's, or those of a file, whoever wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torchvision
from torch import Tensor, nn

from ..system import tensors
from ..system.errors import UsageError
from .models import RESNETS, SMALL, TIMM, Network

RANDOM, IMAGENET = "random", "imagenet"  # what ``init`` is where it is no file
HOLDERS = ("model", "state_dict", "network", "teacher", "net", "model_state_dict", "student")  # keys of weights
# Of several networks in a file the first of these: MoCo's has two.
PREFERRED = ("encoder_q.", "teacher.", "trunk.", "backbone.", "encoder.")
OF_A_SIZE = ("conv1.weight", "pos_embed", "patch_embed")  # weights whose shape follows from that of the images
# ResNets as a sequence, as in the code that SeLa was published with: 2 and 3 are no layers with weights.
OLD_RESNET = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
SHOWN = 3
REMEDY = f"Add `image_size` {SMALL} or more, or the side that transformers' weights were made for."


class Taken(NamedTuple):
    """What a file gave."""

    random: list[str]  # weights that stay random because their shapes differ
    notes: list[str]  # what was taken, renamed or left, a line each


def initialise(network: Network, arch: str, init: str) -> Taken:
    """Give the trunk its first weights.

    Args:
        init: "random", "imagenet" (torchvision's or timm's, fetched if they are not in their cache), or a file of
            weights: a state dict of torch or safetensors with torchvision's or timm's names, behind any prefix; a
            checkpoint that holds one; the AlexNets and ResNets that SeLa was published with; ``last.pt``.

    Raises:
        UsageError: the weights cannot be read, or are another network's.
    """
    if init == RANDOM:
        return Taken([], [])
    own = network.trunk.state_dict()
    everything = dict(_imagenet(arch)) if init == IMAGENET else _tensors(_read(Path(init)))
    given, notes = _named_as(own, everything)
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    other = [name for name, tensor in own.items() if name in given and given[name].shape != tensor.shape]
    wrong = [name for name in other if not any(part in name for part in OF_A_SIZE)]
    if missing or wrong:
        left = [name for name in everything if name not in given]
        raise UsageError(
            f"`init` {init} must hold the weights of `arch` {arch}, but of {len(own)} {len(missing)} are missing "
            f"({', '.join(missing[:SHOWN])}), {len(wrong)} have another shape ({', '.join(wrong[:SHOWN])}); it holds "
            f"{len(everything)}, {', '.join(left[:SHOWN])} among them."
        )
    kept = {name: tensor for name, tensor in given.items() if name not in other}
    network.trunk.load_state_dict(kept, strict=False)
    return Taken(other, [f"{len(kept)} of {len(everything)} tensors of {init} are taken", *notes])


def is_gone(init: str) -> bool:
    """Whether ``init`` is a file that is not there any more."""
    return init not in (RANDOM, IMAGENET) and not Path(init).exists()


def _named_as(own: Mapping[str, Tensor], everything: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Of a file's tensors those that a network has, by its names, and what was done for that."""
    found, notes = _behind_prefix(own, everything)
    renamed = {_of_old_resnet(name): tensor for name, tensor in everything.items()}
    if sum(name in own for name in renamed) > sum(name in own for name in found):
        found, notes = _behind_prefix(own, renamed)
        notes.append("a ResNet that is a sequence: features.0 is conv1, and so on")
    folded = [name for name in found if name.endswith(".bias") and name not in own and _norm_after(name) in found]
    for name in folded:  # batch normalisation takes it off again
        mean = _norm_after(name)
        found[mean] = found[mean] - found[name]
    if folded:
        notes.append(f"{len(folded)} biases of convolutions are taken into the batch normalisation behind them")
    taken = {name: tensor for name, tensor in found.items() if name in own}
    left = [name for name in found if name not in own and name not in folded]
    if left:
        more = f", {len(left)} in all" if len(left) > SHOWN else ""
        notes.append(f"left: {', '.join(left[:SHOWN])}{more}")
    return taken, notes


def _behind_prefix(own: Mapping[str, Tensor], everything: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """What stands behind the prefix with which the most names are the network's own; of several the preferred one."""
    anchors = list(own)[:SHOWN]
    prefixes = {name[: -len(anchor)] for name in everything for anchor in anchors if name.endswith(anchor)}

    def worth(prefix: str) -> tuple[int, int, int]:
        known = sum(prefix + name in everything for name in own)
        wanted = next((len(PREFERRED) - i for i, part in enumerate(PREFERRED) if part in prefix), 0)
        return known, wanted, -len(prefix)

    prefix = max(prefixes | {""}, key=worth)
    found = {name.removeprefix(prefix): tensor for name, tensor in everything.items() if name.startswith(prefix)}
    notes = [f"names begin with {prefix}"] if prefix else []
    beside = len(everything) - len(found)
    return found, notes + ([f"{beside} tensors without that are left"] if beside else [])


def _of_old_resnet(name: str) -> str:
    """features.4.0.conv1.weight is layer1.0.conv1.weight."""
    return re.sub(r"(^|\.)features\.([014567])\.", lambda part: f"{part[1]}{OLD_RESNET[part[2]]}.", name, count=1)


def _norm_after(bias: str) -> str:
    """The running mean of the batch normalisation that follows a convolution in a sequence: features.0 and 1."""
    stem, _, _ = bias.rpartition(".")
    before, _, number = stem.rpartition(".")
    return f"{before}.{int(number) + 1}.running_mean" if number.isdigit() else ""


def _imagenet(arch: str) -> Mapping[str, Tensor]:
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
    if path.suffix == ".safetensors":
        return _safetensors(path)
    try:
        with path.open("rb") as file:
            saved, reason = tensors.read(file)
    except (OSError, ValueError) as error:  # ValueError: no name of a file
        raise UsageError(f"`init` must be random, imagenet or a file of weights, got {path}: {error}") from None
    if reason is not None:
        raise UsageError(
            f"`init` {path} must be a file of tensors that torch.save wrote: {reason}. If you trust it, keep its "
            "weights alone: torch.save(torch.load(FILE, weights_only=False)[KEY], NEW), KEY its state dict."
        )
    return saved


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise UsageError(
            f"`init` {path} needs safetensors, which is not installed. Run: pip install safetensors"
        ) from None
    try:
        return load_file(path)
    except Exception as error:  # its own kind, and OSError
        raise UsageError(f"`init` {path} cannot be read as safetensors: {error}") from None


def _tensors(saved: Any) -> dict[str, Tensor]:
    """The state dict in a checkpoint."""
    while isinstance(saved, dict) and (
        holder := next((key for key in HOLDERS if isinstance(saved.get(key), dict)), None)
    ):
        saved = saved[holder]
    if not isinstance(saved, dict):
        return {}
    return {str(name): value for name, value in saved.items() if isinstance(value, Tensor)}
