"""A run as a page: by the command, and what is saved there goes back into training."""

from __future__ import annotations

import base64
import csv
import io
import json

import numpy as np
import pytest
import torch
from commands import called
from PIL import Image
from pyarrow import parquet
from sklearn.datasets import load_digits

import otlabel
from otlabel.explore import atlas
from otlabel_torch.images.of_run import images_of
from otlabel_torch.options.of_explore import ExploreOptions
from otlabel_torch.runs import explored
from otlabel_torch.runs.explored import explore
from otlabel_torch.runs.folder import RunFolder
from otlabel_torch.system.errors import DataError, UsageError

K, HEADS, N = 6, 2, 120


def call(command, *options):
    done = called(f"otlabel_torch.{command}", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    digits = load_digits()
    for i in range(N):
        path = root / str(digits.target[i]) / f"{i:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.rint(digits.images[i] * (255 / 16)).astype(np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def run(images, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    call("train", "--data", "folder", "--root", images, "--image-size", 8, "--k", K, "--heads", HEADS,
         "--epochs", 4, "--relabels", 3, "--out", out)  # fmt: skip
    return out


def part(page, name):
    """What a script of the page holds."""
    text = (page.parent / "data" / f"{name}.js").read_text(encoding="ascii")
    return json.loads(text.removeprefix(f'otlabel.put("{name}", ').removesuffix(");\n"))


def numbers(page, name):
    kind, text = part(page, name)
    return np.frombuffer(base64.b64decode(text), dtype=f"<{kind}").astype(np.int64)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_of_a_run_is_its_labels(run):
    said = call("explore", run)
    page = run / "explore" / "index.html"
    assert f"{N} images, {K} clusters: open {page}" in said
    labels = rows(run / "labels.csv")
    order = numbers(page, "index")
    assert [labels[i]["path"] for i in order] == part(page, "names-0")
    for head in range(HEADS):
        assert numbers(page, f"labels-{head}").tolist() == [int(labels[i][f"head_{head}"]) for i in order]
        sure = numbers(page, f"confidence-{head}") / 65534
        np.testing.assert_allclose(sure, [float(labels[i][f"confidence_{head}"]) for i in order], atol=1e-4)
    about = part(page, "about")
    assert about["history"] == ["after 0 epochs", "after 2 epochs", "after 4 epochs"]
    assert numbers(page, "history-2").tolist() == numbers(page, "labels-0").tolist()
    sizes = np.bincount(numbers(page, "history-0"), minlength=K)
    assert set(sizes) == {N // K}
    classes = numbers(page, "classes")
    assert [about["classes"][of] for of in classes] == [labels[i]["path"].split("/")[0] for i in order]
    sheet = np.asarray(Image.open(page.parent / "thumbs" / "0.webp").convert("L"))
    first = np.asarray(Image.open(RunFolder(run).configuration().root / labels[order[0]]["path"]))
    assert np.corrcoef(sheet[:8, :8].ravel(), first.ravel())[0, 1] > 0.9


def test_what_is_corrected_goes_back(run, images, tmp_path):
    """Images marked as wrong, and all of a cluster: `retrain` leaves them out, `assign` finds them new labels."""
    labels = rows(run / "labels.csv")
    wrong = {3, 50, 77, *(i for i, row in enumerate(labels) if row["head_0"] == "1")}
    table = tmp_path / "corrected.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "path", "label"])
        writer.writerows([i, row["path"], "" if i in wrong else row["head_0"]] for i, row in enumerate(labels))
    out = tmp_path / "again"
    said = call(
        "retrain",
        "--labels",
        table,
        "--data",
        "folder",
        "--root",
        images,
        "--image-size",
        8,
        "--epochs",
        2,
        "--out",
        out,
    )
    assert f"left out: images without a label in {table}: {len(wrong)} (" in said
    assert [row["path"] for row in rows(out / "labels.csv")] == [
        row["path"] for i, row in enumerate(labels) if i not in wrong
    ]
    (tmp_path / "names.csv").write_text("head,label,name\n0,0,zero\n0,2,two\n0,1,gone\n")
    call("explore", out, "--names", tmp_path / "names.csv")
    about = part(out / "explore" / "index.html", "about")
    assert about["n"] == N - len(wrong)
    # Labels are numbered without gaps: what was 2 is 1, and its name goes with it.
    assert about["names"] == {"0/0": "zero", "0/1": "two", "0/2": "3", "0/3": "4", "0/4": "5"}
    assert about["heads"][0]["values"] == ["0", "2", "3", "4", "5"]
    assert "head 0" in json.dumps(json.loads(_evaluated(out)))
    known = np.array([-1 if row["label"] == "" else int(row["label"]) for row in rows(table)])
    found = otlabel.assign(np.random.default_rng().normal(size=(N, K)), known=known)
    kept = known >= 0
    assert (found.labels[kept] == known[kept]).all()


def _evaluated(run):
    call("evaluate", run, "--layers", "features")
    return (run / "evaluation" / "report.json").read_text()


def test_a_table_with_its_images_is_one_file(run, images, tmp_path):
    (tmp_path / "names.csv").write_text("head,label,name\n0,2,Twos\n")
    page = tmp_path / "page.html"
    call("explore", run / "labels.csv", "--root", images, "--out", page, "--names", tmp_path / "names.csv")
    text = page.read_text(encoding="utf-8")
    assert '"names":{"0/2":"Twos"}' in text
    assert text.count('id="part-sheet-') == 1
    assert "src=" not in text
    assert 'href="style' not in text


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)])  # UMAP compiles for half a minute
def test_a_table_for_embedding_atlas(run, tmp_path, real, monkeypatch, capsys):
    if not real:
        apart = np.abs(np.arange(N)[:, None] - np.arange(N))
        near = np.argsort(apart, axis=1, kind="stable")[:, :5]
        made = atlas.Plane(np.zeros((N, 2), np.float32), near, np.take_along_axis(apart, near, axis=1))
        monkeypatch.setattr(atlas, "plane", lambda points: made)
    path = tmp_path / "atlas.parquet"
    explore(ExploreOptions(run, embedding_atlas=path))
    said = capsys.readouterr().out
    assert f"embedding-atlas {path} --x x --y y --neighbors neighbors --image image" in said
    table = parquet.read_table(path).to_pylist()
    labels = rows(run / "labels.csv")
    assert [row["name"] for row in table] == [row["path"] for row in labels]
    assert [row["label"] for row in table] == [row["head_0"] for row in labels]
    for i, row in enumerate(table):
        assert row["neighbors"]["ids"][0] == i  # an item is its own nearest
        assert np.all(np.diff(row["neighbors"]["distances"]) >= 0)
        assert np.isfinite([row["x"], row["y"]]).all()
    assert Image.open(io.BytesIO(table[0]["image"]["bytes"])).size == (8, 8)


def test_what_cannot_be_explored_says_why(run, images, tmp_path):
    with pytest.raises(UsageError, match="is not there"):
        explore(ExploreOptions(tmp_path / "gone"))
    with pytest.raises(UsageError, match="a table of labels, which needs `root` DIR"):
        explore(ExploreOptions(run / "labels.csv"))
    with pytest.raises(UsageError, match=r"a run has its own images\. Leave them out"):
        explore(ExploreOptions(run, root=images))
    with pytest.raises(UsageError, match="no page of an explorer"):
        explore(ExploreOptions(run, out=images))
    assert len(list(images.rglob("*.png"))) == N
    history = run / "history" / "00002.npy"
    whole = history.read_bytes()
    for damaged in (whole[:60], b"", whole[:-1]):
        history.write_bytes(damaged)
        with pytest.raises(DataError, match=r"00002\.npy must hold labels, but it cannot be read"):
            explore(ExploreOptions(run))
    np.save(history, np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"must hold labels below 6 of 120 images, got uint8 \(3,\)"):
        explore(ExploreOptions(run))
    history.write_bytes(whole)
    lost = next(images.rglob("*.png"))
    lost.rename(tmp_path / "lost.png")
    with pytest.raises(UsageError, match="has labels of other images than are there now"):
        explore(ExploreOptions(run))
    (tmp_path / "lost.png").rename(lost)


def test_clusters_are_near_where_their_images_are(images, tmp_path):
    """Not where the heads say, which have learned the numbers of the solve before."""
    out = tmp_path / "run"
    call("train", "--data", "folder", "--root", images, "--image-size", 8, "--k", K, "--heads", HEADS,
         "--epochs", 2, "--relabels", 2, "--assigner", "kmeans", "--out", out)  # fmt: skip
    trained = RunFolder(out).open(torch.device("cpu"))
    shown, _ = images_of(trained.config)
    found = explored._centres(trained, shown, trained.labels)
    call("embed", out, "--part", "train", "--out", out / "features.parquet")
    table = parquet.read_table(out / "features.parquet")
    column = next(table[name] for name in table.column_names if str(table[name].type).startswith(("list", "fixed")))
    features = np.array(column.to_pylist())
    features -= features.mean(axis=0)
    for head, labels in enumerate(trained.labels.T.numpy()):
        exact = np.array([features[labels == label].sum(axis=0) for label in range(K)])
        np.testing.assert_allclose(found[head], exact, atol=1e-3 * np.abs(exact).max())
