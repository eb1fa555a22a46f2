"""A run, or a table of labels, as a page to look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from tqdm import tqdm

from otlabel.explore.contents import Contents, called, named
from otlabel.explore.page import write_page

from ..images.images import Images
from ..images.of_run import images_of
from ..images.thumbnails import Thumbnails
from ..labels.given import read_labels
from ..network.collect import collect
from ..options.config import Config
from ..options.kinds import ASSIGNERS
from ..options.of_explore import ExploreOptions
from ..system.devices import pick_device
from ..system.errors import UnwritableError, UsageError, memory_errors
from ..system.processes import Processes
from ..system.tables import columns_of
from .folder import RunFolder
from .own import labelled
from .trained import TrainedRun


@memory_errors()
def explore(options: ExploreOptions) -> Path:
    """Write the page, and the table for embedding-atlas if it is asked for; returns what a browser opens."""
    console = Console()
    if not options.run.exists():
        raise UsageError(f"RUN must be the folder of a run, or a table of labels, but {options.run} is not there.")
    run = None if options.run.is_file() else _opened(options)
    if options.embedding_atlas is not None and (run is None or options.embedding_atlas.suffix != ".parquet"):
        raise UsageError("`embedding_atlas` must end in .parquet, and is of a run.")
    images, contents = _of_table(options) if run is None else _of_run(options, run)
    if options.names is not None:
        contents.cluster_names.update(_names(options.names, contents.values))
    for line in images.said:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    usual = options.run.with_name(f"{options.run.stem}-clusters") if run is None else RunFolder(options.run).explorer
    out = options.out or usual
    try:
        with tqdm(total=len(images), desc="thumbnails", unit="img", leave=False, disable=None) as bar:
            page = write_page(contents, out, tick=bar.update)
    except FileExistsError as error:
        raise UsageError(f"`out` {error}") from None
    except OSError as error:
        raise UnwritableError(f"{out} cannot be written: {error.strerror or error}") from error
    console.print(f"{len(images)} images, {contents.k} clusters: open {page}", highlight=False, soft_wrap=True)
    if options.embedding_atlas is not None:
        assert run is not None
        _write_atlas(options.embedding_atlas, contents, run, images, console)
    return page


def _opened(options: ExploreOptions) -> TrainedRun:
    if options.root is not None or options.data is not None:
        raise UsageError("`root` and `data` are for tables of labels; a run has its own images. Leave them out.")
    run = RunFolder(options.run).open(pick_device("cpu"))
    if run.labels is None:
        raise UsageError(f"{options.run} cannot be explored: it never solved for labels (`relabels` 0).")
    return run


def _of_run(options: ExploreOptions, run: TrainedRun) -> tuple[Images, Contents]:
    folder, labels = RunFolder(options.run), run.labels
    assert labels is not None, "it was opened"
    skip = options.skip_bad_images or run.config.skip_bad_images
    named = dataclasses.replace(run.config, skip_bad_images=skip, download=False)
    images = labelled(named, images_of(dataclasses.replace(named, imbalance=None))[0], run.images)
    if images is None:
        raise UsageError(
            f"{options.run} has labels of other images than are there now: files were added, removed or renamed. "
            "Restore them, or give the table of labels and `root` instead of the run."
        )
    folder.check_rows(labels, images)
    values = _values(run, images)
    return images, Contents(
        title=options.run.resolve().name,
        names=images.paths,
        labels=labels.numpy(),
        k=run.config.k,
        values=values,
        cluster_names=called(values or []),
        confidence=run.saved["confidence"].numpy(),
        classes=None if images.classes is None else images.classes.numpy(),
        class_names=images.class_names,
        centres=_centres(run, images, labels),
        history=[(f"after {epoch} epochs", past) for epoch, past in folder.history(len(images), run.config.k)],
        thumbnails=Thumbnails(images),
        items="images",
    )


def _centres(run: TrainedRun, images: Images, labels: Tensor) -> list[np.ndarray]:
    """(k, d) of each head, whose directions say which clusters are near: what a head looks for, or their features."""
    if ASSIGNERS[run.config.assigner].heads_know_labels:
        return [run.network.linear(head)[0].cpu().numpy() for head in range(run.config.heads)]
    features = collect(run.network, images, Processes(torch.device("cpu")))
    features -= features.mean(dim=0)
    sums = [torch.zeros(run.config.k, features.shape[1]).index_add_(0, of, features) for of in labels.T]
    return [of.numpy() for of in sums]


def _of_table(options: ExploreOptions) -> tuple[Images, Contents]:
    if options.root is None and options.data != "digits":
        raise UsageError(f"{options.run} is a table of labels, which needs `root` DIR, its images.")
    named = Config(data=options.data or "folder", root=options.root, skip_bad_images=options.skip_bad_images)
    images, _ = images_of(named)
    given = read_labels(options.run, images)
    images, labels = given.only(images, options.run), given.labels.numpy()
    return images, Contents(
        title=options.run.name,
        names=images.paths,
        labels=labels,
        k=int(labels.max()) + 1,
        values=given.values,
        confidence=given.confidence.numpy() if bool(given.confidence.isfinite().any()) else None,
        cluster_names=called(given.values),
        classes=None if images.classes is None else images.classes.numpy(),
        class_names=images.class_names,
        thumbnails=Thumbnails(images),
        items="images",
    )


def _values(run: TrainedRun, images: Images) -> list[list[str]] | None:
    """What the labels that a run was given are called in their table; None: they are its own numbers."""
    table = run.config.labels
    if table is None or not table.is_file():
        return None
    return read_labels(table, images, in_order=run.config.labels_in_order).values


def _names(path: Path, values: Sequence[Sequence[str]] | None) -> dict[str, str]:
    """By head and label, of a table that the page has saved."""
    names, columns = columns_of(path, "names")
    if not {"head", "label", "name"} <= set(names):
        raise UsageError(f"`names` {path} must be a table of head, label and name, as the page saves it.")
    head, label, name = (map(str, columns[names.index(column)].tolist()) for column in ("head", "label", "name"))
    return named(zip(head, label, name, strict=True), values)


def _write_atlas(path: Path, contents: Contents, run: TrainedRun, images: Images, console: Console) -> None:
    from otlabel.explore.atlas import write_atlas

    team = Processes(torch.device("cpu"))
    features = collect(run.network, images, team, layer="features", precision=run.config.precision).cpu().numpy()
    try:
        write_atlas(path, contents, features, list(Thumbnails(images).files()))
    except ImportError as missing:
        raise UsageError(str(missing)) from None
    except OSError as error:
        raise UnwritableError(f"{path} cannot be written: {error.strerror or error}") from error
    shown = f"embedding-atlas {path} --x x --y y --neighbors neighbors --image image"
    console.print(f"for the viewer: {shown}", highlight=False, soft_wrap=True)
