"""A run's network and labels as two small files, which --init, evaluate, embed and retrain take.

    python benchmarks/pretrained.py runs/cifar10_cpu/seed-0 docs/pretrained/cifar10-convnet-3x

OUT.pt has the trunk's weights, those of convolutions and products in float16 with six significant bits, which compress.
OUT-labels.parquet has the path of every training image, below the run's --root, and its label by each head.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from torch import Tensor

from otlabel_torch import RunFolder

# What the commands do, done here too: part of a checkout, not of the library's promise.
from otlabel_torch.options.command import one_line_errors
from otlabel_torch.system.files import atomic
from otlabel_torch.system.tables import columns_of
from otlabel_torch.training import checkpoint

BITS = 6  # of significance, of 11 in float16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run that has ended")
    parser.add_argument("out", type=Path, help="what both files' names begin with")
    given = parser.parse_args()
    folder = RunFolder(given.run)
    config, saved = folder.configuration(), checkpoint.load(folder.checkpoint)
    if saved["epoch"] < config.epochs:
        sys.exit(
            f"error: {given.run} must have ended, but is at epoch {saved['epoch']} of {config.epochs}. Go on with it."
        )
    weights, labels = (given.out.with_name(given.out.name + ending) for ending in (".pt", "-labels.parquet"))
    with atomic(weights) as file:
        file.write(deflated({name: small(tensor) for name, tensor in saved["model"].items()}))
    names, columns = columns_of(folder.labels(config.table), "labels")
    table = dict(zip(names, columns, strict=True))
    heads = {name: table[name].astype(np.uint16) for name in names if name.startswith("head_")}
    with atomic(labels) as file:
        pyarrow.parquet.write_table(pyarrow.table({"path": table["path"]} | heads), file, compression="zstd")
    for path in (weights, labels):
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def small(tensor: Tensor) -> Tensor:
    """Kernels and matrices in float16 with few significant bits; what there is of a channel as it is."""
    if tensor.ndim < 2:
        return tensor
    mantissa, exponent = torch.frexp(tensor)
    return torch.ldexp(torch.round(mantissa * 2**BITS) / 2**BITS, exponent).half()


def deflated(state: dict[str, Tensor]) -> bytes:
    """torch's format, compressed, which it reads too: the same bytes for the same weights."""
    plain, packed = io.BytesIO(), io.BytesIO()
    torch.save(state, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w") as target:
        for entry in source.infolist():
            same = zipfile.ZipInfo(entry.filename)  # of no date
            target.writestr(same, source.read(entry), zipfile.ZIP_DEFLATED, compresslevel=9)
    return packed.getvalue()


if __name__ == "__main__":
    with one_line_errors():
        main()
