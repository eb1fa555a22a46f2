"""Tables of labels, written and read back, and those that others made."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow.parquet
import pytest
import torch

from otlabel_torch.images.images import Images
from otlabel_torch.labels.tables import read_labels, write_labels
from otlabel_torch.system.errors import DataError

N = 40


@pytest.fixture
def images():
    return Images(torch.zeros(N, 3, 8, 8, dtype=torch.uint8), [f"a, b/{i:02d} é.png" for i in range(N)], None, [])


@pytest.fixture
def labels():
    return torch.stack([torch.randperm(N) % 7, torch.randperm(N) % 5], dim=1)


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_tables_are_read_as_they_were_written(images, labels, tmp_path, name):
    path = tmp_path / name
    confidence = torch.rand(N, 2)
    confidence[3, 1] = float("nan")
    write_labels(path, images, labels, confidence)
    assert torch.equal(read_labels(path, images), labels)
    order = torch.randperm(N)[:30]
    assert torch.equal(read_labels(path, images.of(order)), labels[order])  # found by their paths
    if name.endswith("parquet"):
        table = pyarrow.parquet.read_table(path)
        assert table.column_names == ["index", "path", "head_0", "head_1", "confidence_0", "confidence_1"]
        np.testing.assert_array_equal(table["confidence_0"].to_numpy(), confidence[:, 0])
    else:
        with path.open() as file:
            row = list(csv.DictReader(file))[3]
        assert (row["path"], row["confidence_1"]) == ("a, b/03 é.png", "")


def test_tables_of_others(images, labels, tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("cluster\n" + "".join(f"{label}\n" for label in labels[:, 0]))
    assert torch.equal(read_labels(path, images), labels[:, :1])
    path.write_text("".join(f"{one},{other}\n" for one, other in labels))
    assert torch.equal(read_labels(path, images), labels)
    lines = [f"{i},{labels[i, 1]}\n" for i in np.random.default_rng().permutation(N)]
    path.write_text("index,label_mine\n" + "".join(lines))
    assert torch.equal(read_labels(path, images), labels[:, 1:])
    np.save(tmp_path / "theirs.npy", labels.numpy())
    assert torch.equal(read_labels(tmp_path / "theirs.npy", images), labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a table"),
        ("path\n" + "x\n" * N, "must have columns of labels, called head..., label..., cluster..., got"),
        (",index,head_x\n" + "0,1,2\n" * N, "must name every image once"),
        (
            ",theirs\n" + "0,1\n" * N,
            "must have columns of labels, called head..., label..., cluster..., got '', 'theirs'",
        ),
        ("a,b\n1,2\n3\n", "every line with as many columns"),
        ("label\n" + "cat\n" * N, "must hold whole numbers from 0 as labels"),
        ("label\n" + "1.5\n" * N, "must hold whole numbers from 0 as labels: got [1.5"),
        ("label\n" + "-1\n" * N, "must hold whole numbers from 0"),
        ("label\n" + "7\n" * (N - 1), f"must have a line for each of the {N} images, got {N - 1}"),
        ("label\n" + "400\n" * N, f"must hold labels below the number of images, {N}, got 400"),
        ("index,label\n" + "3,1\n" * N, "must name every image once"),
        ("path,label\nother.png,1\n", f"must label every image, but {N} of {N} are missing (a, b/00 é.png for one)"),
    ],
)
def test_bad_tables_say_what_to_do(images, tmp_path, text, message):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(DataError) as raised:
        read_labels(path, images)
    assert message in str(raised.value)


def test_what_is_no_table(images, tmp_path):
    for name in ("labels.csv", "labels.npy", "labels.parquet"):
        with pytest.raises(DataError, match="cannot be read as a table"):
            read_labels(tmp_path / name, images)
        (tmp_path / name).write_bytes(b"\xff\xfe\x00PAR nothing")
        with pytest.raises(DataError):
            read_labels(tmp_path / name, images)
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}] * N, dtype=object))
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_labels(tmp_path / "evil.npy", images)
