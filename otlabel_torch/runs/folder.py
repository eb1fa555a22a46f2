"""The folder of a run: what its files are called, how they are written, and what is said if one is damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from otlabel.explore.sheet import sheet

from ..images.images import Images
from ..labels.tables import write_labels
from ..options.config import Resolved
from ..system import files
from ..system.errors import DataError, UnwritableError, UsageError, UserError
from ..training import checkpoint
from ..training.state import State, build, load_network
from . import checkpoint_rules, history, pictures, report, rules
from .trained import TrainedRun

CONFIGURATION, CHECKPOINTS, METRICS, REPORT = "config.yaml", "checkpoints", "metrics.jsonl", "report.json"
LABELS, SIZES, CLUSTERS, PREDICTED = "labels", "sizes.csv", "clusters.png", "predicted.csv"
TENSORBOARD, EVALUATION, EXPLORER, HISTORY = "tensorboard", "evaluation", "explore", "history"
PICTURES, PAGE = "pictures", "report.html"
TABLES = ("csv", "parquet")
MADE = {
    CONFIGURATION, CHECKPOINTS, METRICS, REPORT, SIZES, CLUSTERS, PREDICTED, TENSORBOARD, EVALUATION,
    EXPLORER, HISTORY, PICTURES, PAGE,
    *(f"{LABELS}.{table}" for table in TABLES),
}  # fmt: skip  # all that a run and those who ask it write
REMEDY = "Restore it from a copy, or start a run anew"


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds a run, or is to hold one.

    Whatever is wrong with a file of it is a UserError that names the file.
    """

    path: Path

    @property
    def checkpoint(self) -> Path:
        """Of the last epoch: network, optimiser, labels, potentials."""
        return self.path / CHECKPOINTS / "last.pt"

    def labels(self, table: str) -> Path:
        """The table of labels in a format, one of ``TABLES``."""
        return self.path / f"{LABELS}.{table}"

    @property
    def predicted(self) -> Path:
        """Labels of other images."""
        return self.path / PREDICTED

    @property
    def tensorboard(self) -> Path:
        """The metrics, for TensorBoard."""
        return self.path / TENSORBOARD

    @property
    def evaluation(self) -> Path:
        """The folder of an evaluation."""
        return self.path / EVALUATION

    @property
    def explorer(self) -> Path:
        """The page of the clusters."""
        return self.path / EXPLORER

    @property
    def has_configuration(self) -> bool:
        """Whether there is one beside the labels."""
        return (self.path / CONFIGURATION).exists()

    @property
    def missing(self) -> Path | None:
        """A file without which there is no run to use or to go on with."""
        return next((path for path in (self.checkpoint, self.path / CONFIGURATION) if not _is_there(path)), None)

    # Before a run.

    def check_free(self, overwrite: bool) -> None:
        """Raise UsageError unless the folder is empty, or holds a run that may be overwritten and nothing else."""
        folder = self.path
        try:
            names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else {folder.name}
            if not folder.exists() or not names:
                return
        except OSError as error:
            raise UsageError(f"`out` {folder} cannot be read: {error.strerror}. Choose another folder.") from None
        if not overwrite or not folder.is_dir():
            raise UsageError(f"`out` {folder} is not empty. Choose another folder, or add `overwrite` or `resume`.")
        made = MADE | {f".{name}.part" for name in MADE}  # a kill may have left the latter
        others = sorted(names - made)
        if others:
            raise UsageError(
                f"`overwrite` empties folders of a run only, but {folder} also holds {', '.join(others[:5])}."
            )

    def begin(self, config: Resolved) -> None:
        """Empty the folder, and write what the run is started with."""
        try:
            for entry in (
                self.path.iterdir() if self.path.exists() else ()
            ):  # the folder itself may be a link or a mount
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        except OSError as error:
            raise UnwritableError(f"{self.path} cannot be emptied: {error.strerror or error}") from error
        self.save_configuration(config)

    def save_configuration(self, config: Resolved) -> None:
        """What the run is started with."""
        config.save(self.path / CONFIGURATION)

    # In a run and after it.

    def save(self, config: Resolved, state: State, images: Images, every_file: bool = False) -> None:
        """The checkpoint first: what lies beside it can be made from it. Labels are written when they are new."""
        state.save(self.checkpoint)
        files.write_lines(self.path / METRICS, state.records)
        if state.labels is not None and (every_file or state.labels_are_new):
            assert state.confidence is not None
            write_labels(self.labels(config.table), images, state.labels, state.confidence)
            report.write_sizes(self.path / SIZES, state.labels, state.confidence, config.k)
            assert state.labels_epoch is not None
            history.add(self.path / HISTORY, state.labels_epoch, state.labels, config.k)

    def save_clusters(self, images: Images, labels: Tensor, confidence: Tensor) -> None:
        """The contact sheet of labels (n,) of one head."""
        report.write_clusters(self.path / CLUSTERS, images, labels, confidence)

    def shown(self, table: str) -> tuple[str, ...]:
        """Names of what a user looks at first."""
        return PAGE, self.labels(table).name, CLUSTERS

    def save_report(self, facts: dict[str, Any], state: State, config: Resolved) -> None:
        """What the run came to: for programs, and as a page with pictures."""
        files.write_json(self.path / REPORT, facts)
        head = [None if values is None else values[:, 0].numpy() for values in (state.labels, state.confidence)]
        drawn = pictures.pictures(state.records, facts["rows"], head[0], head[1], config.k)
        for picture in drawn:
            with files.atomic(self.path / PICTURES / f"{picture.name}.png") as file:
                file.write(picture.png)
        parts = [*report.parts(facts), *(picture.part for picture in drawn)]
        files.write_text(self.path / PAGE, sheet(f"otlabel: {self.path.resolve().name}", parts))

    # To use a run, or to go on with it.

    def configuration(self, kind: type[Resolved] = Resolved) -> Resolved:
        """What the run was started with.

        Args:
            kind: which options a run has.

        Raises:
            UsageError: config.yaml is damaged, or no run can have been started with it.
        """
        config = kind.read(self.path / CONFIGURATION)
        with self.describes():
            rules.check_choices(config)
            rules.check_alone(config)
        return config

    @contextmanager
    def describes(self) -> Iterator[None]:
        """Inside, an error that begins with an option becomes one of config.yaml, which the option was read from."""
        try:
            yield
        except UserError as error:
            reason = str(error).rstrip(".")
            if not reason.startswith("`"):
                raise
            raise UsageError(
                f"{self.path / CONFIGURATION} cannot be the configuration of a run: {reason}. {REMEDY}."
            ) from None

    def resume(self, config: Resolved, state: State, images: Images) -> None:
        """Give a state at its start what the last checkpoint holds.

        Raises:
            DataError: the checkpoint is damaged, or belongs to other images or another network.
        """
        with self._readable():
            saved = checkpoint.load(self.checkpoint)
            self._must(checkpoint_rules.fault(config, saved))
            state.load(saved, self.checkpoint)
            self._must(checkpoint_rules.fault_of_optimiser(state.optimiser))
            self.check_rows(state.labels, images)

    def open(self, device: torch.device) -> TrainedRun:
        """The run, to be used on other images.

        Raises:
            UserError: the folder holds no run, or a damaged one.
        """
        if self.missing is not None:
            raise UsageError(
                f"RUN must be the `out` of a training run, but {self.missing} is not there. Name another folder."
            )
        config = self.configuration()
        with self._readable():
            saved = checkpoint.load(self.checkpoint)
            self._must(checkpoint_rules.fault(config, saved))
            network = build(config)
            load_network(network, saved, self.checkpoint)
        return TrainedRun(config, saved, network.to(device).to(memory_format=torch.channels_last))

    def history(self, n: int, k: int) -> list[tuple[int, np.ndarray]]:
        """Epochs that were finished, and the labels (n,) of the first head of then.

        Raises:
            DataError: a file of them is damaged, or is of other images.
        """
        return history.read(self.path / HISTORY, n, k)

    def records(self) -> list[dict[str, Any]]:
        """The metrics of every epoch.

        Raises:
            DataError: metrics.jsonl is damaged.
        """
        with _json_in(self.path / METRICS, "Go on with the run, which writes it anew.") as text:
            return [json.loads(line) for line in text.splitlines()]

    def evaluation_report(self) -> dict[str, Any]:
        """What an evaluation of the run found.

        Raises:
            DataError: there was none, or its file is damaged.
        """
        with _json_in(self.evaluation / REPORT, "Evaluate the run again.") as text:
            return json.loads(text)

    def check_rows(self, labels: Tensor | None, images: Images) -> None:
        """Raise DataError unless the checkpoint's labels are as many as its images."""
        self._must(checkpoint_rules.fault_of_rows(labels, len(images)))

    def _must(self, fault: str | None) -> None:
        if fault is not None:
            raise DataError(f"{self.checkpoint} {fault}. {REMEDY}.")

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Inside, whatever a damaged checkpoint makes torch raise becomes one line that names it."""
        try:
            yield
        except (UserError, MemoryError):
            raise
        except Exception as error:  # readers of damaged files raise anything: RuntimeError, KeyError, UnpicklingError
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = f"{type(error).__name__}: {lines[min(1, len(lines) - 1)] if lines else 'no more is known'}"
            raise DataError(
                f"{self.checkpoint} must be the checkpoint of a run as {CONFIGURATION} describes it, but it cannot be "
                f"used as such ({reason.rstrip('.')}). {REMEDY}."
            ) from None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # in a folder that may not be read: whoever reads it will say so
        return True


@contextmanager
def _json_in(path: Path, remedy: str) -> Iterator[str]:
    """The text of a file; what is wrong with it inside becomes one line."""
    try:
        yield path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} must hold JSON, but it does not: {error}. {remedy}") from None
