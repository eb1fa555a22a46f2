"""Features of images, from the command's options to a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from tqdm import tqdm

from ..images.images import Images
from ..images.of_run import images_of, others
from ..network import weights
from ..network.collect import collect
from ..network.models import Network, check_arch
from ..options.config import Config, Precision
from ..options.of_embed import KINDS, EmbedOptions
from ..system.errors import UsageError, memory_errors
from ..system.files import atomic
from ..system.processes import Processes, join
from ..system.tables import pyarrow_parquet
from .folder import RunFolder

SHARD = 8192  # images whose features are held, and lost by a kill, at most


@dataclass(frozen=True)
class Embedding:
    """A network, and the images it is to look at."""

    network: Network
    parts: dict[str, Images]  # of the data: training and validation images
    precision: Precision
    notes: list[str] = field(default_factory=list)  # what a file of weights gave

    @property
    def count(self) -> int:
        """Of all images."""
        return sum(map(len, self.parts.values()))

    @property
    def jobs(self) -> list[tuple[str, range]]:
        """Which images of which part each shard has."""
        return [
            (part, range(start, min(start + SHARD, len(images))))
            for part, images in self.parts.items()
            for start in range(0, len(images), SHARD)
        ]

    @property
    def fingerprint(self) -> str:
        """Of all that the features depend on."""
        found = hashlib.sha256("".join(images.fingerprint for images in self.parts.values()).encode())
        for name, tensor in sorted(self.network.trunk.state_dict().items()):
            found.update(name.encode() + tensor.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        found.update(f"{self.network.size} {self.precision}".encode())
        return found.hexdigest()


@memory_errors()
def embed(options: EmbedOptions, console: Console | None = None) -> None:
    """Write the table."""
    console = console or Console()
    with join(options.device) as team:
        _check(options, team)
        work = _of_run(options, team) if Path(options.run).is_dir() else _of_weights(options, team)
        alone = Processes(team.device)
        if options.in_shards:
            options.out.mkdir(parents=True, exist_ok=True)
            if team.is_first and options.overwrite:
                _without_others(options.out, len(work.jobs))
            _shards(options, work, alone, team)
            team.wait()
        else:
            _whole(options.out, work, alone)
        if team.is_first:
            for line in work.notes:
                console.print(f"weights: {line}", highlight=False, soft_wrap=True, markup=False)
            for images in work.parts.values():
                for line in images.said:
                    console.print(line, highlight=False, soft_wrap=True, markup=False)
            told = f"{work.count} images, {work.network.width} features: {options.out}"
            console.print(told, highlight=False, soft_wrap=True, markup=False)


def _check(options: EmbedOptions, team: Processes) -> None:
    out, is_folder = options.out, options.in_shards
    if is_folder and out.suffix:
        raise UsageError(f"`out` must be a folder, or end in {' or '.join(KINDS)}, got {out}.")
    if not is_folder and (team.size > 1 or options.resume):
        raise UsageError("`out` must be a folder, of shards, for several processes and for `resume`.")
    is_there = out.exists() and (not is_folder or not out.is_dir() or any(out.iterdir()))
    if is_there and not (options.overwrite or options.resume):
        also = ", or `resume`" if is_folder else ""
        raise UsageError(f"`out` {out} is there already. Choose another name, or add `overwrite`{also}.")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"`out` {out} cannot be written: there is no folder {out.absolute().parent}.")


def _of_run(options: EmbedOptions, team: Processes) -> Embedding:
    if options.arch is not None:
        raise UsageError(f"`arch` {options.arch} is for weights; a run has its own network. Leave it out.")
    trained = RunFolder(Path(options.run)).open(team.device)
    config = others(trained.config, options.data, options.root, options.image_size, options.skip_bad_images)
    return Embedding(trained.network, _chosen(config, options.part), config.precision)


def _of_weights(options: EmbedOptions, team: Processes) -> Embedding:
    if options.arch is None or (options.root is None and options.data != "digits"):
        raise UsageError(
            f"{options.run} is no run, so it must be a file of weights or imagenet, which need `arch` NAME and `root` "
            "DIR, and `data` if that is no folder of images."
        )
    config = Config(
        data=options.data or "folder",
        root=options.root,
        image_size=options.image_size,
        skip_bad_images=options.skip_bad_images,
    )
    parts = _chosen(config, options.part)
    size = options.image_size or next(iter(parts.values())).view_size
    check_arch(options.arch, size)
    network = Network(options.arch, size, heads=1, k=1, hidden=False)
    taken = weights.initialise(network, options.arch, options.run)
    if left := taken.random:
        raise UsageError(f"{options.run} does not fit images of {size} px: {', '.join(left)}. {weights.REMEDY}")
    network = network.to(team.device).to(memory_format=torch.channels_last)
    return Embedding(network, parts, "float32", taken.notes)


def _chosen(config: Config, part: str) -> dict[str, Images]:
    """The images, by the part of the data that they are."""
    train, val = images_of(config)
    if part == "val" and val is None:
        raise UsageError(f"`part` val: {config.root or config.data} has no validation images. Leave the option out.")
    parts = {"train": train} if val is None else {"train": train, "val": val}
    return parts if part == "all" else {part: parts[part]}


def _shards(options: EmbedOptions, work: Embedding, alone: Processes, team: Processes) -> None:
    """Those of this process's shards that are not there yet."""
    _, parquet = pyarrow_parquet()
    wanted, jobs = work.fingerprint, list(enumerate(work.jobs))[team.rank :: team.size]
    for number, (part, rows) in _shown(work, jobs):
        path = options.out / f"part-{number:05d}.parquet"
        if path.exists() and not options.overwrite and (known := _fingerprint(path)) is not None:
            if known != wanted:
                raise UsageError(f"{path} is of other images or another network. Choose another `out`, or `overwrite`.")
            continue
        table = _table(work, part, rows, _features(work, alone, part, rows))
        with atomic(path) as file:
            parquet.write_table(table.replace_schema_metadata({"otlabel": json.dumps({"fingerprint": wanted})}), file)


def _fingerprint(path: Path) -> str | None:
    """Of the shard in a file; None of a damaged one, which is made anew."""
    arrow, parquet = pyarrow_parquet()
    try:
        return json.loads((parquet.read_schema(path).metadata or {}).get(b"otlabel", b"{}")).get("fingerprint", "")
    except (arrow.ArrowInvalid, OSError):
        return None


def _without_others(out: Path, count: int) -> None:
    """Shards of before that are beyond the last one would be taken for some of these images."""
    kept = {f"part-{number:05d}.parquet" for number in range(count)}
    for path in out.glob("part-*.parquet"):
        if path.name not in kept:
            path.unlink()


def _whole(out: Path, work: Embedding, alone: Processes) -> None:
    """One file, written while the features come."""
    writer = None
    with atomic(out) as file:
        if out.suffix == ".npy":
            shape = (work.count, work.network.width)
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for part, rows in _shown(work, work.jobs):
            values = _features(work, alone, part, rows)
            if out.suffix == ".npy":
                file.write(values.tobytes())
                continue
            table = _table(work, part, rows, values)
            writer = writer or pyarrow_parquet()[1].ParquetWriter(file, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def _shown(work: Embedding, jobs: list) -> Iterator:
    yield from tqdm(jobs, desc=f"{work.count} images", unit="shard", disable=None if len(jobs) > 1 else True)


def _features(work: Embedding, alone: Processes, part: str, rows: range) -> np.ndarray:
    """(m, width) float32."""
    some = work.parts[part].of(torch.tensor(rows))
    return collect(work.network, some, alone, precision=work.precision).cpu().numpy()


def _table(work: Embedding, part: str, rows: range, values: np.ndarray):
    """Of some images: path, part where there are several, class where it is known, and the features."""
    arrow, _ = pyarrow_parquet()
    images = work.parts[part]
    columns = {"path": [images.paths[i] for i in rows]}
    if len(work.parts) > 1:
        columns["part"] = [part] * len(rows)
    if images.classes is not None:
        columns["class"] = [images.class_names[c] for c in images.classes[rows.start : rows.stop].tolist()]
    vectors = arrow.FixedSizeListArray.from_arrays(arrow.array(values.ravel()), values.shape[1])
    return arrow.table({**columns, "embedding": vectors})
