"""Arrays as people have them: masked, sparse, nullable, of other libraries."""

from __future__ import annotations

import h5py
import numpy as np
import pandas
import polars
import pyarrow
import pytest
import scipy.sparse
import zarr

import otlabel
from otlabel import LinearScores


@pytest.fixture
def scores(rng):
    return rng.normal(size=(60, 4)).astype(np.float32)


def test_masked_entries_are_forbidden(rng, scores):
    mask = rng.random(scores.shape) < 0.2
    mask[np.arange(60), rng.integers(0, 4, 60)] = False
    truth = otlabel.assign(np.where(mask, -np.inf, scores))
    np.testing.assert_array_equal(otlabel.assign(np.ma.array(scores, mask=mask)).labels, truth.labels)
    assert not mask[np.arange(60), truth.labels].any()
    chunks = otlabel.assign(iter([np.ma.array(scores[:20], mask=mask[:20]), np.ma.array(scores[20:], mask=mask[20:])]))
    np.testing.assert_array_equal(chunks.labels, truth.labels)
    whole = (10 * scores).astype(np.int8)
    found = otlabel.assign(np.ma.array(whole, mask=mask), epsilon=1.0)
    np.testing.assert_array_equal(found.labels, otlabel.assign(np.where(mask, -np.inf, whole), epsilon=1.0).labels)
    nothing = np.ma.array(scores, mask=False)
    np.testing.assert_array_equal(otlabel.assign(nothing).labels, otlabel.assign(scores).labels)


@pytest.mark.parametrize("name", ["a", "b", "init", "size_min", "known"])
def test_masked_numbers_elsewhere_are_named(scores, name):
    values = {"a": np.full(60, 1 / 60), "known": np.full(60, -1), "size_min": np.ones(4, dtype=int)}
    given = np.ma.array(values.get(name, np.full(4, 0.25)))
    given[1] = np.ma.masked
    with pytest.raises(ValueError, match=f"{name} must not have masked entries, got 1. Pass {name}.filled"):
        otlabel.assign(scores, **{name: given})
    with pytest.raises(ValueError, match="features must not have masked entries"):
        LinearScores(np.ma.masked_greater(scores, 0), np.ones((3, 4)))


@pytest.mark.parametrize("form", ["csr_array", "csc_matrix", "coo_array", "lil_matrix"])
def test_sparse_scores_forbid_what_is_not_stored(rng, scores, form):
    stored = rng.random(scores.shape) < 0.7
    stored[np.arange(60), rng.integers(0, 4, 60)] = True
    scores[3] = 0.0  # a stored 0 is a score
    sparse = scipy.sparse.coo_array((scores[stored], np.nonzero(stored)), shape=scores.shape)
    truth = otlabel.assign(np.where(stored, scores, -np.inf))
    given = getattr(scipy.sparse, form)(sparse)
    found = otlabel.assign(given)
    if form == "lil_matrix":
        assert given.nnz == sparse.nnz
    np.testing.assert_array_equal(found.labels, truth.labels)
    np.testing.assert_allclose(found.plan([1, 5]), truth.plan([1, 5]))
    np.testing.assert_array_equal(found.predict(sparse), truth.predict(np.where(stored, scores, -np.inf)))


def test_sparse_scores_may_be_many_and_of_any_kind(rng):
    n, k = 20_000, 500
    columns = np.concatenate([np.arange(n) % k, rng.integers(0, k, 5 * n)])
    rows = np.concatenate([np.arange(n), np.repeat(np.arange(n), 5)])
    sparse = scipy.sparse.coo_array((rng.integers(0, 100, 6 * n), (rows, columns)), shape=(n, k))  # doubles are added
    found = otlabel.assign(sparse, epsilon=5.0)
    assert set(found.sizes) == {40}
    assert abs(found.gap) < 1e-9
    dense = sparse.toarray()[np.arange(n), found.labels]
    assert (dense >= 0).all()
    with pytest.raises(TypeError, match="logits must hold real numbers"):
        otlabel.assign(scipy.sparse.csr_array(np.eye(3) * 1j))


def test_tables_of_numbers(scores):
    truth = otlabel.assign(scores).labels
    frame = pandas.DataFrame(scores, columns=list("abcd"))
    for table in (
        frame,
        frame.astype("Float64"),
        frame.astype("float32[pyarrow]"),
        polars.DataFrame(scores, schema=list("abcd")),
        pyarrow.Table.from_pandas(frame),
    ):
        np.testing.assert_array_equal(otlabel.assign(table).labels, truth)
    whole = (frame * 10).round().astype("Int64")
    np.testing.assert_array_equal(otlabel.assign(whole).labels, otlabel.assign(whole.to_numpy(np.float64)).labels)
    weights = pandas.Series(np.full(60, 1 / 60)).astype("Float64")
    np.testing.assert_array_equal(otlabel.assign(frame, a=weights).labels, truth)
    whole.iloc[3, 1] = pandas.NA
    with pytest.raises(ValueError, match="got nan in row 3, column 1"):
        otlabel.assign(whole)
    with pytest.raises(TypeError, match="must hold real numbers"):
        otlabel.assign(frame.astype(str))


@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_stores_that_hold_no_scores_are_named(tmp_path, scores):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("complex", data=scores.astype(complex), chunks=True)
        file.create_dataset("words", data=[["a", "b"]], chunks=True)
        file.create_dataset("pairs", data=np.zeros((4, 2), dtype=[("x", "f4"), ("y", "f4")]), chunks=True)
        file.create_dataset("heads", data=np.zeros((2, 4, 3)), chunks=True)
        for name in ("complex", "words", "pairs"):
            with pytest.raises(TypeError, match="logits must hold real numbers"):
                otlabel.assign(file[name])
        with pytest.raises(ValueError, match=r"where they are read from a store, got \(2, 4, 3\)"):
            otlabel.assign(file["heads"])
    with pytest.raises(TypeError, match="logits must hold real numbers"):
        otlabel.assign(zarr.array(np.array([["a", "b"]])))


def test_jax_arrays_come_back_as_such(scores):
    jax = pytest.importorskip("jax")
    found = otlabel.assign(jax.numpy.asarray(scores), b=jax.numpy.full(4, 0.25))
    assert isinstance(found.labels, jax.Array)
    np.testing.assert_array_equal(np.asarray(found.labels), otlabel.assign(scores).labels)
    assert isinstance(found.predict(jax.numpy.asarray(scores)), jax.Array)
    bf16 = otlabel.assign(jax.numpy.asarray(scores, dtype="bfloat16"))
    assert set(bf16.sizes) == {15}


class Standard:
    """An array of a library that keeps to the standard and has no ``__array__``."""

    def __init__(self, inside, device="here"):
        self.inside, self.device = inside, device

    def __array_namespace__(self, api_version=None):
        return namespace

    def __dlpack__(self, **options):
        return self.inside.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.inside.__dlpack_device__()


class namespace:
    @staticmethod
    def asarray(array, device=None):
        return Standard(array, device)


class OnlyDlpack:
    def __init__(self, inside):
        self.inside = inside

    def __dlpack__(self, **options):
        return self.inside.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.inside.__dlpack_device__()


def test_arrays_of_the_standard_and_of_dlpack(scores):
    truth = otlabel.assign(scores).labels
    found = otlabel.assign(Standard(scores, "there"))
    assert isinstance(found.labels, Standard)
    assert found.labels.device == "there"
    np.testing.assert_array_equal(found.labels.inside, truth)
    np.testing.assert_array_equal(otlabel.assign(OnlyDlpack(scores)).labels, truth)


def test_masks_in_a_list_are_kept(rng, scores):
    """Of heads or of rows: NumPy makes an array of them in which everything is allowed."""
    mask = rng.random(scores.shape) < 0.2
    mask[:, 0] = False
    masked = np.ma.masked_array(scores, mask=mask)
    heads = otlabel.assign([masked, masked])
    rows = otlabel.assign(list(masked))
    for labels in (*heads.labels, rows.labels):
        assert not mask[np.arange(len(scores)), labels].any()
        np.testing.assert_array_equal(labels, otlabel.assign(masked).labels)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda scores: pandas.Series(list(scores)), "of numbers only: of a table leave the other columns out"),
        (lambda scores: pyarrow.array(scores.tolist()), "of numbers only"),
        (lambda scores: None, "of numbers only"),
        (lambda scores: pandas.DataFrame(scores).assign(text="a"), "of numbers only"),
        (lambda scores: scores.astype(str), r"\.astype\(float\)"),
        (lambda scores: scores + 1j, r"Take \.real"),
        (lambda scores: np.array([(1.0, 2.0)], dtype="f4,f4"), "structured_to_unstructured"),
        (lambda scores: lambda more: scores, "must take nothing and return chunks"),
    ],
)
def test_what_holds_no_scores_gets_a_remedy(scores, make, words):
    with pytest.raises(TypeError, match=words):
        otlabel.assign(make(scores))


def test_columns_of_categories_that_are_numbers_are_known_labels(scores):
    known = np.full(len(scores), -1)
    known[:3] = 0
    labels = otlabel.assign(scores, known=pandas.Series(known).astype("category")).labels
    np.testing.assert_array_equal(labels, otlabel.assign(scores, known=known).labels)
