"""First weights of a trunk that are not random: ImageNet's, or those of a file, whoever wrote it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torchvision
from torch import Tensor, nn

from ..system import tensors
from ..system.errors import UsageError
from .models import RESNETS, SMALL, TIMM, Network

RANDOM, IMAGENET = "random", "imagenet"  # what ``init`` is where it is no file
HOLDERS = (
    "model", "state_dict", "network", "teacher", "net", "model_state_dict", "student", "backbone", "encoder", "trunk",
    "module", "ema", "state_dict_ema", "model_ema", "weights", "params",
)  # fmt: skip  # keys of weights, the first that there is
# Of several networks in a file the first of these: MoCo's has two.
PREFERRED = ("encoder_q.", "teacher.", "trunk.", "backbone.", "encoder.")
OF_A_SIZE = ("conv1.weight", "pos_embed", "patch_embed")  # weights whose shape follows from that of the images
# ResNets as a sequence, as in the code that SeLa was published with: 2 and 3 are no layers with weights.
OLD_RESNET = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
_BLOCK = re.compile(r"layer\d\.\d")
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
    everything, beside = (dict(_imagenet(arch)), []) if init == IMAGENET else _tensors(_read(Path(init)), init)
    given, foreign, notes = _named_as(own, everything)
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    other = [name for name, tensor in own.items() if name in given and given[name].shape != tensor.shape]
    wrong = [name for name in other if not any(part in name for part in OF_A_SIZE)]
    if missing or wrong:
        left = [name for name in everything if name not in given]
        raise UsageError(
            f"`init` {init} must hold the weights of `arch` {arch}, but of {len(own)} {len(missing)} are missing "
            f"({', '.join(missing[:SHOWN])}), {len(wrong)} have another shape ({', '.join(wrong[:SHOWN])}); it holds "
            f"{len(everything)} ({', '.join(left[:SHOWN])}). Name their network by `arch`."
        )
    if arch in RESNETS and (blocks := [name for name in foreign if _BLOCK.match(name)]):
        raise UsageError(
            f"`init` {init} must hold the weights of `arch` {arch}, but it holds {len(blocks)} more in its layers "
            f"({blocks[0]}): it is a deeper network's. Name that by `arch`."
        )
    kept = {name: tensor for name, tensor in given.items() if name not in other}
    bad = [name for name, tensor in kept.items() if _fault(tensor, own[name])]
    if bad:
        raise UsageError(
            f"`init` {init} must hold finite real weights, but {bad[0]} {_fault(kept[bad[0]], own[bad[0]])}"
            f"{f', and {len(bad) - 1} more' if len(bad) > 1 else ''}. Take a checkpoint from before that."
        )
    network.trunk.load_state_dict(kept, strict=False)
    stay = [f"other shapes, so random: {', '.join(other)}"] if other else []
    return Taken(other, [f"{len(kept)} of {len(everything)} tensors of {init} are taken", *beside, *stay, *notes])


def is_gone(init: str) -> bool:
    """Whether ``init`` is a file that is not there any more."""
    return init not in (RANDOM, IMAGENET) and not Path(init).exists()


def _named_as(
    own: Mapping[str, Tensor], everything: dict[str, Tensor]
) -> tuple[dict[str, Tensor], list[str], list[str]]:
    """Of a file's tensors those that a network has, by its names; names that it has not; and what was done."""
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
    return taken, left, notes


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
    if path.suffix.lower() == ".safetensors":
        return _safetensors(path)
    try:
        with path.open("rb") as file:
            saved, reason = tensors.read(file)
    except (OSError, ValueError) as error:  # ValueError: no name of a file
        raise UsageError(f"`init` must be random, imagenet or a file of weights, got {path}: {error}") from None
    if reason is not None:
        raise UsageError(f"`init` {path} must be a file of tensors that torch.save wrote: {reason}. {_remedy(path)}")
    return saved


def _remedy(path: Path) -> str:
    """What helps depends on what it is: zip files that begin as torch's, or something else."""
    with path.open("rb") as file:
        head = file.read(200)
    if head.startswith(b"version https://git-lfs"):
        return "It is a pointer of git-lfs: run git lfs pull."
    if not head.startswith((b"PK", b"\x80")):
        return "It is something else. Get the weights again, or name another file."
    if _is_torchscript(path):
        return "If you trust it: torch.save(torch.jit.load(FILE).state_dict(), NEW)."
    return (
        "If you trust it, keep its weights alone: torch.save(torch.load(FILE, weights_only=False)[KEY], NEW), KEY its "
        "state dict; where it, or what KEY holds, is a whole network, with .state_dict() behind."
    )


def _is_torchscript(path: Path) -> bool:
    return zipfile.is_zipfile(path) and any("/code/" in name for name in zipfile.ZipFile(path).namelist())


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


def _tensors(saved: Any, init: str) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict in a checkpoint, and what is said of others beside it."""
    notes = []
    while isinstance(saved, dict) and (holders := [key for key in HOLDERS if _has_tensors(saved.get(key))]):
        others = [key for key, value in saved.items() if key != holders[0] and _has_tensors(value)]
        if others:
            notes.append(f"the weights are those of {holders[0]}; left: {', '.join(map(str, others))}")
        saved = saved[holders[0]]
    items = saved.items() if isinstance(saved, dict) else ()
    found = {str(name): value for name, value in items if isinstance(value, Tensor)}
    if not found:
        keys = ", ".join(str(key) for key, _ in list(items)[:5])
        raise UsageError(
            f"`init` {init} must hold a state dict, tensors by their names, got {keys or 'none'}. Save one: "
            "torch.save(network.state_dict(), FILE)."
        )
    return found, notes


def _has_tensors(value: Any) -> bool:
    """Whether it is a dictionary that holds some, at any depth."""
    return isinstance(value, dict) and any(isinstance(inner, Tensor) or _has_tensors(inner) for inner in value.values())


def _fault(tensor: Tensor, own: Tensor) -> str:
    """Why a tensor is no weight."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return "is no plain tensor"
    if tensor.is_complex() or (own.is_floating_point() and not tensor.is_floating_point()):
        return f"is of {str(tensor.dtype).removeprefix('torch.')}"
    return "" if not tensor.is_floating_point() or bool(tensor.isfinite().all()) else "has NaN or infinity"
