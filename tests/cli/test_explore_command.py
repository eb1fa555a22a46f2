"""``otlabel explore``: tables of labels as pages."""

from __future__ import annotations

import base64
import json

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from stored import run

from otlabel.explore.near import near


def part(page, name):
    """What a script of the page holds."""
    text = (page / "data" / f"{name}.js").read_text(encoding="ascii")
    return json.loads(text.removeprefix(f'otlabel.put("{name}", ').removesuffix(");\n"))


def numbers(page, name):
    kind, text = part(page, name)
    return np.frombuffer(base64.b64decode(text), dtype=f"<{kind}").astype(np.int64)


def test_what_cluster_wrote_is_shown(points, tmp_path):
    np.save(tmp_path / "points.npy", points)
    labels, model = tmp_path / "labels.parquet", tmp_path / "model.npz"
    run("cluster", tmp_path / "points.npy", "--k", 8, "--seed", 0, "--out", labels, "--model", model)
    table = parquet.read_table(labels)
    said = run("explore", labels, "--embeddings", tmp_path / "points.npy")
    page = tmp_path / "labels-clusters"
    assert f"240 items, 8 clusters: open {page / 'index.html'}" in said
    order = numbers(page, "index")
    assert numbers(page, "labels-0").tolist() == table["label"].to_numpy()[order].tolist()
    low = part(page, "about")["heads"][0]["low"]
    assert low == pytest.approx(min(0, table["confidence"].to_numpy().min()))  # negative: a nearer one was full
    shown = low + (1 - low) * numbers(page, "confidence-0") / 65534
    np.testing.assert_allclose(shown, table["confidence"].to_numpy()[order], atol=3e-5)
    assert part(page, "names-0") == [str(i) for i in table["id"].to_numpy()[order]]
    of_embeddings = part(page, "near-0")
    means = np.stack([points[table["label"].to_numpy() == j].mean(axis=0) for j in range(8)])
    assert of_embeddings["nearest"] == near(means - means.mean(axis=0)).nearest.tolist()
    run("explore", labels, "--model", model)  # the centres of a model are those means
    assert part(page, "near-0")["nearest"] == of_embeddings["nearest"]
    assert part(page, "about")["thumbs"] is None


def test_any_table_of_labels_does(tmp_path):
    table = pa.table({"isbn": ["007", "008", "009"], "group": ["b", None, "a"], "genre": ["x", "y", None]})
    csv.write_csv(table, tmp_path / "books.csv")
    names = tmp_path / "names.csv"
    names.write_text("head,label,name\n0,b,Best\n0,gone,Nobody\n")
    run(
        "explore",
        tmp_path / "books.csv",
        "--label",
        "group",
        "--name",
        "isbn",
        "--class",
        "genre",
        "--names",
        names,
        "--out",
        tmp_path / "p",
    )
    about, order = part(tmp_path / "p", "about"), numbers(tmp_path / "p", "index")
    assert about["names"] == {"0/0": "a", "0/1": "Best", "0/2": "no label"}
    assert [part(tmp_path / "p", "names-0")[list(order).index(i)] for i in range(3)] == ["007", "008", "009"]
    assert [numbers(tmp_path / "p", "labels-0")[list(order).index(i)] for i in range(3)] == [1, 2, 0]
    assert [numbers(tmp_path / "p", "classes")[list(order).index(i)] for i in range(3)] == [0, 1, 2]  # 2: none


def test_noise_and_missing_labels_are_shown_as_such(tmp_path):
    csv.write_csv(pa.table({"label": [0, -1, 2, None]}), tmp_path / "a.csv")
    run("explore", tmp_path / "a.csv", "--out", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert '"names":{"0/3":"no label"}' in text
    assert '"none":3' in text


@pytest.mark.parametrize(
    ("table", "options", "words"),
    [
        ({"x": [1.0]}, (), "must have a column of labels, got x: say --label"),
        ({"label": [0.5]}, (), "must have whole numbers in column 'label'"),
        ({"label": [10**9]}, (), "must have labels below 65,536 in column 'label', got 1,000,000,000"),
        ({"label": pa.nulls(2, pa.int64())}, (), "has no label in column 'label'"),
        ({"label": [0]}, ("--name", "y"), "--name must be a column of"),
        ({"label": [0]}, ("--embedding-atlas", "a.parquet"), "needs --embeddings"),
        ({"label": [0, 1]}, ("--embeddings", "three.npy"), "must have a row for each of the 2 items, got 3"),
        ({"label": [0]}, ("--names", "three.npy"), "must be a table of head, label and name"),
    ],
)
def test_what_cannot_be_shown_says_why(tmp_path, monkeypatch, table, options, words):
    monkeypatch.chdir(tmp_path)
    np.save("three.npy", np.eye(3))
    parquet.write_table(pa.table(table), "a.parquet")
    code = 2 if "atlas" in str(options) else 1
    assert words in run("explore", "a.parquet", *options, code=code)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "three.npy"]


def test_names_that_look_like_numbers_and_heads(tmp_path):
    heads = {"head_0": [0, 1, -1], "head_1": [2, 2, 0], "confidence_0": [0.5, 0.25, None]}
    table = pa.table({"path": ["a", "b", "c"], **heads})
    csv.write_csv(table, tmp_path / "a.csv")
    (tmp_path / "names.csv").write_text("head,label,name\n0,1,007\n1,2,1e3\n")
    run("explore", tmp_path / "a.csv", "--names", tmp_path / "names.csv", "--out", tmp_path / "p")
    about = part(tmp_path / "p", "about")
    assert about["names"] == {"0/1": "007", "1/2": "1e3", "0/3": "no label", "1/3": "no label"}
    assert [head["none"] for head in about["heads"]] == [3, 3]
    assert [head["confidence"] for head in about["heads"]] == [True, False]
    order = list(numbers(tmp_path / "p", "index"))
    assert [numbers(tmp_path / "p", "confidence-0")[order.index(i)] for i in range(3)] == [32767, 16384, 65535]


def test_embeddings_of_a_file_of_several(points, tmp_path):
    np.savez(tmp_path / "two.npz", a=points, b=points[:, :2])
    csv.write_csv(pa.table({"label": np.arange(240) % 8}), tmp_path / "a.csv")
    run("explore", tmp_path / "a.csv", "--embeddings", tmp_path / "two.npz", "--key", "a")
    assert len(part(tmp_path / "a-clusters", "near-0")["order"]) == 8
    csv.write_csv(pa.table({"label": [0, 1], "confidence": ["high", "low"]}), tmp_path / "b.csv")
    assert "must have numbers in column 'confidence', got string" in run("explore", tmp_path / "b.csv", code=1)
