"""What is published: every file of the packages is in the wheel, none beside, and the same each time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import otlabel

ROOT = Path(otlabel.__file__).parents[1]
BUILD = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([*BUILD, out, ROOT], check=True, capture_output=True)  # the wheel is made of the sdist
    return out


def test_the_wheel_is_the_packages(dist):
    (wheel,) = dist.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    listed = subprocess.run(["git", "ls-files", "otlabel", "otlabel_torch"], cwd=ROOT, capture_output=True, text=True)
    assert listed.returncode == 0
    new = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard", "otlabel", "otlabel_torch"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert held == {*listed.stdout.split(), *new.stdout.split()}
    assert {"otlabel/py.typed", "otlabel_torch/py.typed", "otlabel/explore/assets/app.js"} <= held
    assert wheel.name == f"otlabel-{otlabel.__version__}-py3-none-any.whl"


def test_the_sources_are_enough_to_test_them(dist):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        held = {name.partition("/")[2] for name in tar.getnames()}
    for path in ("Makefile", "mkdocs.yml", "SECURITY.md", "tests/conftest.py", "docs/index.md", "pyproject.toml"):
        assert path in held
    assert not [name for name in held if name.startswith((".venv", "runs", ".git/"))]


def test_what_is_published_is_well_described(dist):
    found = [sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir()]
    said = subprocess.run(found, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout
    (wheel,) = dist.glob("*.whl")
    about = zipfile.ZipFile(wheel).read(f"otlabel-{otlabel.__version__}.dist-info/METADATA").decode()
    for python in ("3.11", "3.12", "3.13"):
        assert f"Classifier: Programming Language :: Python :: {python}\n" in about


def test_the_same_sources_make_the_same_files(dist, tmp_path):
    subprocess.run([*BUILD, tmp_path, ROOT], check=True, capture_output=True)
    for path in dist.iterdir():
        again = tmp_path / path.name
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(again.read_bytes()).digest()


def test_versions_are_told():
    code = "import otlabel; otlabel.show_versions()"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    for words in ("python: 3.", "backends: numba, numpy", "GiB", "otlabel: ", "numpy: 2"):
        assert words in said.stdout
