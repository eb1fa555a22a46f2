"""The page of a run: its pictures show what its files say."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from otlabel.explore.sheet import Part, sheet
from otlabel_torch.options.config import Config
from otlabel_torch.runs.pictures import pictures
from otlabel_torch.runs.run import run


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "<b>run"
    run(Config(epochs=3, relabels=3, heads=2, k=8, out=out), Console(quiet=True))
    return out


def test_a_run_ends_with_a_page(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    report = json.loads((out / "report.json").read_text())
    for row in report["rows"]:
        assert f"{row['knn']:.1f}" in page
    assert "<title>otlabel: &lt;b&gt;run</title>" in page
    assert "http" not in page.replace("http-equiv", "")
    drawn = sorted(path.name for path in (out / "pictures").iterdir())
    assert drawn == ["labels.png", "loss.png", "sizes.png", "solves.png", "worth.png"]
    assert page.count('src="data:image/png;base64,') == len(drawn) == page.count("<img alt=")
    for path in (out / "pictures").iterdir():
        with Image.open(path) as image:
            assert image.width > 400


def test_what_there_is_nothing_of_is_not_drawn(out):
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    names = [picture.name for picture in pictures(records, [], None, None, 8)]
    assert names == ["loss", "labels", "solves"]
    assert pictures([], [], None, None, 8) == []
    labels = np.arange(40) % 8
    (sizes,) = pictures([], [], labels, np.full(40, np.nan), 8)
    assert sizes.text == "5 images a label."
    loss = next(picture for picture in pictures(records, [], None, None, 8) if picture.name == "loss")
    first, last = (record["loss"] for record in (records[0], [r for r in records if "loss" in r][-1]))
    assert f"from {first:.3f} to {last:.3f}" in loss.shows
    assert Image.open(io.BytesIO(loss.png)).format == "PNG"


def test_a_page_says_what_it_is_given_and_does_nothing():
    evil = '"><script>alert(1)</script>'
    page = sheet(evil, [Part(evil, evil, b"\x89PNG", evil, [("a", evil), ("1,234.5", evil)])])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 8
    assert '<td class="number">1,234.5</td>' in page
