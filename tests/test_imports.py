"""Importing otlabel is light: proved in fresh processes."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "cupy", "numba", "scipy.optimize", "sklearn", "otlabel_torch")


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_loads_no_backend():
    assert loaded_after("import otlabel") == set()


def test_validation_loads_no_backend():
    code = (
        "import otlabel\ntry: otlabel.assign([[float('nan')]])\n"
        "except ValueError: pass\nelse: raise SystemExit('no error')"
    )
    assert loaded_after(code) == set()


def test_numpy_backend_loads_no_numba():
    code = "import otlabel\notlabel.assign([[1.0, 0.0], [0.0, 1.0]], backend='numpy', rounding='argmax')"
    assert "numba" not in loaded_after(code)


def test_arrays_never_load_torch():
    assert "torch" not in loaded_after("import otlabel\notlabel.assign([[1.0, 0.0], [0.0, 1.0]])")


@pytest.mark.parametrize(
    ("name", "install"),
    [
        ("numba", "pip install numba"),
        ("torch", "pip install torch, or pip install 'otlabel[torch]'"),
        ("cupy", "pip install cupy-cuda13x, or pip install 'otlabel[cupy]'"),
    ],
)
def test_a_named_backend_that_is_not_installed_says_what_to_install(monkeypatch, name, install):
    import otlabel
    from otlabel.backends import registry

    found = registry._is_installed
    monkeypatch.setattr(registry, "_is_installed", lambda backend: backend.name == "numpy" and found(backend))
    with pytest.raises(ImportError) as raised:
        otlabel.assign([[1.0, 0.0]], backend=name)
    assert str(raised.value) == f"backend {name!r} needs {name}, which is not installed: {install}."
    assert otlabel.assign([[1.0, 0.0], [0.0, 1.0]]).backend == "numpy"


def test_everything_works_without_numba():
    """Auto falls to numpy and rounding to its interpreted form."""
    code = (
        "sys.modules['numba'] = None\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'numba' else find(name, *rest)\n"
        "import otlabel, numpy as np\n"
        "r = otlabel.assign(np.random.default_rng(0).normal(size=(200, 8)))\n"
        "assert r.backend == 'numpy' and set(r.sizes) == {25}, r"
    )
    script = f"import sys\n{code}"
    subprocess.run([sys.executable, "-c", script], check=True)
