"""python -m otlabel_torch.train: from a folder of images to labels, features and a report."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from sklearn.cluster import MiniBatchKMeans
from tqdm import tqdm

from . import checkpoint, labelling, report, sela
from .config import Config, Resolved, default_out, resolve
from .data import DataError, Images, load
from .metrics import agreement, weighted_knn


class UsageError(Exception):
    """The options do not fit together, or do not fit the data."""


def main() -> None:
    config = tyro.cli(Config, prog="python -m otlabel_torch.train")
    try:
        run(config, Console())
    except (UsageError, DataError, ValueError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: add --resume to go on from the last epoch")


def run(options: Config, console: Console) -> list[dict[str, Any]]:
    """The whole job; returns the rows of the closing table."""
    began = time.perf_counter()
    if options.resume:
        options = _resumed(options)
    train, test = load(options.data, options.root, options.image_size)
    config = resolve(options, len(train))
    _check(config, len(train))
    device = pick_device(config.device)
    out = config.out or default_out(config)
    if not config.resume:
        _prepare(out, config)
    last = out / "checkpoints" / "last.pt"
    size = train.pixels.shape[-1]
    console.print(
        f"{len(train)} images of {size} px{f', {len(test)} more for evaluation' if test else ''}; "
        f"{config.arch} on {device}; "
        f"{config.heads} heads of {config.k} labels, epsilon {config.epsilon:g}; {config.relabels} solves "
        f"in {config.epochs} epochs ({config.schedule}); output in {out}",
        highlight=False,
    )

    state = sela.start(config, size, device)
    if config.resume:
        state.load(last)
        console.print(f"resumed after epoch {state.epoch}", highlight=False)

    def after_epoch(state: sela.State) -> None:
        assert state.labels is not None
        state.save(last)
        checkpoint.write_lines(out / "metrics.jsonl", state.records)
        report.write_labels(out / "labels.csv", train, state.labels)

    def tell(record: dict[str, Any]) -> None:
        tqdm.write(report.epoch_line(record, config.epochs))

    rows = _references(config, train, test, device, size)
    if config.controls and config.relabels > 1:
        tqdm.write("control: first labels, never updated")
        frozen = dataclasses.replace(config, relabels=1)
        control = sela.fit(
            frozen, train, device, state=sela.start(frozen, size, device), report=tell, name="first labels"
        )
        rows.append(_judge("first labels, never updated", config, control.network, None, train, test, device))
        tqdm.write("SeLa")
    sela.fit(config, train, device, state=state, after_epoch=after_epoch, report=tell)

    if state.labels is None:
        state.save(last)  # --relabels 0: the untrained network is the result
    else:
        rows.append(_judge("SeLa", config, state.network, state.labels, train, test, device))
        _write_clusters(out / "clusters.png", state, train, device)
    seconds = time.perf_counter() - began
    checkpoint.write_json(out / "report.json", {"seconds": round(seconds, 1), "rows": rows})
    report.closing_table(rows, console, "kNN on the validation images" if test else "kNN leaves one out")
    console.print(f"done in {seconds:.0f} s: labels.csv, clusters.png, report.json in {out}", highlight=False)
    return rows


def pick_device(name: str) -> torch.device:
    """The device called ``name``, proved to work; "auto" is the best there is."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (
        RuntimeError,
        AssertionError,
    ) as error:  # torch's own words: unknown name, no driver, not compiled in
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name} cannot be used here: {reason} Use --device cpu, or auto.") from None
    return torch.device(name)


def _check(config: Resolved, n: int) -> None:
    for name in ("k", "heads", "epochs", "batch_size"):
        if getattr(config, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(config, name)}.")
    if config.relabels < 0:
        raise UsageError(f"--relabels must be at least 0, got {config.relabels}.")
    for name in ("epsilon", "lr"):
        if not getattr(config, name) > 0:
            raise UsageError(f"--{name} must be positive, got {getattr(config, name)}.")
    if config.k > n:
        raise UsageError(f"--k must not exceed the number of images: k={config.k}, images={n}. Lower --k.")
    if config.batch_size > n:
        raise UsageError(f"--batch-size must not exceed the number of images: {config.batch_size} > {n}. Lower it.")


def _prepare(out: Path, config: Resolved) -> None:
    """An empty output folder with the configuration in it."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not config.overwrite:
            raise UsageError(f"--out {out} is not empty. Choose another folder, or add --overwrite or --resume.")
        if not (out / "config.yaml").exists():
            raise UsageError(f"--overwrite only empties a run's folder, and {out} has no config.yaml. Choose another.")
        shutil.rmtree(out)
    config.save(out / "config.yaml")


def _resumed(config: Config) -> Config:
    """The configuration of the run in --out; an option that contradicts it is an error, not ignored."""
    if config.out is None:
        raise UsageError("--resume needs --out DIR, the folder of the run to go on with.")
    last = config.out / "checkpoints" / "last.pt"
    if not last.exists():
        raise UsageError(f"--resume needs {last}, which is not there. Start without --resume.")
    saved, default = Config.read(config.out / "config.yaml"), Config()
    for name in (field.name for field in dataclasses.fields(Config)):
        given = getattr(config, name)
        if name not in ("resume", "out", "device") and given not in (
            getattr(default, name),
            getattr(saved, name),
        ):
            raise UsageError(
                f"--resume keeps the run's configuration, in which {name} is {getattr(saved, name)!r}, not {given!r}. "
                "Leave the option out, or start a new run."
            )
    return dataclasses.replace(saved, resume=True, overwrite=False, out=config.out, device=config.device)


def _references(
    config: Resolved, train: Images, test: Images | None, device: torch.device, size: int
) -> list[dict[str, Any]]:
    """Rows for raw pixels and for the untrained network."""
    pixels = train.pixels.flatten(1).float() / 255
    other = None if test is None else (test.pixels.flatten(1).float() / 255, test.classes)
    raw: dict[str, Any] = {"name": "raw pixels", "knn": weighted_knn(pixels, train.classes, other)}
    means = MiniBatchKMeans(config.k, random_state=config.seed, n_init=1).fit_predict(pixels.numpy())
    raw |= agreement(torch.from_numpy(means).long()[:, None], train.classes)
    network = sela.start(config, size, device).network
    return [raw, _judge("untrained network", config, network, None, train, test, device)]


def _judge(
    name: str,
    config: Resolved,
    network: Any,
    labels: torch.Tensor | None,
    train: Images,
    test: Images | None,
    device: torch.device,
) -> dict[str, Any]:
    """A row of the closing table. Labels default to those the network would give now."""
    features = labelling.collect(network, train, device)
    other = None if test is None else (labelling.collect(network, test, device), test.classes)
    row: dict[str, Any] = {"name": name, "knn": weighted_knn(features, train.classes, other)}
    if labels is None:
        labels = labelling.solve(network, features, config.epsilon, config.rounding).labels
    return row | agreement(labels, train.classes)


@torch.no_grad()
def _write_clusters(path: Path, state: sela.State, train: Images, device: torch.device) -> None:
    features = labelling.collect(state.network, train, device).to(device)
    assert state.labels is not None
    labels = state.labels[:, 0]
    probability = state.network.scores(features)[:, 0].softmax(dim=1).cpu()
    report.write_clusters(path, train, labels, probability[torch.arange(len(labels)), labels])


if __name__ == "__main__":
    main()
