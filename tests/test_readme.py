"""Everything the README says is run."""

from __future__ import annotations

import re
from pathlib import Path

import otlabel

ROOT = Path(__file__).parent.parent


def test_python_blocks_of_the_readme_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert "30000 items, 300 labels, sizes 100" in capsys.readouterr().out
    result = names["result"]
    assert isinstance(result, otlabel.Assignment)
    assert set(result.sizes) == {50}


def test_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^    make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for module in re.findall(r"python -m (\w+)\.(\w+)", text):
        assert ROOT.joinpath(module[0], f"{module[1]}.py").exists()


def test_links_of_the_readme_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link
