"""python -m otlabel_torch.train: from a folder of images to labels, features and a report."""

from __future__ import annotations

import dataclasses
import platform
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
import tyro
import yaml
from rich.console import Console
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

from . import checkpoint, labelling, report, sela
from .config import NEVER_UPDATED, PRESETS, Config, Resolved, resolve
from .data import Images, load
from .devices import pick_device
from .errors import DataError, UsageError
from .metrics import agreement, weighted_knn
from .models import LEAST_ALEXNET, Network
from .schedule import relabel_epochs

PROGRAM = "python -m otlabel_torch.train"
MADE = {
    "config.yaml", "metrics.jsonl", "labels.csv", "sizes.csv", "predicted.csv", "report.json", "clusters.png",
    "checkpoints",
}  # fmt: skip  # what a run writes


def main() -> None:
    options = tyro.cli(Config, prog=PROGRAM)
    try:
        options = _resumed(options) if options.resume else _preset(options)
        if options.print_config:
            print(yaml.safe_dump(options.plain(), sort_keys=False), end="")
            return
        run(options, Console())
    except (UsageError, DataError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: --resume --out DIR goes on after the last epoch that was finished")


def run(options: Config, console: Console) -> list[dict[str, Any]]:
    """The whole job; returns the rows of the closing table."""
    began = time.perf_counter()
    device = pick_device(options.device)
    if options.data == "folder" and _is_inside(options.out, options.root):
        raise UsageError(f"--out {options.out} must not lie in --root {options.root}: its pictures are no images.")
    train, test = load(
        options.data, options.root, options.image_size, download=options.download, skip_bad=options.skip_bad_images
    )
    config = resolve(options, len(train), train.size)
    _check(config, len(train))
    state = sela.start(config, train, device)
    last = config.out / "checkpoints" / "last.pt"
    if config.resume:
        state.load(last)
    else:
        _prepare(config)
    solves = len(relabel_epochs(config.relabels, config.epochs, config.schedule))
    console.print(
        f"{len(train)} images of {config.image_size} px{f', {len(test)} more for evaluation' if test else ''}; "
        f"{config.arch} on {device}; {config.heads} heads of {config.k} labels; "
        f"{solves} solves in {config.epochs} epochs ({config.schedule}); output in {config.out}",
        highlight=False,
        soft_wrap=True,
    )
    skipped = [*train.skipped, *(test.skipped if test else [])]
    for line in skipped:
        console.print(f"skipped: {line}", highlight=False, soft_wrap=True, markup=False)

    def save(state: sela.State) -> None:
        state.save(last)
        checkpoint.write_lines(config.out / "metrics.jsonl", state.records)
        if state.labels is not None:
            assert state.confidence is not None
            report.write_labels(config.out / "labels.csv", train, state.labels, state.confidence)
            report.write_sizes(config.out / "sizes.csv", state.labels, state.confidence, config.k)

    def tell(record: dict[str, Any]) -> None:
        _say(report.epoch_line(record, config.epochs))

    if config.resume:
        _say(f"resumed after epoch {state.epoch}")
        save(state)  # a kill may have come between the checkpoint and the files beside it
    sela.fit(config, train, device, state=state, after_epoch=save, report=tell)
    if state.labels is None:
        save(state)  # --relabels 0: the untrained network is the result
    else:
        _write_clusters(config, state.labels[:, 0], state.confidence, train)
    if train.classes is None or (test is not None and test.classes is None):
        test = None  # images without classes cannot be evaluated on, nor any without those of training
    rows = [] if train.classes is None else _table(config, state, train, test, device, tell)
    protocol = "none" if train.classes is None else "kNN of the validation images" if test else "kNN leaves one out"
    seconds = time.perf_counter() - began
    checkpoint.write_json(
        config.out / "report.json", _facts(config, train, test, protocol, seconds) | {"skipped": skipped, "rows": rows}
    )
    if rows:
        report.closing_table(rows, console, protocol)
    console.print(f"done in {seconds:.0f} s: labels.csv, clusters.png, report.json in {config.out}", highlight=False)
    return rows


def _is_inside(path: Path | None, folder: Path | None) -> bool:
    return path is not None and folder is not None and path.absolute().is_relative_to(folder.absolute())


def _table(
    config: Resolved, state: sela.State, train: Images, test: Images | None, device: torch.device, tell: sela.Report
) -> list[dict[str, Any]]:
    """The rows of the closing table: the method beside what it must beat."""
    rows = [_raw_pixels(config, train, test)]
    untrained = sela.start(config, train, device).network
    rows.append(_judge("untrained network", config, untrained, None, train, test, device))
    if config.controls and config.relabels > 1:
        _say("control: the first labels, never updated")
        frozen = dataclasses.replace(config, relabels=1)
        control = sela.start(frozen, train, device)
        sela.fit(frozen, train, device, state=control, report=tell, name="control")
        rows.append(_judge("first labels, never updated", config, control.network, None, train, test, device))
    if state.labels is not None:
        name = "SeLa" if config.assigner == "sinkhorn" else f"labels by {config.assigner}"
        rows.append(_judge(name, config, state.network, state.labels, train, test, device))
    return rows


def _say(line: str) -> None:
    tqdm.write(line)
    sys.stdout.flush()  # for those who follow a log file


def _check(config: Resolved, n: int) -> None:
    for name in ("k", "heads", "epochs", "batch_size"):
        if getattr(config, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(config, name)}.")
    for name in ("relabels", "views", "seed", "weight_decay"):
        if getattr(config, name) < 0:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 0, got {getattr(config, name)}.")
    for name in ("epsilon", "lr"):
        if not getattr(config, name) > 0:
            raise UsageError(f"--{name} must be positive, got {getattr(config, name)}.")
    if config.arch == "alexnet" and config.image_size < LEAST_ALEXNET:
        raise UsageError(
            f"--arch alexnet needs images of {LEAST_ALEXNET} px or more, got {config.image_size}. Add --image-size 224."
        )
    if config.assigner in NEVER_UPDATED and config.relabels > 1:
        raise UsageError(
            f"--assigner {config.assigner} never updates its labels: --relabels must be 1, got {config.relabels}."
        )
    if config.batch_size < 2:
        raise UsageError(f"--batch-size must be at least 2, for batch normalisation, got {config.batch_size}.")
    if config.seed + config.epochs + config.heads >= 2**32:
        raise UsageError(f"--seed must stay below 2**32 with the epochs and heads added, got {config.seed}.")
    if any(drop >= config.epochs for drop in config.lr_drops):
        _say(f"note: --lr-drops {config.lr_drops} are not all reached in {config.epochs} epochs")
    if config.k > n:
        raise UsageError(f"--k must not exceed the number of images: k={config.k}, images={n}. Lower --k.")
    if config.batch_size > n:
        raise UsageError(f"--batch-size must not exceed the number of images: {config.batch_size} > {n}. Lower it.")


def _prepare(config: Resolved) -> None:
    """An empty output folder with the configuration in it; only files of a run are ever removed."""
    out = config.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not config.overwrite:
            raise UsageError(f"--out {out} is not empty. Choose another folder, or add --overwrite or --resume.")
        made = MADE | {f".{name}.part" for name in MADE}  # a kill may have left the latter
        others = sorted({entry.name for entry in out.iterdir()} - made)
        if others:
            raise UsageError(
                f"--overwrite empties folders of a run only, but {out} also holds {', '.join(others[:5])}."
            )
        shutil.rmtree(out)
    config.save(out / "config.yaml")


def _preset(options: Config) -> Config:
    """The configuration with what its preset says in the place of the defaults."""
    if options.preset is None:
        return options
    named = Config.read(PRESETS / f"{options.preset}.yaml")
    return tyro.cli(Config, prog=PROGRAM, default=named)  # what was typed has precedence


def _resumed(options: Config) -> Config:
    """The configuration of the run in --out; an option that contradicts it is an error, not ignored."""
    if options.out is None:
        raise UsageError("--resume needs --out DIR, the folder of the run to go on with.")
    last = options.out / "checkpoints" / "last.pt"
    if not last.exists():
        raise UsageError(f"--resume needs {last}, which is not there. Start without --resume.")
    saved = dataclasses.replace(Config.read(options.out / "config.yaml"), out=options.out.absolute())
    # What differs from its defaults now was typed. Flags are off in them, or they could not be typed again.
    flags = [field.name for field in dataclasses.fields(Config) if getattr(saved, field.name) is True]
    off: dict[str, Any] = dict.fromkeys(flags, False)
    again = tyro.cli(Config, prog=PROGRAM, default=dataclasses.replace(saved, **off))
    again = dataclasses.replace(again, root=again.root and again.root.absolute())
    for name in (field.name for field in dataclasses.fields(Config)):
        typed, kept = getattr(again, name), getattr(saved, name)
        if (
            name not in ("resume", "overwrite", "out", "device", "print_config")
            and typed != kept
            and typed is not False
        ):
            raise UsageError(
                f"--resume keeps the run's configuration, in which {name} is {kept!r}, not {typed!r}. "
                "Leave the option out, or start a new run."
            )
    return dataclasses.replace(
        saved, resume=True, overwrite=False, device=again.device, print_config=again.print_config
    )


def _raw_pixels(config: Resolved, train: Images, test: Images | None) -> dict[str, Any]:
    """kNN on the pixels, and k-means labels of them; large images are shrunk first."""

    def flat(images: Images) -> Tensor:
        pixels = F.resize(images.pixels, [32, 32], antialias=True) if images.size > 32 else images.pixels
        return pixels.flatten(1).float() / 255

    pixels = flat(train)
    other = None if test is None else (flat(test), test.truth)
    means = MiniBatchKMeans(config.k, random_state=config.seed, n_init=1).fit_predict(pixels.numpy())
    labels = torch.from_numpy(means).long()[:, None]
    return {"name": "raw pixels", "knn": weighted_knn(pixels, train.truth, other)} | agreement(labels, train.truth)


def _judge(
    name: str,
    config: Resolved,
    network: Network,
    labels: Tensor | None,
    train: Images,
    test: Images | None,
    device: torch.device,
) -> dict[str, Any]:
    """A row of the closing table. Labels of None stand for those the network would give now."""
    features = labelling.collect(network, train, device)
    other = None if test is None else (labelling.collect(network, test, device), test.truth)
    row: dict[str, Any] = {"name": name, "knn": weighted_knn(features, train.truth, other)}
    if labels is None:
        torch.manual_seed(config.seed)
        labels = sela.label(config, network, train, device).labels
    return row | agreement(labels, train.truth)


def _write_clusters(config: Resolved, labels: Tensor, confidence: Tensor | None, train: Images) -> None:
    assert confidence is not None
    report.write_clusters(config.out / "clusters.png", train, labels, confidence[:, 0])


def _facts(config: Resolved, train: Images, test: Images | None, protocol: str, seconds: float) -> dict[str, Any]:
    """What a reader of report.json needs to know about the rows."""
    return {
        "protocol": protocol,
        "images": len(train),
        "validation_images": len(test) if test else 0,
        "seconds": round(seconds, 1),
        "resumed": config.resume,
        "config": config.plain(),
        "versions": {
            "otlabel": labelling.VERSION,
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "python": platform.python_version(),
        },
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
