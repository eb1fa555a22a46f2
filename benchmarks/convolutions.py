"""Images a second with PyTorch's convolutions and with this project's, in turns in one process.

    python benchmarks/convolutions.py convnet convnet-2x convnet-3x convnet-4x resnet18

float32, batches of 64 images of 24 px (of 32 for ResNets), ten heads of 256 labels; medians. Also the trunk's
forward passes as in labelling, of 128 images.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from otlabel._system import heap
from otlabel.bench import machine

# Part of a checkout, not of the library's promise.
from otlabel_torch.network.convolution import Convolution
from otlabel_torch.network.models import RESNETS, Network

TURNS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archs", nargs="+", metavar="ARCH")
    given = parser.parse_args()
    machine.limit_threads(None)
    heap.keep()
    torch.set_num_threads(machine.threads())
    print(f"{machine.cpu()}, {machine.threads()} threads; images a second, PyTorch's -> Winograd's")
    for arch in given.archs:
        size = 32 if arch in RESNETS else 24
        faster = Network(arch, 32, 10, 256).to(memory_format=torch.channels_last)
        plain = copy.deepcopy(faster)
        for layer in plain.modules():
            if isinstance(layer, Convolution):
                layer.__class__ = nn.Conv2d
        for name, step, images in (("training", training, 64), ("labelling", labelling, 128)):
            before, after = in_turns([step(plain, images, size), step(faster, images, size)])
            print(
                f"{arch:12} {name:10} {images / before:7.0f} -> {images / after:7.0f} ({before / after:.2f})",
                flush=True,
            )


def in_turns(steps: list[Callable[[], object]]) -> list[float]:
    """Median seconds of each."""
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(TURNS):
        for step, found in zip(steps, seconds, strict=True):
            began = time.perf_counter()
            step()
            found.append(time.perf_counter() - began)
    return [median(found[1:]) for found in seconds]


def pictures(count: int, size: int) -> torch.Tensor:
    return torch.randn(count, 3, size, size).contiguous(memory_format=torch.channels_last)


def training(network: Network, count: int, size: int) -> Callable[[], object]:
    images, labels = pictures(count, size), torch.randint(0, network.k, (count, network.heads))
    optimiser = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=1e-5, nesterov=True, fused=True)

    def step() -> None:
        network.train()
        optimiser.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(network(images)[0].flatten(0, 1), labels.flatten()).backward()
        optimiser.step()

    return step


def labelling(network: Network, count: int, size: int) -> Callable[[], object]:
    images = pictures(count, size)

    def step() -> None:
        network.eval()
        with torch.no_grad():
            network.features(images)

    return step


if __name__ == "__main__":
    main()
