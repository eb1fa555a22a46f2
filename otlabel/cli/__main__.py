"""``python -m otlabel.cli``, and what the console script runs: says what is missing instead of a traceback."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from .command import main as command
    except ImportError as missing:
        name = missing.name.partition(".")[0] if missing.name else "scikit-learn"
        sys.exit(f"otlabel needs {name}, which is not installed: pip install 'otlabel[cli]'")
    command(prog_name="otlabel")


if __name__ == "__main__":
    main()
