"""Results as notebooks show them, and as pictures."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from matplotlib import pyplot

import otlabel
from otlabel.cluster import BalancedKMeans


class Text(HTMLParser):
    """What a page says, and whether its elements are closed."""

    def __init__(self, page):
        super().__init__()
        self.words, self.open = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.parametrize("heads", [None, 2])
def test_an_assignment_in_a_notebook(rng, heads):
    scores = rng.normal(size=(60, 7) if heads is None else (heads, 60, 7))
    result = otlabel.assign(scores)
    shown = Text(result._repr_html_())
    assert not shown.open
    words = " ".join(shown.words)
    for part in ("60", "7", "8 to 9", f"{np.max(result.error):.1e}", "converged", "nats an item"):
        assert part in words
    assert "not known" in " ".join(Text(otlabel.assign(scores, rounding="argmax")._repr_html_()).words)


def test_pictures_of_an_assignment(rng):
    result = otlabel.assign(rng.normal(size=(200, 9)), method="sinkhorn", b=np.arange(1, 10) / 45)
    figure = result.plot()
    sizes, errors = figure.axes
    np.testing.assert_array_equal(errors.lines[0].get_ydata(), result.history[:, 2])
    np.testing.assert_array_equal(errors.lines[0].get_xdata(), result.history[:, 0])
    items, shares = sizes.patches
    np.testing.assert_array_equal(items.get_data().values, np.sort(result.sizes)[::-1])
    np.testing.assert_array_equal(items.get_data().edges, np.arange(10) - 0.5)
    np.testing.assert_allclose(shares.get_data().values, 200 * np.arange(9, 0, -1) / 45)
    assert [text.get_text() for text in sizes.get_legend().get_texts()] == ["items", "share"]
    bounds = otlabel.assign(rng.normal(size=(200, 9)) + np.arange(9), size_min=5, size_max=60).plot()
    assert len(bounds.axes[0].patches) == 1  # no label is to have just its share
    free = otlabel.assign(rng.normal(size=(20, 3)), size_min=0, size_max=20).plot()  # an error of 0 has no logarithm
    assert free.axes[1].get_yscale() == "linear"
    heads = otlabel.assign(rng.normal(size=(2, 50, 5)))
    heads.plot(head=1)
    with pytest.raises(IndexError):
        heads.plot(head=2)
    pyplot.close("all")


def test_pictures_of_clusters(rng, tmp_path):
    model = BalancedKMeans(6, n_init=2, random_state=0).fit(rng.normal(size=(120, 3)))
    figure = model.plot()
    exact = model.history_[np.isfinite(model.history_[:, 1])]
    np.testing.assert_array_equal(figure.axes[1].lines[0].get_ydata(), exact[:, 1])
    assert exact[:, 1].min() == pytest.approx(model.inertia_, rel=1e-5)
    model.save(tmp_path / "model.npz")
    assert len(BalancedKMeans.load(tmp_path / "model.npz").plot().axes) == 1
    pyplot.close("all")


def test_results_need_no_matplotlib():
    code = """
import sys
sys.modules["matplotlib"] = None
import numpy, otlabel
result = otlabel.assign(numpy.random.default_rng(0).normal(size=(20, 4)))
result._repr_html_()
try:
    result.plot()
except ImportError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.strip() == "plot needs matplotlib, which is not installed: pip install matplotlib", said.stderr
