"""Images in parquet files, as Hugging Face's data sets have them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from otlabel_torch.images.images import Source, load
from otlabel_torch.system.errors import DataError


def encoded(value, kind):
    data = io.BytesIO()
    Image.fromarray(np.full((12, 12, 3), value, np.uint8)).save(data, kind)
    return data.getvalue()


def written(path, values, labels=None, names=None, kind="png"):
    images = [{"bytes": encoded(value, kind), "path": f"{value}.png"} for value in values]
    columns = {"image": pa.array(images, type=pa.struct([("bytes", pa.binary()), ("path", pa.string())]))}
    if labels is not None:
        columns["label"] = pa.array(labels)
    table = pa.table(columns)
    if names is not None:
        about = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)
    return path


def shades(images):
    return images.pixels[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("below", ["", "data"])
def test_splits_and_class_names(tmp_path, below):
    root, names = tmp_path / "set", ["cat", "a/dog"]
    written(root / below / "train-00000-of-00002.parquet", [10, 20], [1, 0], names)
    written(root / below / "train-00001-of-00002.parquet", [30], [1], names)
    written(root / below / "validation-00000-of-00001.parquet", [90], [0], names)
    for _ in range(2):  # the second time they are there
        images, val = load(Source("folder", root, 12))
        assert images.class_names == ["a_dog", "cat"]
        assert sorted(zip(shades(images), images.classes.tolist(), strict=True)) == [(10, 0), (20, 1), (30, 0)]
        assert (shades(val), val.classes.tolist()) == ([90], [1])
        assert "the images in set (3 files) are written out" in images.said[0]
    assert len(list(tmp_path.glob("set.*.unpacked"))) == 1
    written(root / below / "train-00002-of-00002.parquet", [40], [1], names)
    images, _ = load(Source("folder", root, 12))  # a shard more: what was written out is of those before
    assert sorted(shades(images)) == [10, 20, 30, 40]


def test_shards_of_one_name_in_two_folders_are_both_there(tmp_path):
    for value, folder in enumerate(("plain", "other")):
        written(tmp_path / "set" / folder / "train-00000.parquet", [value], [0], ["cat"])
    images, _ = load(Source("folder", tmp_path / "set", 12))
    assert sorted(shades(images)) == [0, 1]


def test_classes_are_not_put_together_because_folders_would_be(tmp_path):
    path = written(tmp_path / "a.parquet", [1, 2, 3, 4], [0, 1, 2, 3], ["a/b", "a:b", "C", "c"])
    images, _ = load(Source("folder", path, 12))
    assert images.class_names == ["C", "a_b", "a_b-2", "c-2"]
    assert shades(images) == [3, 1, 2, 4]
    assert "images: class 'a:b' is called a_b-2" in images.said


@pytest.mark.parametrize("names", [["cat", "dog"], None])
def test_rows_without_a_label_are_of_no_class(tmp_path, names):
    """A class "None", or -1, would be measured against."""
    path = written(tmp_path / "set" / "train.parquet", [10, 20, 30], [0, None, 1], names)
    written(tmp_path / "set" / "test.parquet", [40, 50], [-1, -1] if names else [None, None], names)
    for _ in range(2):  # what was said when it was written out is said again
        images, val = load(Source("hf", tmp_path / "set", 12))
        assert (sorted(shades(images)), images.classes) == ([10, 20, 30], None)
        assert (sorted(shades(val)), val.classes) == ([40, 50], None)
        assert any(
            "images without a label, so that the 2 of the others are not used: 1 (" in line for line in images.said
        )
    assert written(path, [10], [0], ["cat", "dog"])
    assert load(Source("hf", tmp_path / "set", 12))[0].class_names == ["cat"]


@pytest.mark.parametrize("form", ["stream", "file"])
def test_arrow_files_as_save_to_disk_writes_them(tmp_path, form):
    """A folder a split, each with a file of Arrow's, notes and caches."""
    for split, values in (("train", [10, 20]), ("test", [90])):
        folder = tmp_path / "set" / split
        table = parquet.read_table(written(tmp_path / "a.parquet", values, [0] * len(values), ["cat"]))
        folder.mkdir(parents=True)
        for name in ("data-00000-of-00001.arrow", "cache-0123.arrow"):
            new = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
            with new(str(folder / name), table.schema) as file:
                file.write_table(table, max_chunksize=1)
        (folder / "state.json").write_text("{}")
    images, val = load(Source("folder", tmp_path / "set", 12))
    assert (shades(images), shades(val), images.class_names) == ([10, 20], [90], ["cat"])
    assert any("files that are no images: 4 (" in line for line in images.said)


def test_other_columns_are_said(tmp_path):
    images = [{"bytes": encoded(value, "png"), "path": None} for value in (10, 20)]
    table = pa.table({"image": images, "labels": [[1], [2]], "coarse_label": [0, 1], "label": ["x", "y"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    images, _ = load(Source("folder", tmp_path / "a.parquet", 12))
    assert images.class_names == ["x", "y"]
    assert "images: images are those of column image, classes of label; left out: labels, coarse_label" in images.said


def test_a_row_with_a_path_only_has_no_image(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array([{"bytes": None, "path": "/home/me/1.png"}], kind)})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"row 0 has none, only the path '/home/me/1\.png'\. Embed the files"):
        load(Source("folder", tmp_path / "a.parquet", 12))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
def test_one_file_without_labels(tmp_path, kind):
    images, val = load(Source("folder", written(tmp_path / "a.parquet", [10, 200, 90], kind=kind), 12))
    np.testing.assert_allclose(shades(images), [10, 200, 90], atol=2)
    assert (images.classes, val) == (None, None)


def test_what_holds_no_images(tmp_path):
    parquet.write_table(pa.table({"x": [1.0]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"must have one column of images .*, got none of x\. Leave"):
        load(Source("folder", tmp_path / "x.parquet", 12))
    (tmp_path / "y.parquet").write_bytes(b"noise")
    with pytest.raises(DataError, match="cannot be read as a file of images"):
        load(Source("folder", tmp_path / "y.parquet", 12))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.parquet", "y.parquet"]


def test_a_damaged_image_is_named(tmp_path):
    table = pa.table({"image": [encoded(10, "png"), b"noise"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a-0000001\.png cannot be read as an image"):
        load(Source("folder", tmp_path / "a.parquet", 12))
    images, _ = load(Source("folder", tmp_path / "a.parquet", 12, skip_bad=True))
    assert shades(images) == [10]


def test_a_stream_of_arrow_s_that_is_cut_is_not_half_a_set(tmp_path):
    table = parquet.read_table(written(tmp_path / "a.parquet", [10, 20, 30]))
    with pa.ipc.new_stream(str(tmp_path / "a.arrow"), table.schema) as file:
        file.write_table(table, max_chunksize=1)
    whole = (tmp_path / "a.arrow").read_bytes()
    (tmp_path / "a.arrow").write_bytes(whole[:-8])
    with pytest.raises(DataError, match=r"a\.arrow ends before its end: a part is missing"):
        load(Source("hf", tmp_path / "a.arrow", 12))


@pytest.mark.parametrize("name", ["test-00000-of-00001.parquet", "validation.parquet", "data/dev-0.parquet"])
def test_a_split_alone_is_the_data(tmp_path, name):
    """Not a class of its name."""
    written(tmp_path / "set" / name, [10, 20], [0, 1], ["cat", "dog"])
    images, val = load(Source("hf", tmp_path / "set", 12))
    assert (images.class_names, val) == (["cat", "dog"], None)
    assert any("their images are the data" in line for line in images.said)


def test_a_file_of_no_split_beside_others_is_named(tmp_path):
    written(tmp_path / "set" / "train-0.parquet", [10], [0], ["cat"])
    written(tmp_path / "set" / "extra-0.parquet", [20], [0], ["cat"])
    with pytest.raises(DataError, match=r"called train, but extra-0\.parquet is not\. Rename it, or move it away"):
        load(Source("hf", tmp_path / "set", 12))


def test_notes_that_are_no_json_and_names_in_capitals(tmp_path):
    path = written(tmp_path / "a.parquet", [10, 20], ["nan", "cat"])
    table = parquet.read_table(path).replace_schema_metadata({"huggingface": "no JSON"})
    path.unlink()
    parquet.write_table(table, tmp_path / "A.PARQUET")
    images, _ = load(Source("folder", tmp_path / "A.PARQUET", 12))
    assert (len(images), images.classes) == (2, None)  # "nan" is no class


def test_a_root_that_is_here(tmp_path, monkeypatch):
    written(tmp_path / "set" / "a.parquet", [10], [0], ["cat"])
    monkeypatch.chdir(tmp_path / "set")
    assert len(load(Source("hf", Path(), 12))[0]) == 1
    assert len(list(tmp_path.glob("set.*.unpacked"))) == 1
