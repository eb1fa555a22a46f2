"""Results on disk: everything but the scores comes back, and nothing is ever half written."""

from __future__ import annotations

import numpy as np
import pytest

import otlabel


@pytest.mark.parametrize("heads", [None, 3])
def test_what_is_saved_comes_back(backend, rng, tmp_path, heads):
    shape = (120, 5) if heads is None else (heads, 120, 5)
    result = otlabel.assign(rng.normal(size=shape), epsilon=0.3, backend=backend)
    result.save(tmp_path / "labels.npz")
    again = otlabel.Assignment.load(tmp_path / "labels.npz")
    for name in ("labels", "potentials", "sizes", "error", "max_relative_error", "gap", "n_sweeps", "engine"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
        assert np.ndim(getattr(again, name)) == np.ndim(getattr(result, name))
    np.testing.assert_array_equal(np.concatenate(again.history), np.concatenate(result.history))
    assert (again.status, again.backend, again.epsilon) == (result.status, result.backend, result.epsilon)
    assert repr(again) == repr(result)
    new = rng.normal(size=(*shape[:-2], 7, 5))
    np.testing.assert_array_equal(again.predict(new), result.predict(new))
    with pytest.raises(ValueError, match="no scores to compute a plan from"):
        again.plan(0)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.npz"]


@pytest.mark.parametrize("heads", [None, 2])
def test_files_of_before_there_were_engines_are_of_lists(rng, tmp_path, heads):
    otlabel.assign(rng.normal(size=(20, 2) if heads is None else (heads, 20, 2))).save(tmp_path / "labels.npz")
    stored = dict(np.load(tmp_path / "labels.npz"))
    del stored["engine"]
    np.savez(tmp_path / "before.npz", **stored)
    again = otlabel.Assignment.load(tmp_path / "before.npz")
    np.testing.assert_array_equal(again.engine, "lists" if heads is None else ["lists"] * heads)


def test_a_failed_save_leaves_the_old_file(rng, tmp_path, monkeypatch):
    result = otlabel.assign(rng.normal(size=(20, 2)))
    result.save(tmp_path / "labels.npz")
    before = (tmp_path / "labels.npz").read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        result.save(tmp_path / "labels.npz")
    assert (tmp_path / "labels.npz").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.arange(3))
    with pytest.raises(ValueError, match=r"must be what Assignment\.save wrote, but it has no 'potentials'"):
        otlabel.Assignment.load(tmp_path / "other.npz")


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 cut off"])
def test_damaged_files_are_refused(tmp_path, content):
    for name in ("labels.npz", "labels.npy"):
        (tmp_path / name).write_bytes(content)
        for kind in (otlabel.Assignment, otlabel.Predictor):
            with pytest.raises(ValueError, match=rf"{name} must be what .*save wrote, but .*\. Save it anew\."):
                kind.load(tmp_path / name)


def test_an_array_is_no_assignment(tmp_path):
    np.save(tmp_path / "labels.npy", np.arange(4))
    with pytest.raises(ValueError, match=r"no \.npz file"):
        otlabel.Assignment.load(tmp_path / "labels.npy")


def test_files_of_the_version_before_are_read(rng, tmp_path):
    """Shares had an axis of heads where potentials had none, and row weights were written out."""
    result = otlabel.assign(rng.normal(size=(60, 4)))
    result.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as file:
        arrays = dict(file)
    old = arrays | {"b": arrays["b"][None], "a": np.full(60, 1 / 60), "has_heads": np.array(False)}
    np.savez_compressed(tmp_path / "old.npz", **old)
    new = rng.normal(size=(9, 4))
    for kind in (otlabel.Assignment, otlabel.Predictor):
        np.testing.assert_array_equal(kind.load(tmp_path / "old.npz").predict(new), result.predict(new))


def test_progress_shows_the_error_and_ends_full(rng, capsys):
    scores = rng.normal(size=(2, 3000, 40)) * 5
    with otlabel.Progress(tol=1e-6, mininterval=0) as bar:
        result = otlabel.assign(scores, tol=1e-6, callback=bar)
        assert bar.done == 1.0
    assert result.converged
    shown = capsys.readouterr().err
    assert "head 1" in shown
    assert "error" in shown
