"""What the documentation says is run: its code, its commands' names, its gallery."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [
    "start.md",
    "concepts.md",
    *(f"guides/{name}.md" for name in ("own-loop", "certificate", "larger-than-memory")),
]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python[^\n]*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", PAGES)
def test_code_of_pages_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(DOCS / name)
    assert found
    names: dict[str, object] = {}
    for block in found:
        exec(compile(block, name, "exec"), names)


def test_the_script_for_several_processes_runs(tmp_path):
    (script,) = blocks(DOCS / "guides" / "several-processes.md")
    (tmp_path / "label.py").write_text(script)
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "label.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run_and_make_their_pictures(script, tmp_path):
    words = [sys.executable, "-W", "error", script]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    name = f"{script.stem}.png"
    with Image.open(tmp_path / name) as made, Image.open(DOCS / "gallery" / name) as kept:
        assert made.size == kept.size
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert f"](gallery/{script.stem}.png)" in page
    assert f'--8<-- "examples/{script.name}"' in page
    notebook = jupytext.read(script)
    assert {cell.cell_type for cell in notebook.cells} == {"markdown", "code"}
    assert jupytext.writes(notebook, fmt="ipynb")


def test_commands_that_pages_name_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for package, module in re.findall(r"python -m (otlabel\w*)\.(\w+)", text):
            folder = ROOT / package / module
            assert folder.with_suffix(".py").exists() or folder.is_dir(), f"{page.name}: {package}.{module}"
        for target in re.findall(r"`make ([a-z-]+)`", text):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"


def test_pictures_are_small():
    for path in DOCS.rglob("*.png"):
        assert path.stat().st_size < 400_000, f"{path.name}: {path.stat().st_size} bytes"
