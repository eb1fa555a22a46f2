"""What the command ``otlabel`` reads: files of every kind, and errors that say what is wrong with them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from stored import run, stored

from otlabel.cli.files import How, UnreadableError
from otlabel.cli.vectors import read


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".arrow", ".feather", ".csv", ".tsv", ".h5", ".zarr"])
def test_every_kind_of_file_is_the_same_matrix(points, tmp_path, suffix):
    vectors = read(stored(points, tmp_path / f"points{suffix}"))
    np.testing.assert_allclose(vectors.matrix, points, rtol=1e-6)
    assert vectors.carried.column_names == {".parquet": ["path"], ".feather": ["path"], ".csv": ["id"]}.get(suffix, [])


@pytest.mark.parametrize("suffix", [".npy", ".parquet", ".csv"])
def test_shards_are_taken_in_the_order_of_their_numbers(points, tmp_path, suffix):
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, part in enumerate(np.array_split(points, 12)):
        stored(part, folder / f"part-{number}{suffix}")
    (folder / "_SUCCESS").touch()
    (folder / "notes.txt").write_text("of the run")
    vectors = read(folder)
    np.testing.assert_allclose(vectors.matrix, points, rtol=1e-6)
    assert vectors.files == 12
    assert vectors.passed_over == ["_SUCCESS", "notes.txt"]
    assert len(vectors.carried) == (0 if suffix == ".npy" else 240)


def broken(tmp_path):
    """Files that are wrong, and what is said of them."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    np.save(tmp_path / "mixed" / "a.npy", np.zeros((3, 2)))
    (tmp_path / "mixed" / "b.csv").write_text("x,y\n1,2\n")
    (tmp_path / "unlike").mkdir()
    np.save(tmp_path / "unlike" / "a.npy", np.zeros((3, 2)))
    np.save(tmp_path / "unlike" / "b.npy", np.zeros((3, 4)))
    np.save(tmp_path / "flat.npy", np.zeros(3))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=np.zeros((3, 2)), b=np.zeros((3, 2)))
    (tmp_path / "half.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (tmp_path / "text.parquet").write_text("not parquet")
    (tmp_path / "gap.csv").write_text("x,y\n1,2\n3,\n")
    (tmp_path / "word.csv").write_text("x,y\n1,2\n3,4\n5,none\n7,8\n")
    parquet.write_table(pa.table({"v": [[1.0, 2.0], [3.0]]}), tmp_path / "ragged.parquet")
    parquet.write_table(pa.table({"v": [[1.0, 2.0], None]}), tmp_path / "none.parquet")
    parquet.write_table(pa.table({"v": [[1.0]], "w": [[2.0]]}), tmp_path / "both.parquet")
    parquet.write_table(pa.table({"name": ["a"]}), tmp_path / "words.parquet")
    return {
        "gone.npy": "does not exist",
        "empty": "must hold shards of one kind",
        "mixed": "got .csv and .npy",
        "unlike": "shards must have the same columns, but b.npy has vectors of (4, None, None) and a.npy",
        "flat.npy": "must hold a matrix of numbers, a row an item, got shape (3,)",
        "objects.npy": "cannot be read as .npy",
        "two.npz": "must hold one matrix, or --key say which; there are a (3, 2), b (3, 2)",
        "half.npy": "cannot be read as .npy",
        "text.parquet": "cannot be read as .parquet",
        "gap.csv": "has no number in row 1, column 'y'",
        "word.csv": "has text in column 'y', where most are numbers ('none' in row 2)",
        "ragged.parquet": "vectors of one length in column 'v', got 1 numbers in row 1 after 2",
        "none.parquet": "has no vector in row 1, column 'v'",
        "both.parquet": "has several columns of vectors, v, w: say --columns NAME",
        "words.parquet": "must have a column of vectors or columns of numbers, got name",
        "flat.npy.gz": "does not exist",
    }


def test_files_that_are_wrong_are_named_with_what_is_wrong(tmp_path):
    for name, words in broken(tmp_path).items():
        with pytest.raises(UnreadableError) as raised:
            read(tmp_path / name)
        assert words in str(raised.value), name
    said = run("cluster", tmp_path / "flat.npy", "--k", 2, "--out", tmp_path / "l.csv", code=1)
    assert said.startswith("Error: ")
    np.testing.assert_array_equal(read(tmp_path / "both.parquet", How(("w",))).matrix, [[2.0]])
    np.testing.assert_array_equal(read(tmp_path / "two.npz", How(key="b")).matrix, np.zeros((3, 2)))
    with pytest.raises(UnreadableError, match=r"--columns must name columns of .*, but there is no z; there are v, w"):
        read(tmp_path / "both.parquet", How(("z",)))
    with pytest.raises(UnreadableError, match="--key must name an array"):
        read(tmp_path / "two.npz", How(key="c"))


def text_of(path, text):
    path.write_text(text)
    return path


def test_csv_files_of_every_make(tmp_path):
    plain = [[0.5, 1.25], [2.0, -3.5]]
    for name, text in {
        "comma": "a,b\n0.5,1.25\n2,-3.5\n",
        "semicolon and decimal comma": "a;b\n0,5;1,25\n2;-3,5\n",
        "no names": "0.5,1.25\n2,-3.5\n",
        "quoted": '"0.5","1.25"\n"2","-3.5"\n',
        "tabs": "a\tb\n0.5\t1.25\n2\t-3.5\n",
        "mark and line ends of Windows": "\ufeffa,b\r\n0.5,1.25\r\n2,-3.5\r\n",
    }.items():
        np.testing.assert_array_equal(read(text_of(tmp_path / "a.csv", text)).matrix, plain, err_msg=name)


@pytest.mark.parametrize(
    ("text", "given", "kept"),
    [
        ("img0.jpg,0.5,1.25\nimg1.jpg,2,-3.5\n", False, 2),  # a name among numbers, in every line
        ("id,0,1\nx,0.5,1.25\ny,2,-3.5\n", True, 2),  # as pandas names columns
        ("0,1\n0.5,1.25\n2,-3.5\n", True, 2),
        ("0,1\n0.5,1.25\n2,-3.5\n", False, 3),
    ],
)
def test_a_first_line_that_may_be_either_is_asked_about(tmp_path, text, given, kept):
    file = text_of(tmp_path / "a.csv", text)
    with pytest.raises(UnreadableError, match=r"may be names or numbers .*: say --header or --no-header"):
        read(file)
    assert read(file, How(header=given)).matrix.shape == (kept, 2)


def test_ids_stay_as_they_are_written(tmp_path):
    file = text_of(tmp_path / "a.csv", "id,name,a,b\n007,1e5,1,2\n0123,x,3,5\n13835058055282163713,,4,4\n12,13,9,9\n")
    run("cluster", file, "--k", 2, "--seed", 0, "--out", tmp_path / "l.csv")
    lines = (tmp_path / "l.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ['"007"', '"1e5"'], ['"0123"', '"x"'], ['"13835058055282163713"', '""'], ['"12"', '"13"']
    ]  # fmt: skip


def test_columns_that_count_are_no_features(points, tmp_path):
    import pandas

    frame = pandas.DataFrame(points[:, :2], columns=["a", "b"], index=pandas.Index(np.arange(240) * 1000, name="user"))
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "b.csv")
    pandas.DataFrame(points[:, :2], columns=["a", "b"]).to_csv(tmp_path / "c.csv")
    frame.reset_index(names="item_id").to_parquet(tmp_path / "d.parquet")
    for name in ("a.parquet", "c.csv", "d.parquet"):
        assert read(tmp_path / name).names == ["a", "b"], name
    assert read(tmp_path / "b.csv", How(("a", "b"))).names == ["a", "b"]


def test_keys_and_columns_that_are_not_there(points, tmp_path):
    npy, table = stored(points, tmp_path / "p.npy"), stored(points, tmp_path / "p.csv")
    assert "--key chooses among arrays" in run("cluster", npy, "--key", "x", "--k", 2, "--dry-run", code=1)
    assert "there is no zz" in run(
        "cluster", table, "--columns", "x0", "--columns", "zz", "--k", 2, "--dry-run", code=1
    )
    parquet.write_table(
        pa.table({"x[0]": points[:, 0], "x[1]": points[:, 1], "y": points[:, 2]}), tmp_path / "b.parquet"
    )
    assert read(tmp_path / "b.parquet", How(("x[0]", "x[1]"))).names == ["x[0]", "x[1]"]
    np.savez(tmp_path / "o.npz", x=points, y=np.array([{}]), allow_pickle=True)
    np.testing.assert_array_equal(read(tmp_path / "o.npz", How(key="x")).matrix, points)


def test_empty_shards_are_passed_over(points, tmp_path):
    for kind in ("parquet", "csv"):
        folder = tmp_path / kind
        folder.mkdir()
        columns = {f"x{j}": points[:, j] for j in range(5)}
        table = pa.table(columns)
        for name, part in (("part-0", table), ("part-1", table.slice(0, 0))):
            (parquet.write_table if kind == "parquet" else csv.write_csv)(part, folder / f"{name}.{kind}")
        found = read(folder)
        assert (len(found.matrix), found.passed_over) == (240, [f"part-1.{kind}"])
        with pytest.raises(UnreadableError, match="must have rows"):
            read(folder / f"part-1.{kind}")


def test_numbers_that_are_none_are_named_with_file_row_and_column(points, tmp_path):
    points[7, 2] = np.nan
    for name in ("p.npy", "p.parquet", "p.csv"):
        with pytest.raises(UnreadableError, match=rf"{name} (must hold numbers|has no number).* row 7"):
            read(stored(points, tmp_path / name))
