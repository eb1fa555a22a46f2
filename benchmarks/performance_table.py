"""Write the table of docs/performance.md from a pytest-benchmark JSON, so that the document cannot drift from it.

python benchmarks/performance_table.py benchmarks/results/solver.json
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- begin: benchmarks/performance_table.py -->", "<!-- end -->"


def table(report: dict) -> str:
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
            f"| {row['params']['scores']} | {name.replace('_', ' ')} | {seconds:.2f} | {info['sweeps']:.1f} "
            f"| {info['sweeps'] * info['gigabytes'] / seconds:.1f} | {info['error']:.0e} "
            f"| {seconds / info['read_seconds']:.0f} | {textbook[row['params']['scores']] / seconds:.1f} |"
        )
    machine = report["machine_info"]
    cpu, python = machine["cpu"], machine["python_version"]
    lines += [
        "",
        f"{cpu.get('brand_raw', machine['processor'])}, {cpu.get('count', '?')} cores, Python {python}.",
    ]
    return "\n".join(lines)


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text())
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table(report)}\n{END}{after}")


if __name__ == "__main__":
    main()
