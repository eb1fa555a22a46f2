"""Pictures and tables as one file that any browser opens."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

_NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } th, td { padding: .2rem .8rem .2rem 0; text-align: left; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
"""


@dataclass(frozen=True)
class Part:
    """A heading, and what is below it.

    Args:
        text: a sentence or two.
        picture: a PNG file's content.
        shows: what is in the picture, for those who do not see it.
        rows: a table, its first row the names of its columns.
    """

    heading: str
    text: str = ""
    picture: bytes | None = None
    shows: str = ""
    rows: Sequence[Sequence[str]] = ()


def sheet(title: str, parts: Sequence[Part]) -> str:
    """HTML that needs nothing beside it."""
    body = "".join(_section(part) for part in parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{html.escape(title)}</h1>\n{body}</main>\n</body>\n</html>\n"
    )


def _section(part: Part) -> str:
    lines = [f"<h2>{html.escape(part.heading)}</h2>"]
    if part.text:
        lines.append(f"<p>{html.escape(part.text)}</p>")
    if part.picture is not None:
        data = base64.b64encode(part.picture).decode()
        lines.append(f'<img alt="{html.escape(part.shows)}" src="data:image/png;base64,{data}">')
    if part.rows:
        head, *rows = part.rows
        cells = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
        lines.append(f'<div class="wide" tabindex="0" role="region" aria-label="{html.escape(part.heading)}">')
        lines.append(f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>")
    return f"<section>\n{chr(10).join(lines)}\n</section>\n"


def _cell(text: str) -> str:
    kind = ' class="number"' if _NUMBER.fullmatch(text) else ""
    return f"<td{kind}>{html.escape(text)}</td>"
