"""Tables of labels: those a run writes, and those that others made."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np
from torch import Tensor

from ..images.decoding import shown
from ..images.images import Images
from ..system.errors import UsageError
from ..system.files import atomic, write_text
from ..system.tables import pyarrow_parquet

HEADS = ("head", "label", "cluster")  # how columns of labels begin, of ours and of others


def write_labels(path: Path, images: Images, labels: Tensor, confidence: Tensor) -> None:
    """index, path, a column of labels a head, and one of how much of the plan's row each label has; CSV or parquet."""
    heads = range(labels.shape[1])
    names = ["index", "path", *(f"head_{head}" for head in heads), *(f"confidence_{head}" for head in heads)]
    if path.suffix == ".parquet":
        arrow, parquet = pyarrow_parquet()
        if odd := next((name for name in images.paths if not _is_unicode(name)), None):
            raise UsageError(f"parquet holds UTF-8 only, and {shown(odd)} is none. Use CSV, or rename it.")
        columns = [np.arange(len(images)), images.paths, *labels.T.numpy(), *confidence.T.numpy()]
        with atomic(path) as file:
            parquet.write_table(arrow.table(dict(zip(names, columns, strict=True))), file)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for i, (name, row, sure) in enumerate(zip(images.paths, labels.tolist(), confidence.tolist(), strict=True)):
        writer.writerow([i, name, *row, *map(confidence_text, sure)])
    write_text(path, text.getvalue())


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def confidence_text(value: float) -> str:
    """A confidence as tables show it; empty where labels come from no plan."""
    return "" if math.isnan(value) else f"{value:.4f}"
