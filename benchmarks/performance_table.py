"""Write the tables of docs/performance.md from the files in benchmarks/results, so that it cannot drift from them.

python benchmarks/performance_table.py
"""

from __future__ import annotations

import itertools
import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

from otlabel.bench import suite, tables

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
RESULTS = Path(__file__).parent / "results"
BLOCK = re.compile(r"(<!-- begin: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def measured(path: Path) -> str:
    """What otlabel-bench wrote."""
    rows = suite.read_rows(path)
    first = rows[0]
    problems = (list(group) for _, group in itertools.groupby(rows, key=tables.problem))
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    return "\n\n".join([*map(tables.markdown, problems), f"{machine(first['cpu'], first['threads'])} {versions}."])


def solver(path: Path) -> str:
    """What pytest-benchmark wrote."""
    report = json.loads(path.read_text())
    lines = [
        "| scores | method | median seconds | sweeps | GB/s | L1 error | seconds / read | textbook / this |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    textbook = {
        row["params"]["scores"]: statistics.median(row["stats"]["data"])
        for row in report["benchmarks"]
        if row["name"].startswith("test_textbook")
    }
    for row in report["benchmarks"]:
        info, seconds = row["extra_info"], statistics.median(row["stats"]["data"])
        name = row["name"].removeprefix("test_").split("[")[0]
        if name == "otlabel":
            name = f"otlabel {row['params']['method']}, tol {row['params']['tol']:.0e}"
        lines.append(
            f"| {row['params']['scores']} | {name.replace('_', ' ')} | {seconds:#.3g} | {info['sweeps']:.1f} "
            f"| {info['sweeps'] * info['gigabytes'] / seconds:.1f} | {info['error']:.0e} "
            f"| {seconds / info['read_seconds']:.0f} | {textbook[row['params']['scores']] / seconds:.1f} |"
        )
    cpu = report["machine_info"]["cpu"]
    name = cpu.get("brand_raw", report["machine_info"]["processor"])
    return "\n".join([*lines, "", machine(name, cpu.get("count", "?"))])


def machine(cpu: str, cores: object) -> str:
    return f"{cpu}, {cores} cores."


def page(text: str) -> str:
    """The document with all its tables made anew, one of each kind for every machine that has results."""

    def tables_of(kind: str) -> Iterator[str]:
        for path in sorted(RESULTS.glob(f"{kind}_*.json")):
            yield solver(path) if kind == "solver" else measured(path)

    return BLOCK.sub(lambda block: f"{block[1]}{(2 * chr(10)).join(tables_of(block[2]))}\n{block[3]}", text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
