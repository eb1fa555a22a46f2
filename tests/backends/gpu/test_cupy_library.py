"""CuPy's class of the libraries without CuPy: over NumPy's functions under CuPy's names, so that every line has run."""

from __future__ import annotations

import contextlib
import importlib
import sys
import types

import numpy as np
import pytest
from environment import has_cupy_gpu

from otlabel._arrays.libraries import HOST, NUMPY
from otlabel._input.sources import InMemory, LinearScores
from otlabel.backends import infer, library_of, place_of, registry

if has_cupy_gpu():
    pytest.skip("there is a real one", allow_module_level=True)


class Device(contextlib.nullcontext):
    id = 0


class Array(np.ndarray):
    device = Device()

    def get(self):
        return np.array(self)


def make(values):
    return np.array(values).view(Array)


@pytest.fixture(autouse=True)
def cupy(monkeypatch):
    stand_in = types.ModuleType("cupy")
    stand_in.ndarray, stand_in.asarray, stand_in.exp = Array, make, np.exp
    stand_in.log, stand_in.where, stand_in.isneginf, stand_in.concatenate = (
        np.log,
        np.where,
        np.isneginf,
        np.concatenate,
    )
    stand_in.take_along_axis, stand_in.stack, stand_in.asnumpy = np.take_along_axis, np.stack, np.array
    stand_in.zeros = lambda *rest: np.zeros(*rest).view(Array)
    stand_in.cuda = types.SimpleNamespace(Device=lambda number: Device())
    monkeypatch.setitem(sys.modules, "cupy", stand_in)
    monkeypatch.setitem(sys.modules, "cupyx", types.ModuleType("cupyx"))
    monkeypatch.delitem(sys.modules, "otlabel.backends.cupy", raising=False)
    monkeypatch.setattr(registry, "_is_installed", lambda backend: True)
    monkeypatch.setattr(registry, "_libraries", {})
    yield importlib.import_module("otlabel.backends.cupy")
    sys.modules.pop("otlabel.backends.cupy", None)


def test_its_arrays_are_known_and_stay(cupy):
    array = make([[1.0, -2.0], [0.0, 1.0]])
    library = library_of(array)
    assert isinstance(library, cupy.Library)
    assert library.array(array, "logits") is array
    assert place_of(array) == (library, 0) != HOST
    assert infer(InMemory(array)) == "cupy"
    assert type(place_of(array).give_back(np.array([1]))) is Array
    assert type(library.to_numpy(array, "logits")) is np.ndarray
    with pytest.raises(TypeError, match="logits must hold real numbers"):
        library.array(array.astype(complex), "logits")


def test_it_computes_what_numpy_computes(rng):
    block, g = rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=4)
    block[2, 1], g[3] = -np.inf, -np.inf
    library, array = library_of(make(block)), make(block)
    assert library.largest(array) == np.inf
    np.testing.assert_array_equal(library.softmax(array, 25.0, g), NUMPY.softmax(block, 25.0, g))
    for found, truth in zip(library.reached(array, np.arange(2)), NUMPY.reached(block, np.arange(2)), strict=True):
        np.testing.assert_array_equal(found, truth)
    np.testing.assert_array_equal(library.with_soft_maximum(array, 25.0), NUMPY.with_soft_maximum(block, 25.0))
    np.testing.assert_array_equal(library.blanked(array, np.array([2])), NUMPY.blanked(block, np.array([2])))
    np.testing.assert_array_equal(library.concatenate([array, array]), np.concatenate([block, block]))
    columns = np.array([0, 1, 2, 3, 0, 1])
    np.testing.assert_array_equal(library.pick(array, columns), block[np.arange(6), columns])
    np.testing.assert_array_equal(library.stack([array, array]), np.stack([block, block]))
    features, weight = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    for bias in (None, rng.normal(size=4)):
        found = LinearScores(make(features), make(weight), None if bias is None else make(bias))
        truth = LinearScores(features, weight, bias)
        np.testing.assert_allclose(found[:3], truth[:3], rtol=1e-5)
        assert found[:1].dtype == truth[:1].dtype
