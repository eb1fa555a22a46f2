"""docs/clusters.md, run as it is written; and what is said where scikit-learn is not installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"


def run(page: Path, count: int) -> dict:
    """What its blocks of Python leave behind."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == count
    names: dict = {}
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)
    return names


def test_the_page_on_clusters_runs_and_what_it_says_is_so():
    names = run(DOCS / "clusters.md", 3)
    model = names["model"]
    assert set(model.sizes_) == {100}
    assert abs(model.gap_) < 1e-9
    assert names["loose"].sizes_.min() >= 50
    assert names["loose"].sizes_.max() <= 200
    assert ((names["loose"].potentials_ < 0) <= (names["loose"].sizes_ == 200)).all()
    assert ((names["loose"].potentials_ > 0) <= (names["loose"].sizes_ == 50)).all()
    assert set(names["coder"].sizes_.ravel()) == {187, 188}
    np.testing.assert_array_equal(np.bincount(model.predict(names["new"], balanced=True)), np.full(30, 2))


def test_balanced_clusters_of_my_embeddings(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(DOCS / "guides" / "balanced-clusters.md", 4)
    assert "inertia 1.0" in capsys.readouterr().out
    assert {file.name for file in tmp_path.iterdir()} == {"sizes.png", "clusters.png", "clusters.npz"}


def test_sizes_between_bounds(capsys):
    page = DOCS / "guides" / "sizes-between-bounds.md"
    run(page, 3)
    told = re.findall(r"(\d+) to (\d+) inertia (\d+)", capsys.readouterr().out)
    shown = re.findall(r"\| (\d+)(?: to (\d+))? \| ([\d,]+) \|", page.read_text())
    for (low, high, inertia), row in zip(told, shown, strict=True):
        assert (low, high) == (row[0], row[1] or row[0])
        assert float(inertia) == pytest.approx(float(row[2].replace(",", "")), rel=0.01)


def test_semantic_ids(capsys):
    names = run(DOCS / "guides" / "semantic-ids.md", 3)
    assert len(names["ids"]) == 4000


def test_without_scikit_learn_the_remedy_is_named_and_otlabel_works():
    code = (
        "import sys; sys.modules['sklearn'] = None\nimport otlabel\n"
        "try: import otlabel.cluster\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "otlabel.cluster needs scikit-learn: pip install 'otlabel[cluster]'.\n"
