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

TRIALS = 5  # steps in each, in turns; the fastest counts
MOST = 64  # images of a trial
WORTH = 0.9  # of the time in float32: what bf16 must do better than, or nothing is gained by fewer digits


def fastest(config: Resolved) -> Precision:
    """bf16 where it is faster than float32, tried on the network in question; fp16, which needs scaled losses, never.

    Processors without the instructions emulate it, and some that have them are no faster: 1.4 times as fast on an AMD
    EPYC, 0.8 times on an Intel Xeon whose matrix units are switched off (docs/training.md).

    Raises:
        UserError: no network can be trained as the configuration says.
    """
    rules.check_alone(config)
    device = pick_device(config.device)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type != "cpu":
        return "float32"
    rules.check_train_size(config)
    size = config.train_size
    with torch.random.fork_rng(devices=[]):
        network = Network(config.arch, config.image_size, 1, 2, hidden=config.hidden)
        network = network.to(memory_format=torch.channels_last)
        images = torch.randn(max(2, min(config.batch_size, MOST)), 3, size, size).contiguous(
            memory_format=torch.channels_last
        )
    seconds: dict[Precision, float] = {}
    candidates: tuple[Precision, ...] = ("float32", "bf16")
    for precision in candidates * TRIALS:
        began = time.perf_counter()
        with autocast(device, precision):
            scores, _turns = network(images)
        scores.float().sum().backward()
        took = time.perf_counter() - began
        seconds[precision] = min(took, seconds.get(precision, took))
    return "bf16" if seconds["bf16"] < WORTH * seconds["float32"] else "float32"


def agreed(config: Resolved, team: Processes) -> Resolved:
    """With the first process's choice in all: the others may have found another one faster."""
    names = get_args(Precision)
    choice = torch.tensor(names.index(config.precision))
    team.from_first(choice)
    return dataclasses.replace(config, precision=names[int(choice)])
