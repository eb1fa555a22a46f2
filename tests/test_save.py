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
    for name in ("labels", "potentials", "sizes", "error", "max_relative_error", "gap", "n_sweeps"):
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
    with pytest.raises(ValueError, match="not a saved Assignment"):
        otlabel.Assignment.load(tmp_path / "other.npz")


def test_progress_shows_the_error_and_ends_full(rng, capsys):
    scores = rng.normal(size=(2, 3000, 40)) * 5
    with otlabel.Progress(tol=1e-6, mininterval=0) as bar:
        result = otlabel.assign(scores, tol=1e-6, callback=bar)
        assert bar.done == 1.0
    assert result.converged
    shown = capsys.readouterr().err
    assert "head 1" in shown
    assert "error" in shown
