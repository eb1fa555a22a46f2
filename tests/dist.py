"""The wheel as users get it: python tests/dist.py DIST installs it, alone, on every Python that is here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")
ROOT = Path(__file__).parents[1]


def interpreters() -> dict[str, Path]:
    """Of each version the one on the path, or pyenv's."""
    found = {}
    for version in VERSIONS:
        kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        here = shutil.which(f"python{version}")
        for path in [*kept, *([Path(here)] if here else [])]:
            said = subprocess.run([path, "--version"], capture_output=True, text=True)
            if said.returncode == 0 and f" {version}." in said.stdout:
                found[version] = path
                break
    return found


def first_block(readme: Path) -> str:
    """The README's first code in Python."""
    found = re.search(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def tried(python: Path, wheel: Path) -> None:
    """Install the wheel in an empty environment, and run the README's first block and the commands there."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        run = Path(folder) / "bin"
        subprocess.run([run / "python", "-m", "pip", "install", "--quiet", f"{wheel}[cli,bench]"], check=True)
        for words in (
            ["python", "-W", "error", "-c", first_block(ROOT / "README.md")],
            ["python", "-c", "import otlabel; otlabel.show_versions()"],
            ["otlabel", "--version"],
            ["otlabel-bench", "--help"],
        ):
            subprocess.run([run / words[0], *words[1:]], check=True, cwd=folder, stdout=subprocess.DEVNULL)


def main() -> None:
    (wheel,) = Path(sys.argv[1]).glob("*.whl")
    pythons = interpreters()
    if sys.version_info[:2] not in {tuple(map(int, version.split("."))) for version in pythons}:
        raise SystemExit(f"no Python of {', '.join(VERSIONS)} is here")
    for version, python in pythons.items():
        tried(python, wheel.resolve())
        print(f"{wheel.name} on Python {version}: installed, and the README's first block ran")


if __name__ == "__main__":
    main()
