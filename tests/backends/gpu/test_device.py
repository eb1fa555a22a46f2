"""The way of scores that are on a device, taken by CPU tensors: used where they are, and labels brought back there.

On a machine with a GPU the same tests run on it.
"""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
import torch

import otlabel
from otlabel._arrays import libraries
from otlabel._input.sources import InMemory
from otlabel.backends import place_of
from otlabel.backends import torch as backend_torch
from otlabel.backends.gpu import kernels as gpu

PLACE = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


@pytest.fixture(autouse=True)
def tensors_count_as_on_a_device(monkeypatch):
    monkeypatch.setattr(backend_torch.Library, "host", frozenset())


@pytest.fixture(autouse=True)
def fetch(monkeypatch):
    """None are fetched, however few they are; what is by default has tests of its own, which call this."""

    def up_to(most):
        monkeypatch.setattr(backend_torch.Library, "fetched", lambda library, device: most)

    up_to(0)
    return up_to


@pytest.fixture
def generator(rng):
    return torch.Generator().manual_seed(int(rng.integers(2**31)))


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int16, torch.bool]
)
def test_tensors_stay_where_they_are(generator, dtype):
    scores = (torch.randn(120, 6, generator=generator) * 3).to(dtype).to(PLACE)
    result = otlabel.assign(scores, epsilon=0.5)
    assert result.backend == "torch"
    assert isinstance(result.labels, torch.Tensor)
    assert result.labels.device.type == PLACE.type
    assert set(result.sizes) == {20}
    wide = scores.double().cpu().numpy()
    found = wide[np.arange(120), result.labels.cpu()].sum()
    assert found == pytest.approx(oracle.best_balanced_score(wide, np.full(6, 1 / 6)), abs=1e-9 * np.abs(wide).sum())
    uniform = np.full(120, 1 / 120)
    truth = oracle.error(wide, 0.5, result.potentials, uniform, 1 / 6)
    assert result.error == pytest.approx(truth, rel=0.01, abs=1e-9)
    new = scores[:7]
    assert result.predict(new).device.type == PLACE.type
    np.testing.assert_array_equal(result.predict(new).cpu(), (2 * wide[:7] + result.potentials).argmax(axis=1))
    np.testing.assert_allclose(
        result.plan([3, 5]), oracle.plan(wide, 0.5, result.potentials, uniform)[[3, 5]].astype(float)
    )


def test_layouts_heads_and_gradients(generator):
    wide = torch.randn(2, 90, 10, generator=generator, dtype=torch.float64).to(PLACE)
    plain = otlabel.assign(wide[..., ::2].contiguous(), epsilon=0.5, tol=1e-9)
    strided = otlabel.assign(wide[..., ::2].requires_grad_(), epsilon=0.5, tol=1e-9)
    assert strided.labels.shape == (2, 90)
    assert torch.equal(plain.labels, strided.labels)
    transposed = wide[0].T.contiguous().T
    assert torch.equal(otlabel.assign(transposed).labels, otlabel.assign(wide[0]).labels)


def test_marginals_may_be_on_the_device(generator):
    scores = torch.randn(60, 4, generator=generator).to(PLACE)
    b = torch.tensor([0.5, 0.25, 0.25, 0.0], device=PLACE)
    a = torch.full((60,), 1 / 60, device=PLACE, dtype=torch.float64)
    assert otlabel.assign(scores, a=a, b=b).sizes.tolist() == [30, 15, 15, 0]


def test_forbidden_labels(generator):
    scores = torch.randn(200, 8, generator=generator).to(PLACE)
    allowed = torch.rand(200, 8, generator=generator).to(PLACE) < 0.7
    allowed[:, 0] = True
    labels = otlabel.assign(scores.where(allowed, -torch.inf), epsilon=0.5).labels
    assert allowed.gather(1, labels[:, None]).all()
    with pytest.raises(ValueError, match="every label that is to have items needs one that may have it, but label 2"):
        otlabel.assign(torch.where(torch.arange(8, device=PLACE) == 2, -torch.inf, scores))
    with pytest.raises(ValueError, match="but row 7 has none"):
        otlabel.assign(torch.where(torch.arange(200, device=PLACE)[:, None] == 7, -torch.inf, scores))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_bad_scores_are_named(generator, value):
    scores = torch.randn(2, 50, 4, generator=generator).to(PLACE)
    scores[1, 33, 2] = value
    with pytest.raises(ValueError, match=f"got {value} in row 33 of head 1, column 2"):
        otlabel.assign(scores)


@pytest.mark.parametrize("tensor", [torch.zeros(3, 2, dtype=torch.complex64), torch.eye(3).to_sparse()])
def test_tensors_that_are_no_dense_numbers(tensor):
    with pytest.raises(TypeError, match="logits must be a dense tensor of real numbers"):
        otlabel.assign(tensor.to(PLACE))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("has_bias", [True, False])
def test_linear_scores_are_computed_there(generator, monkeypatch, dtype, has_bias):
    monkeypatch.setattr(gpu.Kernels, "sizes", gpu.Sizes(block=1 << 10))
    features, weight = (torch.randn(n, 16, generator=generator).to(PLACE, dtype) for n in (150, 5))
    bias = torch.randn(5, generator=generator).to(PLACE, dtype) if has_bias else None
    scores = otlabel.LinearScores(features, weight, bias)
    result = otlabel.assign(scores, epsilon=0.5, tol=1e-6)
    assert result.backend == "torch"
    assert set(result.sizes) == {30}
    dense = (features.double() @ weight.double().T + (0 if bias is None else bias.double())).cpu().numpy()
    assert scores[:2].dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    truth = oracle.error(dense, 0.5, result.potentials, np.full(150, 1 / 150), 0.2)
    assert truth == pytest.approx(result.error, abs=2e-5)
    assert result.predict(scores).device.type == PLACE.type


def test_a_source_of_one_s_own_is_computed_there(generator):
    class Distances(otlabel.ScoreSource):
        def __init__(self, points, centres):
            self.points, self.centres = points, centres
            self.shape, self.place = (len(points), len(centres)), place_of(points)

        def rows(self, index):
            return -((self.points[index, None] - self.centres) ** 2).sum(dim=2)

    source = Distances(*(torch.randn(n, 3, generator=generator, dtype=torch.float64).to(PLACE) for n in (150, 5)))
    result, truth = otlabel.assign(source, epsilon=0.5), otlabel.assign(source[:], epsilon=0.5)
    assert result.backend == "torch"
    assert result.labels.device.type == PLACE.type
    assert torch.equal(result.labels, truth.labels)


def test_linear_scores_use_no_tf32_and_leave_the_setting_alone(generator, monkeypatch):
    matmul, product, asked = torch.backends.cuda.matmul, torch.addmm, []
    monkeypatch.setattr(torch, "addmm", lambda *rest: (asked.append(matmul.fp32_precision), product(*rest))[1])
    features, weight = (torch.randn(n, 8, generator=generator).to(PLACE) for n in (40, 4))
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        otlabel.assign(otlabel.LinearScores(features, weight))
        assert set(asked) == {"ieee"}
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before


def test_linear_scores_are_float32_under_autocast_too(generator):
    features, weight = (torch.randn(n, 8, generator=generator).to(PLACE) for n in (40, 4))
    scores = otlabel.LinearScores(features, weight)
    with torch.autocast(PLACE.type, dtype=torch.bfloat16):
        found = scores[:10]
    assert torch.equal(found, scores[:10])
    assert found.dtype == torch.float32


def test_indices_out_of_range_are_an_error_of_the_host(generator):
    result = otlabel.assign(torch.randn(40, 4, generator=generator).to(PLACE))
    with pytest.raises(IndexError):
        result.plan([40])
    assert result.plan([39]).shape == (1, 4)


def test_parts_of_linear_scores_belong_together(generator):
    features = torch.randn(40, 8, generator=generator).to(PLACE)
    with pytest.raises(ValueError, match=r"weight must be where the features are, torch on .*, got ndarray"):
        otlabel.LinearScores(features, np.zeros((4, 8)))


def test_other_backends_say_that_they_cannot_read_there(generator):
    with pytest.raises(
        ValueError, match=r"backend 'numba' cannot read scores of torch on a device. Pass backend='auto'"
    ):
        otlabel.assign(torch.randn(20, 4, generator=generator).to(PLACE), backend="numba")


def test_out_of_memory_says_what_is_needed(monkeypatch, generator):
    class Full(backend_torch.Plain):
        def __init__(self, place):
            super().__init__(torch.device("cuda"))

        def upload(self, array):
            raise torch.cuda.OutOfMemoryError("tried to allocate")

    monkeypatch.setattr(backend_torch, "Plain", Full)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**20, 2**30))
    monkeypatch.setattr(torch.cuda, "device", lambda place: torch.autograd.profiler.record_function("place"))
    with pytest.raises(MemoryError, match=r"cuda has 1 of 1,024 MiB free, .* Keep the scores in host memory"):
        otlabel.assign(torch.randn(20, 4, generator=generator))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: pinned memory that is streamed to it")
def test_pinned_scores_are_streamed(generator, monkeypatch):
    monkeypatch.setattr(backend_torch.Library, "host", frozenset({"cpu"}))
    monkeypatch.setattr(gpu.Kernels, "sizes", gpu.Sizes(block=1 << 12, computed=1 << 13))
    scores = torch.randn(3000, 20, generator=generator)
    streamed = otlabel.assign(scores.pin_memory(), backend="torch")
    assert streamed.labels.device.type == "cpu"
    assert streamed._kernels[0].engine.place.type == "cuda"
    assert torch.equal(streamed.labels, otlabel.assign(scores).labels)


def test_runs_are_bit_identical(generator):
    scores = torch.randn(5000, 30, generator=generator).to(PLACE)
    first, second = (otlabel.assign(scores, epsilon=0.2) for _ in range(2))
    np.testing.assert_array_equal(first.potentials, second.potentials)
    assert torch.equal(first.labels, second.labels)
    assert first.error == second.error


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool])
def test_few_scores_are_labelled_on_the_host_and_labels_go_back(generator, fetch, dtype):
    scores = (torch.randn(300, 12, generator=generator) * 3).to(dtype).to(PLACE)
    fetch(libraries.FEW)
    result = otlabel.assign(scores, epsilon=0.5)
    assert result.backend == "numba"
    assert result.labels.device.type == PLACE.type
    wide = scores.double().cpu().numpy()
    truth = otlabel.assign(wide, epsilon=0.5)
    labels = result.labels.cpu().numpy()
    found, best = (wide[np.arange(300), own].sum() for own in (labels, truth.labels))
    assert found == pytest.approx(best, rel=1e-12)
    uniform = np.full(300, 1 / 300)
    plan = result.plan([3, 5])  # of the caller's own scores
    np.testing.assert_allclose(plan, oracle.plan(wide, 0.5, result.potentials, uniform)[[3, 5]].astype(float))


def test_what_is_fetched_may_be_computed_forbidden_known_or_left_out(generator, fetch):
    features, weight = (torch.randn(n, 5, generator=generator, dtype=torch.float64) for n in (200, 8))
    source = otlabel.LinearScores(features.to(PLACE), weight.to(PLACE))
    scores = source[:]
    allowed = torch.rand(200, 8, generator=generator).to(PLACE) < 0.7
    forbidden = scores.where(allowed, -torch.inf)
    known = np.where(np.arange(200) < 40, np.arange(200) % 8, -1)
    heads = torch.stack([scores, -scores])
    for given, options in (
        (source, {}),
        (forbidden, {}),
        (scores, {"known": known}),
        (scores, {"coverage": 0.8}),
        (scores, {"size_min": 20, "size_max": 40}),
        (heads, {}),
    ):
        fetch(0)
        there = otlabel.assign(given, epsilon=0.5, **options)
        fetch(libraries.FEW)
        here = otlabel.assign(given, epsilon=0.5, **options)
        assert (there.backend, here.backend) == ("torch", "numba")
        assert here.labels.device == there.labels.device
        assert torch.equal(here.labels, there.labels)
        np.testing.assert_array_equal(here.sizes, there.sizes)


def test_a_backend_that_is_named_is_taken_and_many_scores_stay(generator, fetch):
    scores = torch.randn(64, 4, generator=generator).to(PLACE)
    fetch(64 * 4)
    assert otlabel.assign(scores).backend == "numba"
    assert otlabel.assign(scores, backend="torch").backend == "torch"
    assert otlabel.assign(torch.cat([scores, scores])).backend == "torch"


def test_all_scores_are_fetched_where_a_device_has_no_kernels(generator, monkeypatch, fetch):
    scores = torch.randn(64, 4, generator=generator).to(PLACE)
    truth = otlabel.assign(scores)
    fetch(math.inf)
    found = otlabel.assign(scores)
    assert (truth.backend, found.backend) == ("torch", "numba")
    assert torch.equal(found.labels, truth.labels)
    named = otlabel.assign(scores, backend="torch")  # then in host memory, block by block
    assert named.backend == "torch"
    assert torch.equal(named.labels, truth.labels)
    monkeypatch.undo()
    assert backend_torch.Library().fetched(torch.device("mps")) == math.inf  # Metal's, which has no float64
    assert backend_torch.Library().fetched(torch.device("cuda")) == libraries.FEW


@pytest.mark.parametrize("fetched", [0, 256 << 20])
def test_rounding_may_look_at_single_rows_on_the_host(generator, monkeypatch, fetched):
    """With a label for every second item the search for paths goes over the whole matrix."""
    monkeypatch.setattr(gpu.Kernels, "sizes", gpu.Sizes(fetched=fetched))
    scores = torch.randn(240, 120, generator=generator, dtype=torch.float32).to(PLACE)
    result = otlabel.assign(scores, epsilon=0.04)
    assert set(result.sizes) == {2}
    wide = scores.double().cpu().numpy()
    found = wide[np.arange(240), result.labels.cpu()].sum()
    assert found == pytest.approx(oracle.best_balanced_score(wide, np.full(120, 1 / 120)), rel=1e-12)
    kernels = backend_torch.Kernels(InMemory(scores), 25.0, np.full(240, 1 / 240), 5.0)
    assert (kernels.seekable() is kernels) == (fetched == 0)
