"""otlabel-bench cluster, and what an inverted file finds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from otlabel.bench import clusters, inverted, machine
from otlabel.bench.cli import main


def test_recall_of_an_inverted_file_is_that_of_a_search(rng):
    """Against a search cluster by cluster, for every number of clusters."""
    points, queries, centres = rng.normal(size=(300, 3)), rng.normal(size=(20, 3)), rng.normal(size=(6, 3))
    labels = rng.integers(0, 6, 300)
    apart = ((queries[:, None] - points[None]) ** 2).sum(axis=2)
    truth = inverted.neighbours(points, queries)
    np.testing.assert_array_equal(np.sort(truth), np.sort(np.argsort(apart, axis=1)[:, :10]))
    nearest = np.argsort(((queries[:, None] - centres[None]) ** 2).sum(axis=2), axis=1)
    for looked in range(1, 7):
        scanned, found = [], []
        for query in range(20):
            inside = np.isin(labels, nearest[query, :looked])
            scanned.append(inside.mean())
            found.append(inside[truth[query]].mean())
        got = inverted.recall(labels, centres, queries, truth, (float(np.mean(scanned)),))
        assert got == [pytest.approx(np.mean(found))]


def test_the_command_shows_all_that_are_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "limit_threads", lambda count: None)
    points = clusters.clouds(600, 4, 5, 0)
    np.save(tmp_path / "p.npy", points)
    file = tmp_path / "rows.json"
    done = CliRunner().invoke(main, ["cluster", "--data", str(tmp_path / "p.npy"), "--k", "5", "--json", str(file)])
    assert done.exit_code == 0, done.output
    rows = {row["method"]: row for row in json.loads(file.read_text())["rows"]}
    for method in clusters.METHODS:
        if not machine.installed(method.package):
            continue
        assert method.name in done.output
        row = rows[method.name]
        assert "note" not in row, row
        if method.has_equal_sizes:
            assert (row["smallest"], row["largest"]) == (108, 108)
        assert 0 < row["recall"][0] <= row["recall"][1] <= 1
    assert rows["otlabel, sizes 1/2 to 2"]["largest"] <= 217


def test_what_takes_too_long_or_fails_has_no_time(monkeypatch):
    monkeypatch.setattr(clusters, "METHODS", clusters.METHODS[3:4])
    row = clusters.run("points", clusters.clouds(200, 2, 3, 0), 3, 1, cap=-1.0)[0]
    assert row["note"] == "more than -1 s"
    row = clusters.run("points", np.full((200, 2), np.nan), 3, 1, cap=60.0)[0]
    assert row["note"].startswith("ValueError: ")
    assert clusters.cells([row])[0][-1] == row["note"]
