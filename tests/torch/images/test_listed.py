"""Images that a table names."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas
import pytest
from PIL import Image

from otlabel_torch.images.images import Source, load
from otlabel_torch.system.errors import DataError


@pytest.fixture
def root(tmp_path):
    """Six images: four in a folder below the table, two elsewhere."""
    for i in range(6):
        folder = tmp_path / ("here/pictures" if i < 4 else "there")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((12, 12, 3), 40 * i, np.uint8)).save(folder / f"{i}.png")
    return tmp_path


def paths(root):
    return [f"pictures/{i}.png" for i in range(4)] + [str(root / "there" / f"{i}.png") for i in (4, 5)]


def written(root, name="images.csv", **columns):
    frame = pandas.DataFrame(columns)
    file = root / "here" / name
    frame.to_parquet(file) if name.endswith("parquet") else frame.to_csv(file, index=False)
    return file


@pytest.mark.parametrize("name", ["images.csv", "images.parquet"])
@pytest.mark.parametrize("column", ["path", "Filename", "image"])
def test_a_column_of_paths_is_enough(root, name, column):
    order = [3, 0, 5, 1, 4, 2]
    file = written(root, name, **{column: [paths(root)[i] for i in order]})
    images, val = load(Source("csv", file, 12))
    assert images.paths == [paths(root)[i] for i in order]
    assert images.pixels[:, 0, 0, 0].tolist() == [40 * i for i in order]
    assert (images.classes, val) == (None, None)


def test_classes_and_parts(root):
    file = written(
        root, path=paths(root), label=list("abcabc"), split=["train", "train", "Train", "valid", "valid", "test"]
    )
    images, val = load(Source("csv", file, 12))
    assert images.class_names == list("abc")
    assert (images.paths, images.classes.tolist()) == (paths(root)[:3], [0, 1, 2])
    assert (val.paths, val.classes.tolist()) == (paths(root)[3:5], [0, 1])
    assert f"images: left out: images of the part test: 1 ({paths(root)[5]})" in images.said


@pytest.mark.parametrize("name", ["images.csv", "images.parquet"])
def test_lines_without_a_class_are_of_none(root, name):
    """Not of one called None, or nan."""
    images, _ = load(Source("csv", written(root, name, path=paths(root), label=["a", None, "b", "a", None, "b"]), 12))
    assert images.classes is None
    assert any(
        "images without a class in the table, so that those of the others are not used: 2 (" in line
        for line in images.said
    )


def test_names_are_found_in_other_spellings(root):
    """macOS takes letters with accents apart, Windows writes backslashes; archives and clouds change the first."""
    names = ["caf\u00e9", "cafe\u0301 2", "plain"]
    for name in names:
        (root / "here" / "pictures" / f"{name}.png").write_bytes((root / "here" / "pictures" / "3.png").read_bytes())
    for form in ("NFC", "NFD"):
        table = written(root, path=[unicodedata.normalize(form, f"pictures\\{name}.png") for name in names])
        images, _ = load(Source("csv", table, 12))
        assert images.paths == [f"pictures/{name}.png" for name in names]


def test_twins_of_a_table_are_said_and_may_be_left_out(root):
    (root / "here" / "again.png").write_bytes((root / "here" / "pictures" / "0.png").read_bytes())
    table = written(root, path=["again.png", *paths(root)], label=list("abcabca"))
    images, _ = load(Source("csv", table, 12))
    assert any(
        "files of the content of another, which `drop_duplicates` leaves out: 1 (" in line for line in images.said
    )
    images, _ = load(Source("csv", table, 12, drop_duplicates=True))
    assert (images.paths, images.classes.tolist()) == (["again.png", *paths(root)[1:]], [0, 2, 0, 1, 2, 0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (dict(x=[1]), "must have a column of paths, called path, .*, got 'x'"),
        (dict(path=["pictures/0.png", "gone.png"]), r"1 of 2 are not there \(.*gone.png for one\)"),
        (dict(path=["pictures/0.png"] * 2), "must name every image once, but 1 lines repeat"),
        (dict(path=["pictures/0.png"], split=["left"]), "must call parts of the data train and val, .*, got left"),
    ],
)
def test_tables_that_are_wrong_say_what_to_do(root, columns, message):
    with pytest.raises(DataError, match=message):
        load(Source("csv", written(root, **columns), 12))


def test_the_root_of_a_table_is_a_file(root):
    with pytest.raises(DataError, match="`data` csv needs `root` FILE"):
        load(Source("csv", root, 12))


def test_what_was_taken_of_a_table_is_said(root):
    table = written(
        root, path=paths(root), breed=list("abcabc"), Label=list("xyxyxy"), phase=["train"] * 4 + ["test"] * 2
    )
    images, val = load(Source("csv", table, 12))
    assert "images: columns taken, paths: path, classes: Label, parts: phase; left out: breed" in images.said
    assert (len(images), len(val), images.class_names) == (4, 2, ["x", "y"])
    table.write_text("path,Path\n1.png,2.png\n")
    with pytest.raises(DataError, match="'path' is there twice"):
        load(Source("csv", table, 12))
    table.write_text("path,split\npictures/0.png,train\npictures/1.png,\n")
    with pytest.raises(DataError, match="got nothing"):
        load(Source("csv", table, 12))


@pytest.mark.parametrize("write", [
    lambda path, text: path.write_text(text.replace(",", ";")),
    lambda path, text: path.write_text("sep=;\n" + text.replace(",", ";")),
    lambda path, text: path.write_text(text.replace(",", "\t")),
    lambda path, text: path.write_text(text, encoding="utf-16"),
    lambda path, text: path.write_text(text, encoding="utf-8-sig"),
    lambda path, text: path.write_text(text.replace("\n", "\r\n"), newline=""),
])  # fmt: skip
def test_tables_as_programs_write_them(root, write):
    table = written(root, path=paths(root)[:4], label=list("abab"))
    write(table, table.read_text())
    images, _ = load(Source("csv", table, 12))
    assert (images.paths, images.class_names) == (paths(root)[:4], ["a", "b"])


def test_other_kinds_of_tables_get_a_remedy(root):
    (root / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"must end in \.csv, \.tsv, .*\. Save the table as one of these"):
        load(Source("csv", root / "a.xlsx", 12))
