"""A whole run: from a configuration to labels, features and a report in a folder."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
import torchvision
from rich.console import Console
from torch import Tensor
from tqdm import tqdm

from otlabel._system import heap

from ..images.images import Images
from ..images.of_run import images_of
from ..labels.given import read_labels
from ..labels.transport import VERSION
from ..network import weights
from ..options.config import Config, Resolved
from ..system.errors import UsageError, memory_errors
from ..system.processes import Processes, join
from ..training.loop import Report, fit
from ..training.schedule import drop_epoch, relabel_epochs
from ..training.state import State, start
from . import baselines, estimate, report, rules
from .folder import RunFolder
from .precision import agreed
from .resolve import resolve
from .tensorboard import Scalars

WORTH_SAYING = 100.0  # seconds: who waits for less sees the bar of the epochs


@memory_errors()
def run(options: Config, console: Console) -> list[dict[str, Any]]:
    """The whole job; returns the rows of the closing table."""
    rules.check_early(options)
    if options.data == "folder" and _is_inside(options.out, options.root):
        raise UsageError(f"`out` {options.out} must not lie in `root` {options.root}: its pictures are no images.")
    if options.out is not None and not options.resume:
        RunFolder(options.out).check_free(options.overwrite)
    heap.keep()
    with join(options.device) as team:
        return Run(options, team, console).whole()


class Run:
    """What all stages of a run share."""

    def __init__(self, options: Config, team: Processes, console: Console):
        self.began, self.team = time.perf_counter(), team
        self.console = console if team.is_first else Console(quiet=True)
        first_here = int(os.environ.get("LOCAL_RANK", 0)) == 0
        if not first_here:
            team.wait()
        with _named(options):
            self.train, self.test = images_of(options)
        if first_here:
            team.wait()  # what one has fetched or unpacked the others of its machine find
        keep: Literal["memory", "files"] = "memory" if isinstance(self.train.pixels, Tensor) else "files"
        if team.mean(keep == "memory") not in (0, 1):
            raise UsageError("the processes do not all have room for the images: add `keep` files, or `keep` memory.")
        with _named(options):
            given = None
            if options.labels is not None:
                given = read_labels(options.labels, self.train, in_order=options.labels_in_order)
                self.train = given.only(self.train, options.labels)
            self.table = None if given is None else given.labels
            self.given = [] if given is None else given.notes
            known = None if self.table is None else (self.table.shape[1], int(self.table.max()) + 1)
            config = resolve(options, len(self.train), self.train.view_size, known)
            rules.check(config, len(self.train), team.size, known)
            config = agreed(config, team)
        # Decided once: what is kept differs in size, and the same picture must always look the same.
        config = dataclasses.replace(config, keep=keep, pixel_range=config.pixel_range or self.train.pixel_range)
        self.config: Resolved = config
        self.folder = RunFolder(config.out)

    def whole(self) -> list[dict[str, Any]]:
        """From the first step, or where it was left, to the report."""
        config, team = self.config, self.team
        # A run that goes on has all its weights in the checkpoint: the file it was started from may be gone.
        first = dataclasses.replace(config, init=weights.RANDOM) if config.resume else config
        state = start(first, self.train, team, lambda line: self._print(f"init: {line}"))
        if config.resume:
            self.folder.resume(config, state, self.train)
        self._introduce(state)
        team.wait()  # nothing is removed before all agree
        if team.is_first:
            if config.resume:
                self._save(state, every_file=True)  # a kill may have come between one file and the next
            else:
                self.folder.begin(config)
        team.wait()
        self.train = self.train.near(team.device)
        shown = self.folder.tensorboard if config.tensorboard and team.is_first else None
        with Scalars(shown, state.epoch) as scalars:

            def tell(record: dict[str, Any], left: float = 0.0) -> None:
                if team.is_first:
                    more = f"  {estimate.duration(left)} left" if left > WORTH_SAYING else ""
                    _say(report.epoch_line(record, config.epochs) + more)
                    scalars.add(record)

            def go_on(record: dict[str, Any]) -> None:
                tell(record, estimate.time_left(config, state))

            fit(config, self.train, team, state=state, table=self.table, after_epoch=self._save, report=go_on)
            if state.labels is None:
                self._save(state)  # relabels 0: the untrained network is the result
            return self._close(state, tell)

    def _introduce(self, state: State) -> None:
        config, train, team = self.config, self.train, self.team
        solves = len(relabel_epochs(config.relabels, config.epochs, config.schedule))
        where = f"{team.size} processes on {team.device.type}" if team.size > 1 else str(team.device)
        more = f", {len(self.test)} more for evaluation" if self.test else ""
        trained = f" (trained on at {config.train_size})" if config.train_size != config.image_size else ""
        labels = f"{solves} solves ({config.schedule})" if self.table is None else f"labels of {config.labels}"
        self._print(
            f"{len(train)} images of {config.image_size} px{trained}{more}; {config.arch} on {where}; "
            f"{config.heads} heads of {config.k} labels; {labels} in {config.epochs} epochs; output in {config.out}"
        )
        for line in (line for part in self._parts() for line in part.said):
            self._print(line)
        for line in self.given:
            self._print(f"labels: {line}")
        if any(drop_epoch(drop, config.epochs) >= config.epochs for drop in config.lr_drops):
            drops = " ".join(f"{drop:g}" for drop in config.lr_drops)
            self._print(f"note: drops of the learning rate at {drops} are not all reached in {config.epochs} epochs")
        if config.resume:
            self._print(f"resumed after epoch {state.epoch}")
            if weights.is_gone(config.init):
                self._print(f"note: {config.init} is gone: there will be no row of the network before training")
            return
        found = estimate.estimate(config, state, train, team)
        estimate.check(found, config.out)
        self._print(f"estimate: {found}")

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _parts(self) -> list[Images]:
        return [self.train, *([self.test] if self.test else [])]

    def _save(self, state: State, every_file: bool = False) -> None:
        if self.team.is_first:
            self.folder.save(self.config, state, self.train, every_file)

    def _close(self, state: State, tell: Report) -> list[dict[str, Any]]:
        """The contact sheet, the closing table and report.json."""
        config, train, test, team = self.config, self.train, self.test, self.team
        if state.labels is not None and team.is_first:
            assert state.confidence is not None
            self.folder.save_clusters(train, state.labels[:, 0], state.confidence[:, 0])
        if train.classes is None or (test is not None and test.classes is None):
            test = None  # images without classes cannot be evaluated on, nor any without those of training
        rows = [] if train.classes is None else baselines.rows(config, state, train, test, team, tell)
        if not team.is_first:
            return []
        protocol = "none" if train.classes is None else "kNN of the validation images" if test else "kNN leaves one out"
        seconds = time.perf_counter() - self.began
        facts = {
            "protocol": protocol,
            "images": len(train),
            "validation_images": len(test) if test else 0,
            "seconds": round(seconds, 1),
            "resumed": config.resume,
            "config": config.plain(),
            "versions": {
                "otlabel": VERSION,
                "torch": torch.__version__,
                "torchvision": torchvision.__version__,
                "python": platform.python_version(),
            },
            "processes": team.size,
            "threads": torch.get_num_threads(),
            "skipped": [line for part in self._parts() for line in part.skipped],
            "notes": [note.plain() for part in self._parts() for note in part.notes],
            "labels_given": self.given,
            "rows": rows,
        }
        self.folder.save_report(facts, state, config)
        if rows:
            report.closing_table(rows, self.console, protocol)
        self._print(f"done in {seconds:.0f} s: {', '.join(self.folder.shown(config.table))} in {config.out}")
        if state.labels is not None:
            self._print(f"look at its clusters: python -m otlabel_torch.explore {config.out} --open")
        return rows


def _named(options: Config) -> AbstractContextManager[None]:
    """Where errors of options say that they come from a file, if they do."""
    return RunFolder(options.out).describes() if options.resume and options.out is not None else nullcontext()


def _is_inside(path: Path | None, folder: Path | None) -> bool:
    return path is not None and folder is not None and path.absolute().is_relative_to(folder.absolute())


def _say(line: str) -> None:
    tqdm.write(line)
    sys.stdout.flush()  # for those who follow a log file
