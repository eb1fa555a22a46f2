"""Images that a table names."""

from __future__ import annotations

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
    images, val = load(Source("table", file, 12))
    assert images.paths == [paths(root)[i] for i in order]
    assert images.pixels[:, 0, 0, 0].tolist() == [40 * i for i in order]
    assert (images.classes, val) == (None, None)


def test_classes_and_parts(root):
    file = written(
        root, path=paths(root), label=list("abcabc"), split=["train", "train", "Train", "valid", "valid", "test"]
    )
    images, val = load(Source("table", file, 12))
    assert images.class_names == list("abc")
    assert (images.paths, images.classes.tolist()) == (paths(root)[:3], [0, 1, 2])
    assert (val.paths, val.classes.tolist()) == (paths(root)[3:5], [0, 1])


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
        load(Source("table", written(root, **columns), 12))


def test_the_root_of_a_table_is_a_file(root):
    with pytest.raises(DataError, match="`data` table needs `root` FILE"):
        load(Source("table", root, 12))
