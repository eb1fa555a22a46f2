"""The scripts that measure: that they run, and see a difference."""

from __future__ import annotations

import sys

from benchmarks import clusters, cost_ratios, tuning
from otlabel._solver.tuning import DEFAULT
from otlabel.bench.problems import mixture


def test_a_number_is_halved_and_doubled(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(tuning, "problems", lambda logits: [mixture(2000, 40, "peaked"), mixture(2000, 40, "broad")])
    monkeypatch.setattr(sys, "argv", ["tuning", "--only", "margin", "floor", "--json", str(tmp_path / "rows.json")])
    tuning.main()
    shown = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()[2:]}
    assert shown["floor"] == ["1.000", "1.000"]
    assert shown["margin"] != ["1.000", "1.000"]
    assert (tmp_path / "rows.json").read_text().count("sweeps") == 4


def test_every_number_of_the_solver_has_a_half_and_a_double():
    rows = [(name, how) for name, how, _ in tuning.variants()]
    assert len(rows) == len(set(rows))
    assert ("listed", "half") in rows
    assert ("largest_square", "double") in rows
    for name, how, changed in tuning.variants():
        value, other = getattr(DEFAULT, name), getattr(changed, name)
        assert other == (value / 2 if how == "half" else value * 2) or (
            type(value) is int and abs(other - value / 2) < 1
        )


def test_clusters_are_compared(capsys):
    clusters.constrained(n=200, d=4, k=5, seeds=2)
    clusters.constrained(0.5, 2.0, n=200, d=4, k=5, seeds=1)
    clusters.kmeans(300, 3, 6)
    clusters.million(400, 3, 8)
    clusters.residual(400, 3, 8)
    shown = capsys.readouterr().out
    assert "| clouds | " in shown
    assert "sizes 50\n" in shown
    assert "sizes 20 to 80, 1 seeds" in shown


def test_ratios_are_numbers():
    entries, pairs, cubes = cost_ratios.ratios(500, 20, "broad")
    assert 1 <= entries <= 20
    assert pairs > 0
    assert cubes > 0
