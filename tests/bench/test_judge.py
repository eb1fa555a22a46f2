"""The judge, against definitions written down a second time and SciPy's exact assignment."""

from __future__ import annotations

import numpy as np
import oracle
import pytest

from otlabel.bench import judge as judging
from otlabel.bench.judge import judge


@pytest.fixture
def scores():
    return np.random.default_rng().normal(size=(90, 7)).astype(np.float32)


def test_error_and_sizes_of_potentials(scores, monkeypatch):
    monkeypatch.setattr(judging, "BLOCK", 100)  # several blocks, the last one short
    g = np.random.default_rng().normal(size=7)
    verdict = judge(scores, 0.1, g, None)
    plan = oracle.plan(scores.astype(np.float64), 0.1, g, np.full(90, 1 / 90))
    assert verdict.error == pytest.approx(np.abs(plan.sum(axis=0) - 1 / 7).sum(), rel=1e-12)
    labels = plan.argmax(axis=1)
    assert (verdict.smallest, verdict.largest) == (np.bincount(labels, minlength=7).min(), np.bincount(labels).max())
    assert verdict.score == pytest.approx((scores[np.arange(90), labels] / 0.1).mean(dtype=np.float64), rel=1e-6)


def test_labels_are_judged_as_they_are(scores):
    labels = np.arange(90) % 7
    verdict = judge(scores, 1.0, None, labels)
    assert verdict.error is None
    assert verdict.bound is None
    assert (verdict.smallest, verdict.largest) == (12, 13)
    assert verdict.score == pytest.approx(scores[np.arange(90), labels].mean(dtype=np.float64), rel=1e-6)


def test_no_balanced_labels_score_more_than_the_bound(scores):
    best = oracle.best_balanced_score(scores, np.full(7, 1 / 7)) / 90
    for scale in (0.0, 0.3, 3.0):
        g = scale * np.random.default_rng().normal(size=7)
        bound = judge(scores, 1.0, g, None).bound
        assert bound is not None
        assert bound >= best - 1e-9


def test_columns_are_those_of_the_oracle(rng):
    scores, g, a = rng.normal(size=(90, 7)) * 20, rng.normal(size=7), rng.dirichlet(np.ones(90))
    truth = oracle.plan(scores, 0.1, g, a).sum(axis=0)
    np.testing.assert_allclose(judging.columns(scores, 0.1, g, a).astype(float), truth.astype(float), rtol=1e-15)
