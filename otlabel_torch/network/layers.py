"""What a layer inside a network makes of images, by the layer's name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..system.errors import UsageError
from .models import Network

FEATURES, MAPS = "features", "maps"  # what the heads are fed with; the last maps before they are pooled
LARGEST = 9600  # values that maps are pooled to, as in the paper (Zhang et al., 2017)


@dataclass(frozen=True)
class Layer:
    """What is read inside a network."""

    called: str  # its name in full
    channels: int  # that its values are of, one channel's after the other's
    module: str | None = None  # of the trunk, as ``named_modules`` calls it; None: what the trunk makes in the end


def find(network: Network, name: str, device: torch.device) -> Layer:
    """The layer of a name.

    Args:
        name: "features", "maps", or a module of the trunk as ``named_modules`` calls it.

    Raises:
        UsageError: there is no such layer, or it makes no vectors and no maps.
    """
    if name == FEATURES:
        return Layer(FEATURES, network.width)
    modules = {own: module for own, module in network.trunk.named_modules() if own}
    shapes = _shapes(network, modules, device)
    if name == MAPS:
        several = [own for own, shape in shapes.items() if len(shape) == 4 and shape[2] > 1]
        if not several:
            raise UsageError("`layers` maps needs a convolutional network, this one has no maps. Use features.")
        name, called = several[-1], f"maps (layer {several[-1]})"
    else:
        called = f"layer {name}"
    if name not in shapes or len(shapes[name]) not in (2, 4):
        usable = ", ".join(own for own, shape in shapes.items() if len(shape) in (2, 4))
        raise UsageError(f"`layers` must be {FEATURES}, {MAPS} or one of {usable}, got {name}.")
    return Layer(called, shapes[name][1], name)


def read(network: Network, layers: Sequence[Layer], images: Tensor) -> list[Tensor]:
    """What each of the layers makes of images (n, 3, s, s), (n, width), in one pass through the trunk.

    Maps (n, channels, h, w) are max-pooled to the largest squares with at most 9,600 values. What follows the last
    layer is computed as well and thrown away.
    """
    kept: dict[str | None, Tensor] = {}

    def keep(name: str) -> Callable:
        def hook(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            kept[name] = pooled(output)

        return hook

    wanted = {layer.module for layer in layers if layer.module is not None}
    hooks = [network.trunk.get_submodule(name).register_forward_hook(keep(name)) for name in wanted]
    try:
        kept[None] = network.features(images)
    finally:
        for hook in hooks:
            hook.remove()
    return [kept[layer.module] for layer in layers]


def pooled(values: Tensor) -> Tensor:
    """A copy, (n, width): what follows may change the values in place."""
    if values.ndim == 2:
        return values.clone()
    side = min(math.isqrt(LARGEST // values.shape[1]), *values.shape[2:])
    return F.adaptive_max_pool2d(values, max(1, side)).flatten(1).clone()


@torch.no_grad()
def _shapes(network: Network, modules: dict[str, nn.Module], device: torch.device) -> dict[str, tuple[int, ...]]:
    """Shapes of what the trunk's modules make of one image, in the order of computation."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Callable:
        def hook(module: nn.Module, inputs: tuple, output: object) -> None:
            if isinstance(output, Tensor):
                shapes[name] = tuple(output.shape)

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in modules.items()]
    was_training = network.training
    try:
        network.eval().features(torch.zeros(1, 3, network.size, network.size, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return shapes
