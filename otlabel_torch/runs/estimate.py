"""What a run will take, measured on a copy of its network before it begins: time, memory, room on the disk."""

from __future__ import annotations

import copy
import dataclasses
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch
from torch import Tensor

from ..images.images import Images
from ..labels.look import look
from ..network.collect import BATCH, MEMORY, together
from ..options.config import Resolved
from ..options.kinds import ASSIGNERS
from ..system.devices import free_memory
from ..system.errors import UsageError
from ..system.processes import Processes
from ..training.epoch import train_epoch
from ..training.loop import epoch_seed
from ..training.losses.around import loss_of
from ..training.schedule import relabel_epochs
from ..training.state import State

T = TypeVar("T")
# Seconds of a balanced solve on 2 cores, an item and an entry of the scores: 50,000 x 128 take 0.3 to 0.5, 45,000 x 256
# 0.35, 1,281,167 x 3,000 peaked ones 4.3, where this says 0.4, 0.3 and 13. Less on GPUs.
ITEM, ENTRY = 7e-6, 1e-9
TRIED = 2.0  # seconds that steps, and batches of the labelling, are repeated for: a busy machine has slow moments
TRIALS = 7  # at most, and 2 at least, of which the first warms up
LATELY = 5  # epochs, and labellings, whose time the next ones are expected to take
LINE = 12  # bytes of a number in labels.csv
COPIES = 2  # of the checkpoint: the old one stays until the new one is whole


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Of a whole run, the closing table not counted."""

    seconds: float
    memory: float  # bytes of this process at its largest
    disk: float  # bytes

    def __str__(self) -> str:
        return f"about {duration(self.seconds)}, {_size(self.memory)} of memory, {_size(self.disk)} on the disk"


def estimate(config: Resolved, state: State, images: Images, team: Processes) -> Estimate:
    """Try a step and a batch of the labelling, in this process alone and without torch.compile."""
    n, size = len(images), config.batch_size // team.size
    network = copy.deepcopy(state.network)
    trial = dataclasses.replace(
        state,
        network=network,
        forward=network,
        optimiser=torch.optim.SGD(network.parameters(), lr=0.0),
        scaler=torch.amp.GradScaler(team.device.type, enabled=state.scaler.is_enabled()),
        labels=torch.zeros(size, config.heads, dtype=torch.int64),
    )
    alone, step = Processes(team.device), dataclasses.replace(config, batch_size=size, lr=0.0)
    batch, loss, assigner = images.of(torch.arange(size)), loss_of(config), ASSIGNERS[config.assigner]
    step_seconds, _metrics = _timed(lambda: train_epoch(step, trial, loss, batch, alone, "estimate"))
    looked = images.of(torch.arange(min(n, BATCH * together(team.device, config.image_size))))

    def see() -> Tensor:
        """Back on the host, which waits for it."""
        return look(assigner, config, network, looked, alone, seed=epoch_seed(config, 0)).values.cpu()

    batch_seconds, values = _timed(see)
    look_seconds = batch_seconds / len(looked)

    solves = len(relabel_epochs(config.relabels, config.epochs, config.schedule))
    steps = config.epochs * max(1, n // config.batch_size) if config.relabels else 0
    rows = n / team.size
    solved = (rows + (assigner.solves - 1) * n) * config.heads
    transport = solved * (ITEM + ENTRY * config.k) if assigner.uses_transport else 0.0
    looks = rows * look_seconds + transport
    labels = 12 * n * config.heads
    held = 4 * rows * values.shape[1] * (1 if assigner.solves == 1 else 2)  # what clusters are found on is a copy
    scores = min(4 * rows * config.k, MEMORY * free_memory())
    now, most = _resident()
    checkpoint = 8 * sum(parameter.numel() for parameter in network.parameters()) + labels
    return Estimate(
        steps * step_seconds + solves * looks,
        max(most, now + held + scores + labels),
        COPIES * checkpoint + LINE * n * (2 * config.heads + 2),
    )


def _timed(action: Callable[[], T]) -> tuple[float, T]:
    """Mean seconds, and what came of it: the first time warms up."""
    result = action()
    began, count = time.perf_counter(), 0
    while count < TRIALS - 1 and (not count or time.perf_counter() - began < TRIED):
        result = action()
        count += 1
    return (time.perf_counter() - began) / count, result


def time_left(config: Resolved, state: State) -> float:
    """Seconds to the end of the schedule, if epochs and labellings go on to take what the last few took."""
    times = relabel_epochs(config.relabels, config.epochs, config.schedule)
    solves = sum(time >= state.epoch and time != state.labels_epoch for time in times)
    left = {"train_seconds": config.epochs - state.epoch, "label_seconds": solves}
    taken = {name: [record[name] for record in state.records if name in record][-LATELY:] for name in left}
    return sum(count * median(taken[name]) for name, count in left.items() if taken[name])


def check(found: Estimate, out: Path) -> None:
    """Raise UsageError if there is too little memory, or room on the disk of ``out``."""
    place = next(path for path in (out, *out.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if found.disk > free:
        raise UsageError(
            f"`out` {out} needs {_size(found.disk)} on its disk, where {_size(free)} are free. Make room, or choose "
            "another."
        )
    now, _most = _resident()
    if found.memory - now > free_memory():
        raise UsageError(
            f"the run needs {_size(found.memory)} of memory, but {_size(now + free_memory())} are there. "
            "Lower `k` or `batch_size`, add `accumulate` or `keep` files, or start more machines with torchrun."
        )


def _resident() -> tuple[float, float]:
    """Bytes of memory that this process holds, and the most it has held; of GPUs nothing is counted."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return most, most
    return pages * resource.getpagesize(), most


def duration(seconds: float) -> str:
    """In words, to a tenth or so."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    if minutes < 100:
        return f"{minutes:.0f} min"
    hours = minutes / 60
    if hours < 100:
        return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"
    return f"{hours / 24:.0f} days"


def _size(count: float) -> str:
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
