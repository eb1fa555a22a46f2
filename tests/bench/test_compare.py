"""Verdicts: what counts as slower, and what is the machine's."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from otlabel.bench import suite
from otlabel.bench.cli import main
from otlabel.bench.compare import compare, machine

PEERS = ("OTT", "OTT momentum", "POT sinkhorn", "GeomLoss")


def row(method="otlabel numba argmax", seconds=(1.0, 1.02, 0.98), **changes):
    return {
        "method": method,
        "scores": "mixture broad",
        "n": 100,
        "k": 10,
        "dtype": "float32",
        "seed": 0,
        "epsilon": 0.04,
        "tol": 1e-4,
        "status": "reached" if seconds else "capped",
        "seconds": list(seconds),
        "sweeps": 10.0,
        "rounds": 3,
        "cap": 10.0,
        "read_seconds": 1e-3,
        "cpu": "one",
        "threads": 2,
        "gpus": [],
        "versions": {"otlabel": "1", "numpy": "2"},
    } | changes


def times(factor, seconds=(1.0, 1.02, 0.98)):
    return tuple(factor * each for each in seconds)


def verdict(a, b, *others):
    lines, _ = compare([a, *(old for old, _ in others)], [b, *(new for _, new in others)], margin=0.05)
    return lines[0].verdict, lines[0].regression


def test_the_same_is_within_noise():
    assert verdict(row(), row(seconds=(1.01, 0.99, 1.03))) == ("within noise", False)


def test_every_run_slower_is_slower_and_the_other_way_round():
    assert verdict(row(), row(seconds=times(1.3))) == ("slower", True)
    assert verdict(row(seconds=times(1.3)), row()) == ("faster", False)


def test_runs_that_overlap_prove_nothing():
    assert verdict(row(seconds=(1.0, 1.4, 1.0)), row(seconds=(1.5, 1.35, 1.5))) == ("within noise", False)


def test_few_rounds_prove_nothing():
    assert verdict(row(rounds=1), row(seconds=times(3), rounds=1)) == ("fewer than 3 rounds: noise unknown", False)


def test_sweeps_are_judged_whatever_the_clock_and_the_machine_say():
    assert verdict(row(), row(sweeps=10.5, rounds=1, cpu="two")) == ("more sweeps", True)
    assert verdict(row(), row(sweeps=10.05)) == ("within noise", False)


def test_times_of_other_machines_are_not_judged():
    for change in ({"cpu": "two"}, {"threads": 1}, {"gpus": ["H200"]}, {"cap": 1.0}):
        assert verdict(row(), row(seconds=(), **change)) == ("capped in B", False)
        assert verdict(row(), row(seconds=times(9), **change)) == ("other machine or cap: time not judged", False)


def test_no_longer_reaching_the_error_is_a_regression_of_otlabel_only():
    assert verdict(row(), row(seconds=())) == ("capped in B", True)
    assert verdict(row(seconds=()), row()) == ("capped in A, reached in B", False)
    assert verdict(row("OTT"), row("OTT", seconds=())) == ("capped in B", False)


def test_who_was_near_the_cap_may_be_late_by_accident():
    near = row(seconds=times(6))
    assert verdict(near, row(seconds=())) == ("capped in B, near the cap in A", False)
    assert verdict(near, row(seconds=(), status="missed")) == ("missed in B", True)


def test_rows_of_one_file_only_are_shown():
    lines, _ = compare([row()], [row(k=11)], margin=0.05)
    assert [line.verdict for line in lines] == ["only in A", "only in B"]
    assert not any(line.regression for line in lines)


def test_a_slower_machine_is_divided_out():
    witnesses = [(row(name), row(name, seconds=times(1.5))) for name in PEERS]
    assert verdict(row(), row(seconds=times(1.5)), *witnesses) == ("within noise", False)
    assert verdict(row(), row(seconds=times(3.0)), *witnesses) == ("slower", True)


def test_code_of_this_package_and_few_peers_are_no_witnesses():
    own = [(row(name), row(name, seconds=times(1.5))) for name in ("SeLa textbook", "SwAV, 3 iterations", *PEERS[:2])]
    assert machine(own) == (1.0, 0.0, 2)
    two = [(row(name, k=k), row(name, k=k, seconds=times(1.5))) for name in PEERS[:2] for k in (2, 3, 4)]
    assert machine(two).witnesses == 2


def test_a_moody_machine_hides_small_changes():
    witnesses = [(row(name), row(name, seconds=times(f))) for name, f in zip(PEERS, (0.7, 0.9, 1.1, 1.5), strict=True)]
    assert verdict(row(), row(seconds=times(1.3)), *witnesses) == ("within noise", False)


def test_peers_of_another_version_are_no_witnesses():
    other = {"otlabel": "1", "numpy": "3"}
    pairs = [(row(name), row(name, seconds=times(1.5), versions=other)) for name in PEERS]
    assert machine(pairs).witnesses == 0
    newer = {"otlabel": "2", "numpy": "2"}
    assert machine([(row(name), row(name, versions=newer)) for name in PEERS]).witnesses == 4


@pytest.mark.parametrize(("factor", "status"), [(1.0, 0), (2.0, 1)])
def test_the_exit_status(tmp_path, factor, status):
    suite.write(tmp_path / "a.json", [row()])
    suite.write(tmp_path / "b.json", [row(seconds=times(factor))])
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert done.exit_code == status, done.output
    assert ("slower" in done.output) == bool(status)
    assert f"1 rows, {status} worse" in done.output


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"otlabel-bench": 1, "rows": [{}]}',
        '{"otlabel-bench": 1, "rows": 3}',
        '{"otlabel-bench": 99, "rows": []}',
        json.dumps({"benchmarks": []}),
    ],
)
def test_other_files_are_refused(tmp_path, text):
    suite.write(tmp_path / "a.json", [row()])
    (tmp_path / "b.json").write_text(text)
    done = CliRunner().invoke(main, ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert done.exit_code == 2
    assert "must be a file that otlabel-bench wrote with --json" in " ".join(done.output.split())
