"""docs/extending.md, run as it stands: a rule and a loss of one's own, through the real commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PAGE = Path(__file__).parent.parent.parent / "docs" / "extending.md"
OPTIONS = "--epochs", "2", "--heads", "2", "--k", "12", "--image-size", "8", "--device", "cpu"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the page's script, and the code that follows it on the page."""
    place = tmp_path_factory.mktemp("mine")
    script, later = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (place / "mine.py").write_text(script)
    (place / "later.py").write_text(f"from mine import torch\n{later}\nassert state.labels.shape == (1797, 2)\n")
    (place / "others.py").write_text("import sys, mine\nfrom otlabel_torch import predict\npredict.main()\n")
    return place


def python(place, *words, check=True):
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=place)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def run(place):
    python(place, "mine.py", "--assigner", "prototypes", "--loss", "two-views", *OPTIONS, "--out", "run")
    return place / "run"


def test_a_method_of_15_lines_is_trained_with(place, run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["assigner"], config["loss"], config["relabels"]) == ("prototypes", "two-views", 2)
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert ["changed" in record for record in records] == [False, False, True]
    rows = json.loads((run / "report.json").read_text())["rows"]
    assert rows[-1]["name"] == "labels by prototypes"
    assert rows[-1]["nmi"] > 20  # neighbours in features say something of the classes
    longest = max(len(kind.strip().splitlines()) for kind in (place / "mine.py").read_text().split("\n\n"))
    assert longest <= 15


def test_the_loss_is_the_one_that_was_registered(place, run):
    """Two passes of every batch, and turns and blends laid around it."""
    python(
        place, "mine.py", "--loss", "two-views", *OPTIONS, "--mixup", 1, "--rotation", "--epochs", 1, "--out", "turned"
    )
    losses = [
        json.loads((out / "metrics.jsonl").read_text().splitlines()[0])["loss"] for out in (run, place / "turned")
    ]
    assert losses[1] > losses[0] + 1  # the turns' task: ln 4 for a network that knows nothing


def test_help_resume_and_prediction_know_the_names(place, run):
    text = python(place, "mine.py", "--help").stdout
    assert "{sinkhorn,clusters,kmeans,frozen,random,file,prototypes}" in text
    assert "{cross-entropy,two-views}" in text
    assert "resumed after epoch 2" in python(place, "mine.py", "--resume", "--out", "run").stdout
    assert "1797 images, " in python(place, "others.py", "run", "--part", "train").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--assigner", "prototypes"], "random"),
        (["train", "--loss", "two-views"], "cross-entropy"),
        (["train", "--resume", "--out", "run"], "file, or one that is registered first, got 'prototypes'"),
        (["predict", "run", "--out", "x.csv"], "config.yaml: assigner must be one of sinkhorn,"),
    ],
)
def test_commands_that_do_not_know_the_names_say_which_they_know(place, run, words, message):
    done = python(place, "-m", f"otlabel_torch.{words[0]}", *words[1:], check=False)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    if "config.yaml" in done.stderr:
        assert "Run it from the script that registers it (docs/extending.md)" in done.stderr


def test_the_code_without_the_command_runs(place):
    python(place, "later.py")
