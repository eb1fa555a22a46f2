"""Every peer that is installed, in a process of its own, on problems whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

import otlabel
from otlabel.bench import machine, process
from otlabel.bench.own import methods, usable
from otlabel.bench.peers import PEERS, labels
from otlabel.bench.peers.task import Task
from otlabel.bench.problems import made

INSTALLED = [peer for peer in PEERS if machine.installed(peer.package)]
PLANS = [peer.name for peer in INSTALLED if not peer.balances and not peer.name.startswith("SwAV")]
LABELS = [peer.name for peer in INSTALLED if peer.balances]
OWN = [f"otlabel {backend} {rounding}" for backend in usable() for rounding in ("argmax", "balanced")]


@pytest.fixture(scope="module", autouse=True)
def server():
    process.preload({peer.package for peer in INSTALLED} | {"torch"})


def measured(name: str, n: int, k: int, regime: str = "first", tol: float = 1e-4, cap: float = 20.0) -> process.Row:
    return process.measure(process.Job(name, made(regime, n, k), 1 / 25, tol, cap, 1))


@pytest.mark.parametrize("name", [*PLANS, *OWN])
def test_plans_reach_the_error(name):
    tol = 5e-2 if name == "GeomLoss" else 1e-4  # its annealing leaves an error that falls like 1/iterations only
    row = measured(name, 400, 8, tol=tol)
    assert row["status"] == "reached", row
    assert 0 < row["error"] <= tol
    assert len(row["seconds"]) == 1
    assert row["warmup"] >= 0
    assert row["sweeps"] > 1


def test_own_methods_that_balance_certify_their_labels():
    row = measured("otlabel numpy balanced", 400, 8)
    assert row["exact"]
    assert abs(row["gap"]) < 1e-9
    assert row["bound"] == pytest.approx(row["score"], abs=1e-9)


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize(("n", "k"), [(240, 8), (243, 8)])
def test_balanced_labels_are_the_best_ones(name, n, k):
    row = measured(name, n, k, "broad")
    assert row["status"] == "reached", row
    assert row["largest"] - row["smallest"] == (1 if n % k else 0)
    scores = made("broad", n, k).load()
    best = otlabel.assign(scores)
    assert best.gap < 1e-9
    exact = scores[np.arange(n), best.labels].mean(dtype=np.float64) * 25
    # k-means-constrained rounds costs to 1/1000
    assert row["score"] == pytest.approx(exact, abs=1e-3 if name.startswith("k-means") else 1e-9)


def test_float32_gives_way_to_float64_for_small_errors():
    pytest.importorskip("ott")
    row = measured("OTT momentum", 400, 8, tol=1e-9)
    assert row["status"] == "reached", row
    assert row["error"] <= 1e-9


def test_three_iterations_leave_an_error_that_is_shown():
    row = measured("SwAV, 3 iterations", 400, 8, "broad")
    assert row["status"] == "missed"
    assert row["seconds"] == []
    assert row["error"] > 1e-3


def test_lost_potentials_are_said_to_be_lost():
    row = measured("SwAV, 3 iterations", 5000, 160, "peaked")
    assert row["status"] == "missed"
    assert row["note"] == "its potentials are not finite"
    assert "error" not in row  # there is none to show


@pytest.mark.parametrize("name", [name for name in PLANS if name != "GeomLoss"])
def test_who_runs_out_of_time_shows_how_far_it_got(name):
    row = measured(name, 3000, 100, "peaked", tol=1e-12, cap=0.2)
    assert row["status"] in ("capped", "killed"), row
    assert row["seconds"] == []
    if row["status"] == "capped":
        assert row["error"] > 1e-12
        assert row["note"].startswith("stopped after")


def test_no_room_for_n_x_n_costs_is_told(monkeypatch):
    monkeypatch.setattr(labels, "free_memory", lambda: 2.0**20)
    with pytest.raises(MemoryError, match=r"needs .* GiB for n x n costs"):
        methods()["SciPy assignment"].adapter(Task(made("first", 600, 5).load(), 1 / 25, 1e-4, 5.0))


def test_scores_that_are_all_the_same_break_nobody():
    scores = np.ones((60, 5), dtype=np.float32)
    scores.flags.writeable = False
    for peer in INSTALLED:
        answer = peer.adapter(Task(scores, 1 / 25, 1e-4, 0.5))()
        if peer.balances:
            assert set(np.bincount(answer.labels, minlength=5)) == {12}
        else:
            np.testing.assert_allclose(answer.potentials - answer.potentials.mean(), 0, atol=1e-4)
