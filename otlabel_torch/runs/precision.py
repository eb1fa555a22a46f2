"""Which numbers the network multiplies fastest here."""

from __future__ import annotations

import dataclasses
import time
from typing import get_args

import torch

from ..network.collect import autocast
from ..network.models import Network
from ..options.config import Precision, Resolved
from ..system.devices import pick_device
from ..system.processes import Processes
from . import rules

LEAST, TRIED = 3, 1.0  # steps in each and seconds, in turns; the fastest counts
MOST = 64  # images of a trial
WORTH = 0.9  # of the time in float32: what bf16 must do better than, or nothing is gained by fewer digits


def fastest(config: Resolved) -> Precision:
    """bf16 where it is faster than float32; fp16, which needs scaled losses, never.

    On a CPU both are tried, on the network in question and a part of a batch: processors without the instructions
    emulate bf16, and some that have them are no faster with it (docs/reproduce.md). CUDA devices that have it are
    faster.

    Raises:
        UserError: no network can be trained as the configuration says.
    """
    rules.check_alone(config)
    rules.check_train_size(config)
    device = pick_device(config.device)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type != "cpu":
        return "float32"
    size, count = config.train_size, max(2, min(MOST, config.batch_size // config.accumulate))
    candidates: tuple[Precision, ...] = ("float32", "bf16")
    seconds: dict[Precision, list[float]] = {precision: [] for precision in candidates}
    with torch.random.fork_rng(devices=[]):
        network = Network(config.arch, config.image_size, 1, 2, hidden=config.hidden)
        network = network.to(memory_format=torch.channels_last)
        images = torch.randn(count, 3, size, size).contiguous(memory_format=torch.channels_last)
        while len(seconds["bf16"]) < LEAST or sum(map(sum, seconds.values())) < TRIED:
            for precision in candidates:
                began = time.perf_counter()
                with autocast(device, precision):
                    scores, _turns = network(images)
                scores.float().sum().backward()
                seconds[precision].append(time.perf_counter() - began)
    return "bf16" if min(seconds["bf16"]) < WORTH * min(seconds["float32"]) else "float32"


def agreed(config: Resolved, team: Processes) -> Resolved:
    """With the first process's choice in all: the others may have found another one faster."""
    names = get_args(Precision)
    choice = torch.tensor(names.index(config.precision))
    team.from_first(choice)
    return dataclasses.replace(config, precision=names[int(choice)])
