"""Every peer that is installed, in a process of its own, on problems whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import otlabel
from otlabel.bench import machine, process
from otlabel.bench.own import methods, usable
from otlabel.bench.peers import PEERS, doubling, labels, semidiscrete
from otlabel.bench.peers.task import Answer, Task
from otlabel.bench.problems import made

INSTALLED = [peer for peer in PEERS if machine.installed(peer.package)]
PLANS = {peer.name for peer in PEERS if not peer.balances and not peer.name.startswith("SwAV")}
SLOW = {  # what they reach soon
    "GeomLoss": 5e-2,  # its annealing leaves an error that falls like 1/iterations only
    "POT semidiscrete": 5e-2,  # samples' noise, that falls like 1/sqrt(iterations)
    "OTT semidiscrete": 5e-2,
}
LABELS = {peer.name for peer in PEERS if peer.balances}
OWN = [f"otlabel {backend} {rounding}" for backend in usable() for rounding in ("argmax", "balanced")]


def named(names: set[str]) -> list:
    """Of peers, those that are not installed to be skipped."""
    return [
        pytest.param(
            peer.name,
            marks=pytest.mark.skipif(not machine.installed(peer.package), reason=f"needs {peer.install}"),
        )
        for peer in PEERS
        if peer.name in names
    ]


@pytest.fixture(scope="module", autouse=True)
def server():
    process.preload({peer.package for peer in INSTALLED} | {"torch"})


def measured(name: str, n: int, k: int, regime: str = "first", tol: float = 1e-4, cap: float = 20.0) -> process.Row:
    return process.measure(process.Job(name, made(regime, n, k), 1 / 25, tol, cap, 1))


@pytest.mark.parametrize("name", [*named(PLANS), *OWN])
def test_plans_reach_the_error(name):
    tol = SLOW.get(name, 1e-4)
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


@pytest.mark.parametrize("name", named(LABELS))
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


def test_truncated_newton_does_so_too():
    pytest.importorskip("mdot_tnt")
    row = measured("mdot-tnt", 400, 8, "broad", tol=1e-7)
    assert row["status"] == "reached", row
    assert row["error"] <= 1e-7


def test_sampled_items_are_all_met_before_any_is_met_again():
    batches = semidiscrete.shuffled(10, 3)
    for _ in range(4):
        drawn = np.concatenate([next(batches) for _ in range(3)])
        assert len(set(drawn)) == 9
        assert set(drawn) <= set(range(10))


@pytest.mark.parametrize("n", [120, 127])
@pytest.mark.parametrize(("near", "crowding", "solves"), [(1, 2.0, 3), (4, 0.1, 2), (12, 2.0, 1)])
def test_near_ties_that_do_not_do_are_joined_by_others(monkeypatch, n, near, crowding, solves):
    """Too few for balanced labels, as all items like the same labels; enough for some, but not for the best; all."""
    pytest.importorskip("ot")
    k, pairs, emd = 12, [], labels._emd

    def counted(places, cost, **start):
        pairs.append(cost.nnz)
        return emd(places, cost, **start)

    monkeypatch.setattr(labels, "_emd", counted)
    monkeypatch.setattr(labels, "NEAR", near)
    monkeypatch.setattr(labels, "_potentials", lambda task, iterations: np.zeros(k))
    scores = np.random.default_rng(near).normal(size=(n, k)) - crowding * np.arange(k)
    found = labels.sparse_emd(Task(scores, 1 / 25, 1e-4, 5.0))().labels
    sizes = np.bincount(found, minlength=k)
    assert sizes.max() - sizes.min() == (1 if n % k else 0)
    best = otlabel.assign(scores).labels
    rows = np.arange(n)
    assert scores[rows, found].sum() == pytest.approx(scores[rows, best].sum(), abs=1e-9)
    assert len(pairs) >= solves
    assert pairs == sorted(set(pairs))  # more each time


def test_potentials_that_underflow_are_done_without():
    pytest.importorskip("ot")
    scores = np.zeros((60, 3))
    scores[:, 0] = 1e6  # exp of the others is nothing
    task = Task(scores, 1 / 25, 1e-4, 5.0)
    assert (labels._potentials(task, 20) == 0).all()
    for adapter in (labels.warm_emd, labels.sparse_emd):
        found = adapter(task)().labels
        assert (np.bincount(found, minlength=3) == 20).all()


@pytest.mark.parametrize(
    ("power", "tol", "tried"),
    [
        (1, 0.03, [4, 8, 16, 32, 64]),  # reached: 1.6 / 64
        (1, 1e-2, [4, 8, 16, 32, 64]),  # more than half of the cap
        (1, 1e-5, [4, 100]),  # hopeless: 0.4 is far above 1e-5 * 25**2
        (0, 1e-2, [4, 8, 96]),  # as soon as it is
    ],
)
def test_solvers_that_cannot_be_told_an_error_are_told_how_long_to_run(monkeypatch, power, tol, tried):
    runs: list[int] = []
    clock = SimpleNamespace(perf_counter=lambda: float(sum(runs)))  # an iteration takes a second
    monkeypatch.setattr(doubling, "time", clock)
    monkeypatch.setattr(doubling, "judge", lambda *_: SimpleNamespace(error=1.6 / runs[-1] ** power))
    solve = doubling.enough(Task(np.zeros((2, 2)), 1.0, tol, 100.0), lambda count: runs.append(count) or Answer(), 4)
    assert runs == tried
    solve()
    assert runs == [*tried, tried[-1]]


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


@pytest.mark.parametrize("name", named(PLANS - {"GeomLoss"}))
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
