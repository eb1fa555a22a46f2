"""One row, one process: what is measured, and what happens to solvers that hang, crash or misbehave."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np
import pytest

from otlabel.bench import process
from otlabel.bench.own import methods
from otlabel.bench.peers import Answer, Peer
from otlabel.bench.problems import Source, made


@dataclass(frozen=True)
class Crashing(Source):
    def load(self):
        os._exit(3)


@dataclass(frozen=True)
class Broken(Source):
    def load(self):
        raise OSError("the disk is gone")


def job(name: str, source: Source | None = None, cap: float = 5.0, repeat: int = 2) -> process.Job:
    return process.Job(name, source or made("broad", 300, 6), 1 / 25, 1e-4, cap, repeat)


def test_a_row_describes_itself():
    row = process.measure(job("otlabel numpy balanced"))
    facts = {"method", "scores", "n", "k", "dtype", "seed", "epsilon", "tol", "cap", "gigabytes", "balances"}
    assert facts <= set(row)
    assert (row["n"], row["k"], row["scores"]) == (300, 6, "mixture broad")
    assert row["gigabytes"] == pytest.approx(300 * 6 * 4 / 1e9)
    assert len(row["seconds"]) == 2


def test_one_read():
    row = process.measure(job(process.READ))
    assert row["status"] == "reached"
    assert 0 < row["seconds"][0] < 1


def test_a_solver_that_does_not_stop_is_killed():
    start = time.perf_counter()
    row = process.measure(job("SciPy assignment", made("first", 6000, 100), cap=0.2))
    assert row["status"] == "killed"
    assert row["seconds"] == []
    assert "0.2 s" in row["note"]
    assert time.perf_counter() - start < 60  # the assignment itself takes minutes; this is no timing


def test_a_crash_is_a_row():
    row = process.measure(job("SeLa textbook", Crashing("x", 10, 2, "float32")))
    assert row["status"] == "failed"
    assert "exit status 3" in row["note"]


def test_an_exception_is_a_row():
    row = process.measure(job("SeLa textbook", Broken("x", 10, 2, "float32")))
    assert row["status"] == "failed"
    assert "OSError: the disk is gone" in row["note"]


class Pipe:
    """Takes the place of the parent."""

    def send(self, message):
        self.last = message


def solved(monkeypatch, adapter, **changes):
    peer = Peer("fake", None, None, False, "", adapter)._replace(**changes)
    monkeypatch.setattr(process, "methods", lambda: {"fake": peer})
    scores = made("broad", 300, 6).load()
    return process._solves(job("fake"), scores, Pipe())


def test_who_changes_the_scores_fails(monkeypatch):
    def adapter(task):
        def solve():
            task.scores.flags.writeable = True
            task.scores[7, 3] += 1e-6
            return Answer(np.zeros(6))

        return solve

    row = solved(monkeypatch, adapter)
    assert row["status"] == "failed"
    assert "changed the scores" in row["note"]


def test_labels_that_are_not_balanced_have_no_time(monkeypatch):
    row = solved(monkeypatch, lambda task: lambda: Answer(labels=np.zeros(300, dtype=int)), balances=True)
    assert row["status"] == "missed"
    assert "seconds" not in row or not row["seconds"]
    assert (row["smallest"], row["largest"]) == (0, 300)


def test_potentials_that_are_off_have_no_time(monkeypatch):
    row = solved(monkeypatch, lambda task: lambda: Answer(np.zeros(6)))
    assert row["status"] == "missed"
    assert row["error"] > 1e-4


def test_warm_up_is_reported_and_not_timed(monkeypatch):
    answer = methods()["otlabel numpy argmax"]
    calls = []

    def adapter(task):
        time.sleep(0.2)
        solve = answer.adapter(task)

        def slow_at_first():
            if not calls:
                time.sleep(0.3)
            calls.append(1)
            return solve()

        return slow_at_first

    row = solved(monkeypatch, adapter)
    assert row["status"] == "reached"
    assert len(calls) == 3
    assert row["warmup"] >= 0.5 - 0.1


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="the system does not tell a process's peak")
def test_peak_memory_is_that_of_the_solve():
    held = np.ones(1 << 24)  # 128 MiB that were there before
    _, _, peak = process._timed(lambda: float(np.ones(1 << 23).sum()))  # 64 MiB, given back at once
    assert peak == pytest.approx(64, abs=16)
    assert held[0] == 1


def test_repetitions_end_when_there_is_enough():
    enough = process.Job("otlabel numpy argmax", made("broad", 300, 6), 1 / 25, 1e-4, 5.0, 50, enough=1e-6)
    assert len(process.measure(enough)["seconds"]) == 1
