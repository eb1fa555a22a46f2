"""``python -m otlabel.bench``, and what the console script runs: says what is missing instead of a traceback."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from .cli import main as command
    except ModuleNotFoundError as missing:
        sys.exit(f"otlabel-bench needs {missing.name}, which is not installed: pip install 'otlabel[bench]'")
    command(prog_name="otlabel-bench")


if __name__ == "__main__":
    main()
