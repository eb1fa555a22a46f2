"""Scores from features and from disk give what the same scores in memory give."""

from __future__ import annotations

import tempfile

import h5py
import numpy as np
import pytest
import threadpoolctl
import zarr

import otlabel
from otlabel import backends
from otlabel._input import sources

SETTINGS = dict(epsilon=0.2, tol=1e-9)


def same(found, truth):
    np.testing.assert_array_equal(found.labels, truth.labels)
    np.testing.assert_allclose(found.potentials, truth.potentials, atol=1e-10)
    np.testing.assert_array_equal(found.sizes, truth.sizes)
    np.testing.assert_allclose(found.plan([5, 0, -5, 5]), truth.plan([5, 0, -5, 5]), rtol=1e-9)
    assert found.plan([]).shape == truth.plan([]).shape
    with pytest.raises(IndexError, match="out of bounds"):
        found.plan(700)


@pytest.fixture
def scores(rng):
    return rng.normal(size=(700, 30)).astype(np.float32)


def test_memmap(backend, scores, tmp_path):
    np.save(tmp_path / "scores.npy", scores)
    mapped = np.load(tmp_path / "scores.npy", mmap_mode="r", allow_pickle=False)
    same(otlabel.assign(mapped, backend=backend, **SETTINGS), otlabel.assign(scores, backend=backend, **SETTINGS))


def test_h5py(backend, scores, tmp_path):
    with h5py.File(tmp_path / "scores.h5", "w") as file:
        for chunks in (None, (64, 30)):
            stored = file.create_dataset(f"scores{chunks}", data=scores, chunks=chunks)
            found = otlabel.assign(stored, backend=backend, **SETTINGS)
            same(found, otlabel.assign(scores, backend=backend, **SETTINGS))


def test_zarr(backend, scores, tmp_path):
    stored = zarr.create_array(tmp_path / "scores.zarr", shape=scores.shape, chunks=(100, 30), dtype="float32")
    stored[:] = scores
    same(otlabel.assign(stored, backend=backend, **SETTINGS), otlabel.assign(scores, backend=backend, **SETTINGS))


def chunks_of(scores):
    return (scores[start : start + 150] for start in range(0, len(scores), 150))


def test_chunks_are_read_once_and_kept_in_a_temporary_file(backend, scores, tmp_path, monkeypatch):
    asked = []

    def factory():
        asked.append(1)
        return chunks_of(scores)

    truth = otlabel.assign(scores, backend=backend, **SETTINGS)  # which may compile something in the usual place
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    same(otlabel.assign(factory, backend=backend, **SETTINGS), truth)
    same(otlabel.assign(chunks_of(scores), backend=backend, **SETTINGS), truth)
    assert len(asked) == 1
    assert not list(tmp_path.iterdir())


def test_chunks_of_tensors(scores):
    torch = pytest.importorskip("torch")
    found = otlabel.assign((torch.from_numpy(chunk).bfloat16() for chunk in chunks_of(scores)), **SETTINGS)
    truth = otlabel.assign(torch.from_numpy(scores).bfloat16(), **SETTINGS)
    np.testing.assert_array_equal(found.labels, truth.labels.numpy())


def test_a_store_is_copied_where_single_rows_are_needed(scores, tmp_path):
    stored = zarr.create_array(tmp_path / "scores.zarr", shape=scores.shape, chunks=(100, 30), dtype="float32")
    stored[:] = scores
    kernels = backends.load("numba").Kernels(sources.Stored(stored), 5.0, np.full(700, 1 / 700), 10.0)
    moves = [np.arange(0, 700, 7), np.arange(1, 700, 9)], np.array([3, 5])
    for found, truth in zip(kernels.seekable().regrets(*moves), kernels.regrets(*moves), strict=True):
        np.testing.assert_array_equal(found, truth)
    assert isinstance(kernels.seekable().source, sources.Spooled)


def test_linear_scores(backend, rng):
    # Integers, so that the products are exact in any order and on any block.
    features, weight = rng.integers(-8, 9, size=(600, 20)).astype(np.float32), rng.integers(-8, 9, size=(12, 20))
    bias = rng.integers(-8, 9, size=12)
    source = otlabel.LinearScores(features, weight.astype(np.float32), bias)
    assert source.shape == (600, 12)
    truth = otlabel.assign(features @ weight.T.astype(np.float32) + bias.astype(np.float32), epsilon=20.0, tol=1e-9)
    found = otlabel.assign(source, k=12, epsilon=20.0, tol=1e-9, backend=backend)
    np.testing.assert_allclose(found.potentials, truth.potentials, atol=1e-8)
    np.testing.assert_array_equal(found.predict(source), truth.predict(source))
    assert found.gap == pytest.approx(0, abs=1e-9)
    np.testing.assert_array_equal(found.sizes, 50)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [30, 700])
def test_linear_scores_are_the_same_bits_whether_they_are_kept_or_not(rng, monkeypatch, dtype, k):
    features, weight = rng.normal(size=(3001, 24)).astype(dtype), rng.normal(size=(k, 24)).astype(dtype)
    results, threads = [], ("1", "3", "2")
    for share, count in zip((0.5, 0.5, 0.0), threads, strict=True):
        monkeypatch.setenv("OTLABEL_NUM_THREADS", count)
        monkeypatch.setattr(sources, "_KEPT", share)
        results.append(otlabel.assign(otlabel.LinearScores(features, weight), epsilon=1.0))
    for result in results[1:]:
        for name in ("labels", "potentials", "n_sweeps", "error", "gap", "engine"):
            np.testing.assert_array_equal(getattr(result, name), getattr(results[0], name))
    assert abs(results[0].gap) < 1e-12
    source = otlabel.LinearScores(features, weight)
    whole = source.kept().array
    np.testing.assert_array_equal(source[0:3001], whole)
    np.testing.assert_array_equal(source[100:150], whole[100:150])
    for rows in (np.array([5, 3000, 5, 127, 128]), np.array([], dtype=int), slice(3001, 3001)):
        np.testing.assert_array_equal(source[rows], whole[rows])
    assert results[0].plan([7])[0] == pytest.approx(results[2].plan([7])[0], abs=0)
    np.testing.assert_allclose(whole, features @ weight.T, atol=1e-4)


def test_a_product_takes_one_blas_thread_and_gives_the_others_back(rng):
    def count():
        return {library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"}

    before, inside = count(), set()
    source = otlabel.LinearScores(rng.normal(size=(300, 8)), rng.normal(size=(5, 8)))
    product = source._product
    source._product = lambda *rows: inside.update(count()) or product(*rows)
    otlabel.assign(source)
    assert inside == {1}
    assert count() == before


def test_linear_scores_of_a_torch_layer(rng):
    torch = pytest.importorskip("torch")
    layer, features = torch.nn.Linear(16, 10), torch.randn(300, 16)
    found = otlabel.assign(otlabel.LinearScores(features, layer.weight, layer.bias), epsilon=0.1)
    truth = otlabel.assign(layer(features), epsilon=0.1)
    np.testing.assert_allclose(found.potentials, truth.potentials, atol=1e-3)
    assert np.mean(found.labels == truth.labels.numpy()) > 0.99


def test_mistakes_are_explained(rng):
    with pytest.raises(ValueError, match=r"must agree in d, got shapes \(5, 3\) and \(4, 2\)"):
        otlabel.LinearScores(np.ones((5, 3)), np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"bias must have shape \(4,\), one number a label, got \(3,\)"):
        otlabel.LinearScores(np.ones((5, 3)), np.ones((4, 3)), np.ones(3))
    with pytest.raises(ValueError, match="got nan in row 2, column 0"):
        otlabel.assign(otlabel.LinearScores(np.array([[1.0], [2.0], [np.nan]]), np.ones((2, 1))))
    with pytest.raises(ValueError, match=r"got chunk 1 of shape \(2, 5\), float64 after shape \(2, 3\), float64"):
        otlabel.assign(iter([np.ones((2, 3)), np.ones((2, 5))]))
    with pytest.raises(ValueError, match=r"at least one item and one label, got none\. Is the reader used up"):
        otlabel.assign(iter([]))
    with pytest.raises(ValueError, match="got nan in row 3, column 1"):
        otlabel.assign(iter([np.ones((2, 3)), np.array([[1, 1, 1], [1, np.nan, 1]])]))
