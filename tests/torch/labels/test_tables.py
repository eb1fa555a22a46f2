"""Tables of labels, written and read back, and those that others made."""

from __future__ import annotations

import csv
import unicodedata

import numpy as np
import pandas
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
    ("cells", "ours"),
    [
        ([2**53, 2**53 + 1, 2**53 + 2, 2**53], [0, 1, 2, 0]),  # the same as floats
        ([2**64, 2**64 + 5000, 0, 2**64], [1, 2, 0, 1]),
        (["1_0", "10", "100", "10"], [2, 0, 1, 0]),  # no numbers of Python's
        (["01", "1", "001", "1"], [1, 2, 0, 2]),
        (["1e1", "10", "10", "1e1"], [1, 0, 0, 1]),
        (["inf", "-inf", "infinity", "inf"], [1, 0, 2, 1]),
        (["1.0", "2", "2.", "1"], [0, 1, 1, 0]),
    ],
)
def test_labels_are_what_is_written(images, tmp_path, cells, ours):
    some = images.of(torch.arange(4))
    (tmp_path / "a.csv").write_text("index,label\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    assert read_labels(tmp_path / "a.csv", some).labels[:, 0].tolist() == ours


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_large_labels_in_other_files_are_exact(images, tmp_path, dtype):
    some, large = images.of(torch.arange(3)), np.iinfo(dtype).max
    labels = np.array([large, large - 1, large], dtype=dtype)
    np.save(tmp_path / "a.npy", labels)
    pandas.DataFrame({"index": range(3), "label": labels}).to_parquet(tmp_path / "a.parquet")
    for found in (read_labels(tmp_path / "a.npy", some, in_order=True), read_labels(tmp_path / "a.parquet", some)):
        assert found.labels[:, 0].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("path,label,label_name", "labels are those of column label; left out: label_name"),
        ("path,cluster,cluster_size", "labels are those of column cluster; left out: cluster_size"),
        ("path,header,label", "labels are those of column label; left out: header"),
        ("path,head_0,label_id", "labels are those of column head_0; left out: label_id"),
        ("path,Label_1,label_2", "labels are those of columns Label_1 to label_2, a head each"),
    ],
)
def test_which_columns_are_labels_is_said(images, tmp_path, header, taken):
    some = images.of(torch.arange(4))
    lines = [f'"{path}",{i % 2},{i % 2}' for i, path in enumerate(some.paths)]
    (tmp_path / "a.csv").write_text("\n".join([header, *lines]) + "\n")
    found = read_labels(tmp_path / "a.csv", some)
    assert found.labels.shape[1] == (2 if "a head each" in taken else 1)
    assert (taken in found.notes) == ("left out" in taken)


@pytest.mark.parametrize("header", ["path,label,cluster", "path,label_a,label_b", "path,Label,label"])
def test_columns_that_may_all_be_labels_are_asked_for(images, tmp_path, header):
    (tmp_path / "a.csv").write_text(f"{header}\n" + "".join(f'"{path}",0,1\n' for path in images.paths))
    with pytest.raises(DataError, match=r"one column of labels, or several called head_0|is there twice"):
        read_labels(tmp_path / "a.csv", images)


def test_a_matrix_of_numbers_is_a_head_a_column_and_said_so(images, tmp_path):
    np.save(tmp_path / "a.npy", np.eye(N, 3, dtype=int))
    found = read_labels(tmp_path / "a.npy", images, in_order=True)
    assert "labels are those of columns 0 to 2, a head each" in found.notes
    for odd in (np.int64(3), np.zeros((N, 2, 2), int)):
        np.save(tmp_path / "a.npy", odd)
        with pytest.raises(DataError, match=r"must have a line an image, \(n,\) or \(n, heads\)"):
            read_labels(tmp_path / "a.npy", images, in_order=True)


def test_an_order_that_names_deny_is_refused(images, tmp_path):
    (tmp_path / "a.csv").write_text("path,label\n" + "".join(f'"{path}",0\n' for path in reversed(images.paths)))
    with pytest.raises(DataError, match=r"in another order than the images, by its column path\. Leave"):
        read_labels(tmp_path / "a.csv", images, in_order=True)


def test_what_otlabel_cluster_writes_is_found(images, tmp_path):
    """By its ids, which are numbers of rows; and names without endings by those."""
    (tmp_path / "a.csv").write_text("id,label\n" + "".join(f"{i},{i % 3}\n" for i in reversed(range(N))))
    assert read_labels(tmp_path / "a.csv", images).labels[:, 0].tolist() == [i % 3 for i in range(N)]
    stems = [path.rsplit("/", 1)[-1].rsplit(".", 1)[0] for path in images.paths]
    (tmp_path / "b.csv").write_text("file,label\n" + "".join(f'"{stem}",{i % 3}\n' for i, stem in enumerate(stems)))
    found = read_labels(tmp_path / "b.csv", images)
    assert found.labels[:, 0].tolist() == [i % 3 for i in range(N)]
    assert "images are found by their names without folders and endings (column file)" in found.notes


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
