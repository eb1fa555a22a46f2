"""One row, one process: what is measured, and what happens to solvers that hang, crash or misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from otlabel.bench import process
from otlabel.bench.own import methods
from otlabel.bench.peers.task import Answer, Peer
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
    _, _, peak = process.timed(lambda: float(np.ones(1 << 23).sum()))  # 64 MiB, given back at once
    assert peak == pytest.approx(64, abs=16)
    assert held[0] == 1


def test_who_takes_longer_than_the_cap_is_capped_though_it_ends(monkeypatch):
    answer = methods()["otlabel numpy argmax"]

    def adapter(task):
        solve = answer.adapter(task)
        return lambda: (time.sleep(0.3), solve())[1]

    peer = Peer("fake", None, None, False, "", adapter)
    monkeypatch.setattr(process, "methods", lambda: {"fake": peer})
    slow = process._solves(job("fake", cap=0.2), made("broad", 300, 6).load(), Pipe())
    assert (slow["status"], slow.get("seconds", [])) == ("capped", [])
    assert slow["stopped_after"] > 0.2


@dataclass(frozen=True)
class Slow(Source):
    def load(self):
        with open(self.path, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(60)
        return super().load()


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="only Linux ends the children of processes that are gone")
def test_nothing_outlives_a_command_that_is_killed(tmp_path):
    script = tmp_path / "command.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_process import Slow, process\n"
        "if __name__ == '__main__':\n"
        f"    source = Slow('x', 10, 2, 'float32', path={str(tmp_path / 'pid')!r})\n"
        "    process.measure(process.Job('SeLa textbook', source, 0.04, 1e-4, 5.0, 1))\n"
    )
    command = subprocess.Popen([sys.executable, str(script)])
    try:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    finally:
        command.kill()
        command.wait()
    child = f"/proc/{(tmp_path / 'pid').read_text()}"
    wait_for(lambda: not os.path.exists(child), 20)  # it would sleep for a minute


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_repetitions_end_when_there_is_enough():
    enough = process.Job("otlabel numpy argmax", made("broad", 300, 6), 1 / 25, 1e-4, 5.0, 50, enough=1e-6)
    assert len(process.measure(enough)["seconds"]) == 1
