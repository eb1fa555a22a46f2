"""The lists of a survey on a device, where there is no room for them."""

from __future__ import annotations

import collections

import numpy as np
import oracle
import pytest
from environment import BACKENDS

import otlabel
from otlabel.backends.gpu import kernels as gpu
from otlabel.bench.problems import mixture


@pytest.mark.parametrize("block", [1 << 12, gpu.Sizes.block])
@pytest.mark.parametrize("backend", [name for name in BACKENDS if name in ("torch", "cupy")], indirect=True)
def test_lists_that_do_not_fit_are_not_made(kernels_of, rng, monkeypatch, block):
    monkeypatch.setattr(gpu.Kernels, "sizes", gpu.Sizes(block=block))
    scores, g = rng.normal(size=(5000, 12)).astype(np.float32), rng.normal(size=12) * 3
    a = rng.dirichlet(np.ones(5000))
    kernels = kernels_of(scores, 0.5, a)
    whole = kernels.shortlist(g, 3.0)
    monkeypatch.setattr(gpu.Kernels, "sizes", gpu.Sizes(lists=1000, lists_of_scores=1e-9, block=block))
    for name, part in kernels.shortlist(g, 3.0)._asdict().items():
        np.testing.assert_array_equal(part, getattr(whole, name))
    survey = kernels.survey(g, 3.0, True)
    assert survey.density == 1.0
    new = g + rng.normal(size=12)
    logsumexp, c = survey.sweep(new)  # of all scores then
    np.testing.assert_allclose(c, oracle.plan(scores, 0.5, new, a).sum(axis=0).astype(float), rtol=1e-12)
    assert logsumexp == pytest.approx(float(oracle.logsumexp(scores, 0.5, new, a)), rel=1e-13)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name in ("torch", "cupy")], indirect=True)
def test_rows_of_any_length_are_summed(kernels_of, rng):
    """A warp looks at 32 entries at once: rows of one, of as many, of one more and of all."""
    k, lengths = 130, np.array([1, 2, 31, 32, 33, 64, 65, 130])
    scores = np.where(np.arange(k) < lengths[:, None], rng.normal(size=(8, k)), -50.0).astype(np.float32)
    scores = rng.permuted(scores, axis=1)
    a, g = rng.dirichlet(np.ones(8)), 0.1 * rng.normal(size=k)
    survey = kernels_of(scores, 1.0, a).survey(g, 20.0, True)
    assert survey.density == pytest.approx(lengths.sum() / (8 * k))
    new = g + 0.1 * rng.normal(size=k)
    logsumexp, c = survey.sweep(new)
    np.testing.assert_allclose(c, oracle.plan(scores, 1.0, new, a).sum(axis=0).astype(float), rtol=1e-11, atol=1e-15)
    assert logsumexp == pytest.approx(float(oracle.logsumexp(scores, 1.0, new, a)), rel=1e-12)


@pytest.mark.parametrize(
    ("n", "k", "regime", "evaluations", "surveys", "regrets"),
    [(3000, 300, "peaked", 119, 4, 0), (4096, 600, "broad", 151, 5, 0), (600, 450, "broad", 90, 8, 13)],
)
def test_a_solve_asks_the_device_so_many_times(monkeypatch, n, k, regime, evaluations, surveys, regrets):
    """Each is a kernel and a way there and back, which is what small problems take on a GPU: a tenth more, at most."""
    asked: collections.Counter = collections.Counter()

    def counting(owner, name):
        usual = getattr(owner, name)

        def counted(self, *arguments):
            asked[f"{owner.__name__}.{name}"] += 1
            return usual(self, *arguments)

        monkeypatch.setattr(owner, name, counted)

    counting(gpu.Survey, "sweep")
    counting(gpu.Kernels, "survey")
    counting(gpu.Kernels, "regrets")
    monkeypatch.setattr(gpu.Kernels, "sizes", gpu.Sizes(fetched=0))
    result = otlabel.assign(mixture(n, k, regime), backend="torch")
    assert result.gap <= 1e-9
    assert asked["Survey.sweep"] <= 1.1 * evaluations
    assert asked["Kernels.survey"] <= surveys
    assert asked["Kernels.regrets"] <= 1.1 * regrets
