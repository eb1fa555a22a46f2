"""The command ``otlabel``: tables of labels out, models, dry runs, and errors that say what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import csv, parquet
from stored import run, stored, table_of

import otlabel
from otlabel.cli.command import main
from otlabel.cluster import BalancedKMeans


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
