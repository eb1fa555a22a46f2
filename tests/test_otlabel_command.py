"""The command ``otlabel``: files of every kind in, tables out, and errors that say what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pyarrow as pa
import pytest
import zarr
from click.testing import CliRunner
from pyarrow import csv, parquet

import otlabel
from otlabel.cli.command import main
from otlabel.cli.files import How, UnreadableError
from otlabel.cli.vectors import read
from otlabel.cluster import BalancedKMeans


def run(*arguments, code=0):
    """What the command prints, in one line."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture
def points(rng):
    centres = 4 * rng.normal(size=(8, 5))
    return (centres[rng.integers(0, 8, 240)] + rng.normal(size=(240, 5))).astype(np.float32)


def table_of(points, **more):
    flat = pa.array(points.ravel())
    return pa.table(
        {
            "path": [f"{i}.jpg" for i in range(len(points))],
            "embedding": pa.FixedSizeListArray.from_arrays(flat, points.shape[1]),
            **more,
        }
    )


def stored(points, path):
    """The points as a file of the kind that its name says."""
    columns = {f"x{j}": points[:, j] for j in range(points.shape[1])}
    match path.suffix:
        case ".npy":
            np.save(path, points)
        case ".npz":
            np.savez(path, points=points, names=np.array(["a"]))
        case ".parquet":
            parquet.write_table(table_of(points), path)
        case ".arrow":
            lists = table_of(points).select(["embedding"]).cast(pa.schema([("embedding", pa.list_(pa.float32()))]))
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, lists.schema) as writer:
                writer.write_table(lists)
        case ".feather":
            from pyarrow import feather

            feather.write_feather(table_of(points), path)
        case ".csv":
            csv.write_csv(pa.table({"id": np.arange(len(points)), **columns}), path)
        case ".tsv":
            np.savetxt(path, points, delimiter="\t", fmt="%.9g")  # no names
        case ".h5":
            with h5py.File(path, "w") as file:
                file["group/points"] = points
        case ".zarr":
            zarr.open_group(path, mode="w").create_array("points", data=points)
    return path


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


def test_clusters_of_a_table_and_labels_of_new_points(points, tmp_path):
    file = stored(points, tmp_path / "points.parquet")
    to, picture, model = tmp_path / "labels.csv", tmp_path / "sizes.png", tmp_path / "model.npz"
    said = run("cluster", file, "--k", 8, "--seed", 0, "--out", to, "--picture", picture, "--model", model)
    for words in ("240 x 5 float32", "carried along: path", "sizes 30", "labels.csv"):
        assert words in said
    table = csv.read_csv(to)
    truth = BalancedKMeans(8, random_state=0).fit(points)
    np.testing.assert_array_equal(table["label"], truth.labels_)
    assert table["path"][3].as_py() == "3.jpg"
    apart = truth.transform(points)
    np.testing.assert_allclose(table["distance"], apart[np.arange(240), truth.labels_], rtol=1e-5)
    others = np.where(np.eye(8, dtype=bool)[truth.labels_], np.inf, apart).min(axis=1)
    own = apart[np.arange(240), truth.labels_]
    np.testing.assert_allclose(table["confidence"], (others - own) / np.maximum(own, others), atol=1e-5)
    assert picture.read_bytes()[1:4] == b"PNG"
    run("predict", model, file, "--out", tmp_path / "again.parquet")
    again = parquet.read_table(tmp_path / "again.parquet")
    np.testing.assert_array_equal(again["label"], truth.predict(points))
    run("predict", model, file, "--balanced", "--out", tmp_path / "again.npy")
    np.testing.assert_array_equal(np.bincount(np.load(tmp_path / "again.npy")), 30)


def test_bounds_metrics_and_starts(points, tmp_path):
    file, to = stored(points, tmp_path / "p.npy"), tmp_path / "l.npy"
    bounds = ["--size-min", "10,20,30,40", "--size-max", 100]
    run("cluster", file, "--k", 4, *bounds, "--metric", "cosine", "--starts", 2, "--seed", 1, "--out", to)
    sizes = np.bincount(np.load(to))
    assert (sizes >= [10, 20, 30, 40]).all()
    assert sizes.max() <= 100


def test_labels_of_scores(rng, tmp_path):
    scores = rng.normal(size=(100, 5))
    file, to, model = stored(scores, tmp_path / "s.npy"), tmp_path / "l.parquet", tmp_path / "m.npz"
    said = run("label", file, "--epsilon", 0.5, "--out", to, "--model", model)
    assert "sizes 20" in said
    truth = otlabel.assign(scores, epsilon=0.5)
    table = parquet.read_table(to)
    np.testing.assert_array_equal(table["id"], np.arange(100))
    np.testing.assert_array_equal(table["label"], truth.labels)
    np.testing.assert_allclose(table["confidence"], truth.plan(np.arange(100))[np.arange(100), truth.labels] * 100)
    run("predict", model, file, "--out", to)
    np.testing.assert_array_equal(parquet.read_table(to)["label"], truth.predict(scores))
    run("predict", model, file, "--balanced", "--out", to)
    np.testing.assert_array_equal(np.bincount(parquet.read_table(to)["label"]), 20)
    said = run("label", file, "--coverage", 0.5, "--size-max", 15, "--out", to)
    assert "without a label 50" in said
    assert (np.array(parquet.read_table(to)["label"]) == -1).sum() == 50


def test_what_is_carried_has_another_name_where_ours_is_taken(points, tmp_path):
    nested = pa.array([["a"]] * 240)
    parquet.write_table(table_of(points, label=np.arange(240), tags=nested), tmp_path / "p.parquet")
    said = run("cluster", tmp_path / "p.parquet", "--k", 4, "--seed", 0, "--out", tmp_path / "l.csv")
    assert "label is called input_label" in said
    assert "tags: a .csv file has no place for list" in said
    table = csv.read_csv(tmp_path / "l.csv")
    np.testing.assert_array_equal(table["input_label"], np.arange(240))
    assert np.bincount(table["label"]).tolist() == [60] * 4


def test_columns_are_those_of_the_model_in_any_order(points, tmp_path):
    columns = {f"x{j}": points[:, j] for j in range(5)}
    csv.write_csv(pa.table(columns), tmp_path / "a.csv")
    csv.write_csv(pa.table({name: columns[name] for name in reversed(columns)}), tmp_path / "b.csv")
    csv.write_csv(pa.table({f"y{j}": points[:, j] for j in range(5)}), tmp_path / "c.csv")
    model = tmp_path / "m.npz"
    run("cluster", tmp_path / "a.csv", "--k", 4, "--seed", 0, "--out", tmp_path / "l.npy", "--model", model)
    run("predict", model, tmp_path / "a.csv", "--out", tmp_path / "a.npy")
    run("predict", model, tmp_path / "b.csv", "--out", tmp_path / "b.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    said = run("predict", model, tmp_path / "c.csv", "--out", tmp_path / "c.npy", code=1)
    assert "the columns must be those of the model, x0 to x4: 'x0' is missing" in said
    assert not (tmp_path / "c.npy").exists()


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(points, tmp_path):
    file = stored(points, tmp_path / "p.npy")
    before = set(tmp_path.iterdir())
    said = run("cluster", file, "--k", 8, "--out", tmp_path / "l.csv", "--dry-run")
    assert "8 labels: about" in said
    assert "GiB of memory" in said
    assert "would write:" in said
    run("label", file, "--dry-run")
    assert set(tmp_path.iterdir()) == before


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


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["cluster", "p.npy", "--k", "4"], "--out must say where the labels go"),
        (["cluster", "p.npy", "--k", "4", "--out", "l.txt"], "--out must end in one of .csv, .parquet, .arrow, .npy"),
        (["cluster", "p.npy", "--k", "4", "--out", "no/l.csv"], "--out must be in a folder that exists: make no first"),
        (["cluster", "p.npy", "--k", "999", "--out", "l.csv"], "n_clusters must be at most the number of points"),
        (
            ["cluster", "p.npy", "--k", "4", "--size-max", "9", "--out", "l.csv"],
            "size_max must sum to at least the 240",
        ),
        (["cluster", "p.npy", "--k", "4", "--size-max", "many", "--out", "l.csv"], "'many' is not a whole number"),
        (
            ["predict", "p.npy", "p.npy", "--out", "l.csv"],
            "p.npy must be what `otlabel cluster` or `otlabel label` saved",
        ),
        (["predict", "gone.npz", "p.npy", "--out", "l.csv"], "No such file"),
        (["label", "p.npy", "--epsilon", "-1", "--out", "l.csv"], "epsilon must be a positive number"),
    ],
)
def test_arguments_that_are_wrong_are_named_before_any_work(points, tmp_path, monkeypatch, arguments, words):
    stored(points, tmp_path / "p.npy")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in (1, 2)
    assert words in " ".join(result.output.split())
    assert [file.name for file in tmp_path.iterdir()] == ["p.npy"]


@pytest.mark.parametrize("phase", ["soft 3", "exact 0"])
def test_ctrl_c_writes_the_best_so_far(rng, tmp_path, phase):
    """A real process, and a real signal: from soft steps one exact assignment follows."""
    np.save(tmp_path / "p.npy", rng.normal(size=(60_000, 16)).astype(np.float32))
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from otlabel.cluster import alternation\n"
        "tell = alternation._Run._tell\n"
        "def told(self, phase, total, found):\n"
        "    tell(self, phase, total, found)\n"
        "    print(phase, told.count[phase], flush=True)\n"
        "    told.count[phase] += 1\n"
        "told.count = {'soft': 0, 'exact': 0}\n"
        "alternation._Run._tell = told\n"
        "from otlabel.cli.command import main; main(sys.argv[1:])"
    )
    options = ["--k", "300", "--seed", "0", "--max-iter", "100000", "--out", "l.npy"]
    command = [sys.executable, "-c", code, "cluster", "p.npy", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith(phase):
            os.kill(process.pid, signal.SIGINT)
            break
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "interrupted" in said
    assert set(np.bincount(np.load(tmp_path / "l.npy"))) == {200}


def test_the_console_script_runs_and_says_what_is_missing(tmp_path):
    done = subprocess.run([sys.executable, "-m", "otlabel.cli", "--help"], capture_output=True, text=True, check=True)
    assert "Balanced labels for files of embeddings or scores" in done.stdout
    code = "import sys; sys.modules['pyarrow'] = None\nfrom otlabel.cli.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "otlabel needs pyarrow, which is not installed: pip install 'otlabel[cli]'\n"


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


def test_outputs_never_change_what_is_read(points, tmp_path):
    file = stored(points, tmp_path / "p.npy")
    folder = tmp_path / "shards"
    folder.mkdir()
    stored(points, folder / "part-0.parquet")
    before = file.read_bytes()
    for source, to in ((file, file), (folder, folder / "labels.parquet")):
        assert "would change what is read" in run("cluster", source, "--k", 4, "--out", to, code=2)
    assert file.read_bytes() == before
    assert len(list(folder.iterdir())) == 1
    (tmp_path / "l.csv").mkdir()
    assert "must be a file, but" in run("cluster", file, "--k", 4, "--out", tmp_path / "l.csv", code=2)


def test_models_of_scores_know_their_columns_and_bounds(rng, tmp_path):
    scores = rng.normal(size=(40, 4))
    names = list("abcd")
    parquet.write_table(pa.table(dict(zip(names, scores.T, strict=True))), tmp_path / "s.parquet")
    parquet.write_table(pa.table(dict(zip(names[::-1], scores.T[::-1], strict=True))), tmp_path / "r.parquet")
    model = tmp_path / "m.npz"
    run(
        "label",
        tmp_path / "s.parquet",
        "--size-min",
        "0,0,0,30",
        "--size-max",
        30,
        "--out",
        tmp_path / "l.npy",
        "--model",
        model,
    )
    for name in ("s", "r"):
        run("predict", model, tmp_path / f"{name}.parquet", "--balanced", "--out", tmp_path / f"{name}.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "s.npy"), np.load(tmp_path / "l.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), np.load(tmp_path / "l.npy"))
    few = stored(scores[:10], tmp_path / "few.npy")
    said = run("predict", model, few, "--balanced", "--out", tmp_path / "f.npy", code=1)
    assert "size_min must not sum to more than the 10 items" in said
    assert "Or leave --balanced out." in said
    assert "must be as long as those of the model, 4 numbers, got 3" in run(
        "predict", model, stored(scores[:, :3], tmp_path / "w.npy"), "--dry-run", code=1
    )


def test_a_dry_run_refuses_what_cannot_run(points, tmp_path):
    file = stored(points, tmp_path / "p.npy")
    for words, said in (
        (["cluster", file, "--k", 241], "n_clusters must be at most"),
        (["cluster", file, "--k", 4, "--size-max", 0], "size_max must leave some label items"),
        (["label", file, "--size-min", 100], "size_min must not sum to more than"),
        (["label", file, "--coverage", 7], "coverage must be at most 1"),
    ):
        assert said in run(*words, "--dry-run", code=1)


def test_what_a_file_cannot_hold_is_known_before_the_work(points, tmp_path):
    raw, numbers = pa.array([b"\xff"] * 240), np.arange(240)
    parquet.write_table(table_of(points, label=numbers, raw=raw, input_label=numbers), tmp_path / "p.parquet")
    said = run("cluster", tmp_path / "p.parquet", "--k", 4, "--out", tmp_path / "l.csv")
    assert "raw: a .csv file has no place for binary" in said
    assert "label is called input_label_" in said
    ours = ["label", "confidence", "distance"]
    assert csv.read_csv(tmp_path / "l.csv").column_names == ["path", "input_label_", "input_label", *ours]


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
