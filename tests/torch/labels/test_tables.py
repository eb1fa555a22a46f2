"""Tables of labels, written and read back, and those that others made."""

from __future__ import annotations

import csv
import unicodedata

import numpy as np
import pyarrow.parquet
import pytest
import torch

from otlabel_torch.images.images import Images
from otlabel_torch.labels.given import read_labels
from otlabel_torch.labels.tables import write_labels
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
    assert torch.equal(read_labels(path, images).labels, labels)
    order = torch.randperm(N)[:30]
    assert torch.equal(read_labels(path, images.of(order)).labels, distinct(labels[order]))  # found by their paths
    if name.endswith("parquet"):
        table = pyarrow.parquet.read_table(path)
        assert table.column_names == ["index", "path", "head_0", "head_1", "confidence_0", "confidence_1"]
        np.testing.assert_array_equal(table["confidence_0"].to_numpy(), confidence[:, 0])
    else:
        with path.open() as file:
            row = list(csv.DictReader(file))[3]
        assert (row["path"], row["confidence_1"]) == ("a, b/03 é.png", "")


def distinct(labels):
    """Each column numbered anew, from 0 without gaps."""
    return torch.stack([torch.unique(column, return_inverse=True)[1] for column in labels.T], dim=1)


def test_tables_of_others(images, labels, tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("cluster\n" + "".join(f"{label}\n" for label in labels[:, 0]))
    assert torch.equal(read_labels(path, images, in_order=True).labels, labels[:, :1])
    path.write_text("".join(f"{one},{other}\n" for one, other in labels))
    assert torch.equal(read_labels(path, images, in_order=True).labels, labels)
    lines = [f"{i},{labels[i, 1]}\n" for i in np.random.default_rng().permutation(N)]
    path.write_text("index,label_mine\n" + "".join(lines))
    assert torch.equal(read_labels(path, images).labels, labels[:, 1:])
    np.save(tmp_path / "theirs.npy", labels.numpy())
    assert torch.equal(read_labels(tmp_path / "theirs.npy", images, in_order=True).labels, labels)
    for name in ("theirs.csv", "theirs.npy"):
        path.write_text("cluster\n" + "0\n" * N)
        with pytest.raises(DataError, match=r"must say whose labels they are, by a column path, .* `labels_in_order`"):
            read_labels(tmp_path / name, images)


@pytest.mark.parametrize("column", ["path", "Filename", "image", "file_name", "id"])
@pytest.mark.parametrize("full", [True, False])
def test_lines_in_any_order_are_found_by_name(images, labels, tmp_path, column, full):
    """A table in another order than the folder: line by line every label would be wrong."""
    path = tmp_path / "theirs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", column])
        for i in np.random.default_rng().permutation(N):
            writer.writerow([int(labels[i, 0]), images.paths[i] if full else images.paths[i].split("/")[1]])
    found = read_labels(path, images)
    assert torch.equal(found.labels, labels[:, :1])
    assert found.notes == (
        [] if full else [f"images are found by their names without folders (column {column.lower()})"]
    )


@pytest.mark.parametrize("nothing", ["", "nan", "None"])
def test_images_without_a_label_are_left_out(images, tmp_path, nothing):
    """As the explorer leaves the cell of those that are in the wrong cluster."""
    cells = [nothing if i in (3, 5) else 10 + i % 4 for i in range(N)]
    path = tmp_path / "corrected.csv"
    path.write_text("index,label\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    found = read_labels(path, images)
    assert found.rows.tolist() == [i for i in range(N) if i not in (3, 5)]
    assert found.labels[:, 0].tolist() == [i % 4 for i in range(N) if i not in (3, 5)]
    kept = found.only(images, path)
    assert kept.paths == [path for i, path in enumerate(images.paths) if i not in (3, 5)]
    assert kept.notes[-1].files == [images.paths[3], images.paths[5]]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_another_spelling_are_found(images, labels, tmp_path, form):
    """Of a table from macOS or Windows, and one that also labels images that are not here."""
    assert any(unicodedata.normalize("NFC", path) != unicodedata.normalize("NFD", path) for path in images.paths)
    path = tmp_path / "theirs.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "path"])
        for i in np.random.default_rng().permutation(N):
            name = unicodedata.normalize(form, images.paths[i])
            writer.writerow([int(labels[i, 0]), f"./{name}".replace("/", "\\")])
        writer.writerow([3, "elsewhere.png"])
    found = read_labels(path, images)
    assert torch.equal(found.labels, labels[:, :1])
    assert found.notes == [
        "images are found by their paths in another spelling, of accents or slashes (column path)",
        "1 lines of the table are of other images",
    ]


@pytest.mark.parametrize(
    ("theirs", "ours", "note"),
    [
        (["cat", "dog", "cat", "bird"], [1, 2, 1, 0], "labels are words: bird is 0, cat is 1, dog is 2"),
        ([1, 2, 1, 3], [0, 1, 0, 2], "labels 1 to 3 are numbered 0 to 2, without gaps"),
        ([0, 7, 900, 7], [0, 1, 2, 1], "labels 0 to 900 are numbered 0 to 2, without gaps"),
        ([-1, 0, 1, -1], [2, 0, 1, 2], "2 images of label -1, noise, have label 2"),
        (["1.0", "0.0", "2.0", "0.0"], [1, 0, 2, 0], None),
    ],
)
def test_labels_of_any_kind_become_numbers(images, tmp_path, theirs, ours, note):
    some = images.of(torch.arange(4))
    (tmp_path / "theirs.csv").write_text("index,label\n" + "".join(f"{i},{label}\n" for i, label in enumerate(theirs)))
    found = read_labels(tmp_path / "theirs.csv", some)
    assert found.labels[:, 0].tolist() == ours
    assert found.notes == ([] if note is None else [note])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a table"),
        ("path\n" + "x\n" * N, "must have columns of labels, called label, cluster, or head_0, head_1, ..., got"),
        (",index,head_x\n" + "0,1,2\n" * N, "must label every image once, but 39 lines repeat another's"),
        (
            ",theirs\n" + "0,1\n" * N,
            "must have columns of labels, called label, cluster, or head_0, head_1, ..., got '', 'theirs'",
        ),
        ("a,b\n1,2\n3\n", "every line with as many columns"),
        ("index,label\n" + "".join(f"{i},1.5\n" for i in range(N)), "must hold whole numbers or words, got 1.5"),
        (
            "index,label\n" + "".join(f"{i},\n" for i in range(N)),
            "must label images, but all cells of 'label' are empty",
        ),
        ("label\n" + "7\n" * (N - 1), "must say whose labels they are"),
        ("index,label\n" + "3,1\n" * N, "must label every image once, but 39 lines repeat another's"),
        (
            "path,label\nother.png,1\n",
            f"must label every image once, but {N} of {N} are missing (a, b/00 é.png for one)",
        ),
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
