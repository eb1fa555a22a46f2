"""The lists of a survey on a device, where there is no room for them."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from environment import BACKENDS

from otlabel.backends.gpu import kernels as gpu


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
