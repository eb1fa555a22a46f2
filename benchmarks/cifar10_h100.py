"""--preset thorough with a wider network on one GPU, in commands of minutes: each goes on where the last one stopped.

    python benchmarks/cifar10_h100.py cifar10_jpeg.npz --out runs/cifar10_h100 --minutes 8.5

From the root of a checkout, with torch, torchvision, scikit-learn, Pillow, PyYAML, tqdm, tyro and what otlabel itself
needs; otlabel need not be installed. The file is the one that unpack_cifar10.py describes. The last command evaluates
and writes OUT/cifar10_h100.json: weighted kNN and linear probes on the test images, which choose nothing here. The
checkpoint is there in parts of 15 MiB too, for machines that hand back no larger files; from those alone a command goes
on as well.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))  # nothing needs to be installed

import numpy as np
import torch
from PIL import Image

from otlabel_torch import (
    Config,
    Images,
    Processes,
    RunFolder,
    State,
    Subject,
    fit,
    layer_scores,
    pick_device,
    resolve,
    start,
)

# Numbers and habits of the commands, which this one shares: part of a checkout, not of the library's promise.
from otlabel_torch.evaluation import probe
from otlabel_torch.network.collect import DTYPES
from otlabel_torch.options.command import one_line_errors
from otlabel_torch.options.config import PRESETS
from otlabel_torch.runs.resolve import BATCH
from otlabel_torch.system.files import write_json

GATES = {"weighted kNN accuracy": 77.6, "linear probe accuracy": 83.4}  # the paper's, with AlexNet
ARCH = "convnet-8x"
SAVED = 10  # epochs between checkpoints of 300 MB
PART = 15 << 20  # bytes
RESERVE = 30.0  # seconds for a checkpoint and an epoch that is slower than those before
JUDGED = 100.0  # seconds for the evaluation: if less are left it is the next command's


class Pause(Exception):
    """The command's time is up; the checkpoint is written."""


def main() -> None:
    began = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the .npz file")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint and the numbers")
    parser.add_argument("--minutes", type=float, default=8.5, help="of this command (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=120, help="in all (default: %(default)s)")
    parser.add_argument("--arch", default=ARCH, help="(default: %(default)s)")
    parser.add_argument("--relabels", type=int, default=24, help="(default: %(default)s)")
    parser.add_argument("--images", type=int, help="for a dry run: only so many of each split")
    parser.add_argument("--probe-epochs", type=int, default=probe.EPOCHS, help="(default: %(default)s)")
    parser.add_argument("--precision", default="bf16", choices=DTYPES, help="(default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    torch.backends.cudnn.benchmark = True  # batches have few shapes
    alone = Processes(pick_device("auto"))
    train, test = (read(given.source, split, given.images).near(alone.device) for split in ("train", "test"))
    chosen = {name: getattr(given, name) for name in ("out", "arch", "epochs", "precision", "compile", "seed")}
    chosen["relabels"] = min(given.relabels, given.epochs)
    preset = Config.read(PRESETS / "thorough.yaml")
    chosen["k"] = min(preset.k or len(train), len(train))  # for a dry run, as the next
    chosen["batch_size"] = min(BATCH, len(train) // 2)
    options = dataclasses.replace(preset, **chosen, preset="thorough", data="cifar10", root=given.source)
    config = resolve(options, len(train), train.size)
    state, folder = start(config, train, alone), RunFolder(config.out)
    join(folder.checkpoint)
    if folder.missing is None:
        kept, now = folder.configuration().plain(), config.plain()
        changed = [f"{name} {kept[name]!r}, not {now[name]!r}" for name in now if kept[name] != now[name]]
        if changed:
            sys.exit(
                f"error: {config.out} was begun with {'; '.join(changed)}. Go on with that, or choose another --out."
            )
        folder.resume(config, state, train)
    else:
        folder.save_configuration(config)
    print(f"{len(train)} images, {alone.device}, epoch {state.epoch} of {config.epochs}", flush=True)
    found_at = state.epoch, state.labels_epoch
    longest, before = 0.0, time.perf_counter()

    def keep(state: State) -> None:
        nonlocal longest, before
        now = time.perf_counter()
        longest, before = max(longest, now - before), now
        ends = now - began + longest + RESERVE > 60 * given.minutes
        if ends or state.epoch % SAVED == 0:
            state.save(folder.checkpoint)
        if ends:
            cut(folder.checkpoint)
            raise Pause

    try:
        fit(config, train, alone, state=state, after_epoch=keep, report=tell)
    except Pause:
        print(f"time is up after epoch {state.epoch} of {config.epochs}: the same command goes on", flush=True)
        return
    state.save(folder.checkpoint)
    cut(folder.checkpoint)
    if (state.epoch, state.labels_epoch) != found_at and time.perf_counter() - began + JUDGED > 60 * given.minutes:
        print("trained; the same command evaluates", flush=True)
        return
    found = evaluate(state, train, test, alone, given.probe_epochs) | facts(state, config.plain(), alone)
    write_json(config.out / "cifar10_h100.json", found)
    for name, value in found["accuracy"].items():
        print(f"{name}: {value:.2f} percent")
    print(f"the paper's, with AlexNet: {GATES}")


def cut(file: Path) -> None:
    """The same in parts, beside it."""
    for part in file.parent.glob(f"{file.name}.*of*"):
        part.unlink()
    content, count = memoryview(file.read_bytes()), -(-file.stat().st_size // PART)
    for i in range(count):
        file.with_name(f"{file.name}.{i + 1:02}of{count:02}").write_bytes(content[i * PART : (i + 1) * PART])


def join(file: Path) -> None:
    """The file from its parts, if it is not there and they are."""
    parts = sorted(file.parent.glob(f"{file.name}.*of*"))
    if file.exists() or not parts:
        return
    count = int(parts[0].name[-2:])
    if len(parts) != count:
        sys.exit(f"error: {file.parent} has {len(parts)} of the {count} parts of {file.name}. Bring the others too.")
    whole = file.with_name("joining")
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    whole.replace(file)


def read(source: Path, split: str, count: int | None) -> Images:
    """The images of one split, decoded."""
    with np.load(source, allow_pickle=False) as file:
        names = [str(name) for name in file["classes"]]
        offsets, classes = file[f"{split}_offset"], file[f"{split}_label"][:count]
        stream = file[f"{split}_jpeg"].tobytes()
    pictures = [Image.open(io.BytesIO(stream[offsets[i] : offsets[i + 1]])) for i in range(len(classes))]
    pixels = torch.from_numpy(np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]))
    paths = [f"{split}/{i:05d}" for i in range(len(classes))]
    return Images(pixels.permute(0, 3, 1, 2).contiguous(), paths, torch.from_numpy(classes.astype(np.int64)), names)


def tell(record: dict[str, Any]) -> None:
    shown = {name: round(value, 3) if isinstance(value, float) else value for name, value in record.items()}
    print(shown, flush=True)


def evaluate(state: State, train: Images, test: Images, alone: Processes, probe_epochs: int) -> dict[str, Any]:
    """Accuracies in percent by their full names."""
    subject, accuracy = Subject(state.network, train, test, alone), {}
    for called, scores in layer_scores(subject, ("features", "maps"), "paper", probe_epochs).items():
        accuracy |= {name if name.startswith("weighted kNN") else f"{name}, {called}": scores[name] for name in scores}
    return {"accuracy": accuracy, "gates": GATES}


def facts(state: State, config: dict[str, Any], alone: Processes) -> dict[str, Any]:
    """What the numbers were made with."""
    seconds = {
        name: round(sum(r.get(name, 0) for r in state.records), 1) for name in ("train_seconds", "label_seconds")
    }
    device = torch.cuda.get_device_name(alone.device) if alone.device.type == "cuda" else alone.device.type
    left = {name: value for name, value in config.items() if name not in ("root", "out")}
    return seconds | {"device": device, "torch": torch.__version__, "epochs": state.epoch, "config": left}


if __name__ == "__main__":
    with one_line_errors(interrupted="the same command goes on after the last checkpoint"):
        main()
