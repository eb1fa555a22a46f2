"""otlabel-bench as its users call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from otlabel.bench import machine, options, scaling, suite
from otlabel.bench.cli import PEER_NAMES, main

ROOT = Path(__file__).parents[2]


def bench(*words: str, **settings: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "otlabel.bench", *words]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | settings)


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """Nothing of a command that runs in this process stays in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "limit_threads", lambda count: None)
    monkeypatch.setattr(options, "end_well", lambda: None)


def test_solve_measures_shows_writes_and_draws(tmp_path):
    scores = np.random.default_rng().normal(size=(300, 6)).astype(np.float16)
    np.savez(tmp_path / "mine.npz", logits=scores, other=np.zeros(3))
    files = "--json", str(tmp_path / "rows.json"), "--plot", str(tmp_path / "rows.png")
    solvers = "--backend", "numpy", "--peer", "sela-textbook", "--peer", "scipy-assignment"
    source = "--logits", str(tmp_path / "mine.npz")
    done = bench("solve", *source, *solvers, *files, "--rounds", "2", "--threads", "1", OPENBLAS_CORETYPE="Prescott")
    assert done.returncode == 0, done.stderr
    for name in ("otlabel numpy argmax", "otlabel numpy balanced", "SeLa textbook", "SciPy assignment"):
        assert name in done.stdout
    assert "mine.npz: 300 items, 6 labels, float16" in done.stdout
    rows = suite.read_rows(tmp_path / "rows.json")
    assert [row["status"] for row in rows] == ["reached"] * 4
    for row in rows:
        facts = {"command", "cpu", "gpus", "threads", "versions", "commit", "date", "python", "read_seconds", "seed"}
        assert facts <= set(row)
        assert row["threads"] == 1
        assert len(row["seconds"]) == row["rounds"] == 2
        assert row["peak_mib"] is None or row["peak_mib"] < 500
    with Image.open(tmp_path / "rows.png") as picture:
        assert picture.width > 400
        assert len(set(picture.convert("RGB").resize((64, 64)).getdata())) > 10  # something is drawn


def test_a_page_has_the_picture_and_the_tables(tmp_path):
    made = "--n", "300", "--k", "6", "--regime", "first", "--regime", "peaked", "--backend", "numpy"
    done = bench("solve", *made, "--plot", str(tmp_path / "rows.html"), "--cap", "5")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "rows.html").read_text()
    assert page.count("<tr>") == 2 * (1 + 2)  # of two problems the names of the columns, and two methods
    assert page.count('src="data:image/png;base64,') == 1
    assert "300 items, 6 labels, float32" in page
    assert "otlabel numpy balanced" in page


def test_the_overview(monkeypatch, tmp_path):
    """The whole of it, on smaller problems and with those peers that are always there."""
    monkeypatch.setattr(suite, "OVERVIEW", (400, 10))
    monkeypatch.setattr(suite, "PEERS", [peer for peer in suite.PEERS if peer.package in (None, "scipy")])
    done = CliRunner().invoke(main, ["overview", "--cap", "5", "--json", str(tmp_path / "rows.json")])
    assert done.exit_code == 0, done.output
    rows = suite.read_rows(tmp_path / "rows.json")
    methods = {
        "SeLa textbook",
        "SwAV, 3 iterations",
        "SciPy assignment",
        "otlabel numba argmax",
        "otlabel torch balanced",
    }
    for regime in ("first", "broad", "peaked"):
        own = [row for row in rows if row["scores"] == f"mixture {regime}"]
        assert methods <= {row["method"] for row in own}
    for kind in ("every other row the same", "from features"):
        found = {row["method"]: row for row in rows if row["scores"] == f"mixture broad, {kind}"}
        assert {"SeLa textbook", "otlabel numba argmax", "otlabel numba balanced"} <= set(found)
        assert found["otlabel numba balanced"]["status"] == "reached"
        assert found["otlabel numba balanced"]["gap"] == pytest.approx(0, abs=1e-9)
        assert all(row["status"] == "reached" for row in own if row["method"].startswith("otlabel")), own
        assert all(row["exact"] for row in own if row["balances"])
        bounds = [row["bound"] for row in own if row.get("bound") is not None]
        assert all(row["score"] <= min(bounds) + 1e-9 for row in own if row["balances"])
    assert "SwAV, 3 iterations" in done.output
    assert "missed" in done.output


def test_scaling_finds_the_exponents(tmp_path):
    sizes = "--ns", "500,1000,2000", "--ks", "10,20,40"
    how = "--backend", "numpy", "--rounds", "1", "--cap", "30", "--json", str(tmp_path / "rows.json"), "--plot"
    done = bench("scaling", *sizes, *how, MPLCONFIGDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "exponent" in done.stdout
    with Image.open(tmp_path / "scaling.png") as picture:  # the name that --plot alone stands for
        assert picture.width > 400
    assert {(row["n"], row["k"]) for row in suite.read_rows(tmp_path / "rows.json")} == {
        (500, 20), (1000, 20), (2000, 20), (1000, 10), (1000, 40),
    }  # fmt: skip


def test_slopes_of_exact_powers():
    rows = [
        {"n": n, "k": k, "seconds": [3e-6 * n * k**1.5], "peak_mib": 0.01 * n}
        for n, k in [(10, 4), (20, 4), (40, 4), (20, 2), (20, 8)]
    ]
    found = {(slope.quantity, slope.size): slope for slope in scaling.slopes(rows, n=20, k=4)}
    assert found["seconds", "n"].exponent == pytest.approx(1)
    assert found["seconds", "k"].exponent == pytest.approx(1.5)
    assert found["MiB", "n"].exponent == pytest.approx(1)
    assert found["MiB", "k"].exponent == pytest.approx(0, abs=1e-9)
    assert found["seconds", "k"].sizes == [2, 4, 8]


def test_devices():
    done = bench("devices")
    assert done.returncode == 0, done.stderr
    for words in ("processor", "GB/s", "backend numba", "backend cupy", "peer POT", "GPU"):
        assert words in done.stdout


@pytest.mark.parametrize("command", [[], ["overview"], ["solve"], ["scaling"], ["compare"], ["devices"]])
def test_help(command):
    done = CliRunner().invoke(main, [*command, "--help"])
    assert done.exit_code == 0
    assert "Usage:" in done.output
    if command == ["solve"]:
        assert all(name in done.output for name in PEER_NAMES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["solve", "--n", "5", "--k", "9"], "--n must be at least --k"),
        (["solve", "--backend", "none"], "needs a --peer"),
        (["solve", "--logits", "nowhere.npy"], "nowhere.npy must be an .npy or .npz file"),
        (["solve", "--logits", "cube.npy"], "must hold a matrix of finite scores"),
        (["solve", "--logits", "two.npz"], "must hold one array, or one called logits"),
        (["solve", "--logits", "pickle.npy"], "must be an .npy or .npz file of numbers"),
        (["solve", "--peer", "nobody"], "'nobody' is not one of"),
        (["solve", "--epsilon", "0"], "0.0 is not in the range"),
        (["solve", "--epsilon", "nan"], "'nan' is not a number"),
        (["solve", "--cap", "inf"], "inf is not in the range"),
        (["solve", "--plot", "x.xyz"], "--plot x.xyz must end in one of .png"),
        (["solve", "--logits", "empty.npz"], "must hold one array, or one called logits; it holds none"),
        (["solve", "--logits", "damaged.npz"], "must be an .npy or .npz file of numbers"),
        (["solve", "--logits", "none.npy"], "no fewer items than labels, got (0, 5)"),
        (["solve", "--logits", "wide.npy"], "no fewer items than labels, got (2, 5)"),
        (["solve", "--logits", "large.npy", "--dtype", "float16"], "scores that --dtype float16 can hold"),
        (["scaling", "--ns", "10,20", "--ks", "10,50"], "labels would stay empty"),
        (["solve", "--json", "no/such/folder.json"], "there is no folder"),
        (["scaling", "--ns", "100"], "must be two sizes or more"),
        (["scaling", "--ns", "1e3,2e3"], "is not a list of whole numbers"),
        (["compare", "a.json"], "Missing argument"),
    ],
)
def test_errors_say_what_to_do(words, message):
    np.save("cube.npy", np.zeros((2, 2, 2)))
    np.savez("empty.npz")
    np.savez_compressed("damaged.npz", logits=np.arange(300.0).reshape(100, 3))
    damaged = bytearray(Path("damaged.npz").read_bytes())
    damaged[60:200] = bytes(140)
    Path("damaged.npz").write_bytes(damaged)
    np.save("none.npy", np.zeros((0, 5)))
    np.save("wide.npy", np.zeros((2, 5)))
    np.save("large.npy", np.full((5, 2), 1e30))
    np.savez("two.npz", a=np.zeros(2), b=np.zeros(2))
    np.save("pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())


def test_a_peer_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(machine, "installed", lambda module: module is None)
    done = CliRunner().invoke(main, ["solve", "--peer", "ott"])
    assert done.exit_code == 2
    assert "pip install ott-jax" in done.output
    assert "POT" in suite.missing()


def test_without_its_extra_it_names_it():
    code = "import sys; sys.modules['click'] = None; from otlabel.bench.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'otlabel[bench]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_document_agrees_with_the_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import performance_table

    text = performance_table.PAGE.read_text()
    assert performance_table.page(text) == text
    for kind in ("solver", "overview", "epoch8", "imagenet"):
        assert f"<!-- begin: {kind} -->" in text
        assert list(performance_table.RESULTS.glob(f"{kind}_*.json"))


def test_the_benchmark_suite_still_runs(tmp_path):
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "pytest", "benchmarks", "-q", "-m", "smoke", f"--benchmark-json={out}"]
    apart = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # from this pytest
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=apart)
    assert done.returncode == 0, done.stdout[-3000:]
    rows = json.loads(out.read_text())["benchmarks"]
    assert len(rows) == 6
    assert all(row["extra_info"]["error"] < 1e-3 for row in rows)
