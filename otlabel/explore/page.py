"""Contents -> a folder of files, or one file, that a browser opens."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .._system.files import atomic
from .contents import Contents
from .near import near

_SCRIPTS = ("store", "elements", "clusters", "grid", "edits", "overview", "cluster", "search", "app")
_CHUNK = 5_000  # names a part
_UNKNOWN = 65535  # in the place of a confidence
PAGE = "index.html"


def write_page(contents: Contents, out: Path, *, tick: Callable[[int], object] = lambda items: None) -> Path:
    """Write the explorer of some contents: whole, or not there.

    Args:
        out: the folder, in the place of such a page or nothing; or, where its name ends in .html, the one file.
        tick: called with how many items have become thumbnails since the last call.

    Returns:
        What a browser is to open.

    Raises:
        OSError: it cannot be written.
    """
    if out.suffix == ".html":
        with atomic(out) as file:
            _write_file(contents, io.TextIOWrapper(file, encoding="utf-8", write_through=True), tick)
        return out
    if out.exists() and not (out.is_dir() and ((out / "data" / "about.js").exists() or not any(out.iterdir()))):
        raise FileExistsError(f"{out} is there and no page of an explorer. Choose another name, or move it.")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        (part / "data").mkdir(parents=True)
        _write_folder(contents, part, tick)
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out / PAGE


def _write_folder(contents: Contents, folder: Path, tick: Callable[[int], object]) -> None:
    order = contents.order
    for name in ("style.css", *(f"{script}.js" for script in _SCRIPTS)):
        (folder / name).write_text(_asset(name), encoding="utf-8")
    for part, content in _parts(contents, order):
        text = f"otlabel.put({json.dumps(part)}, {_json(content)});\n"
        (folder / "data" / f"{part}.js").write_text(text, encoding="ascii")
    for number, sheet in _sheets(contents, order, tick):
        (folder / "thumbs").mkdir(exist_ok=True)
        (folder / "thumbs" / f"{number}.webp").write_bytes(sheet)
    scripts = "".join(f'<script src="{script}.js"></script>\n' for script in _SCRIPTS)
    page = _asset("index.html").replace("<!--styles-->", '<link rel="stylesheet" href="style.css">')
    (folder / PAGE).write_text(page.replace("<!--scripts-->\n<!--data-->\n", scripts), encoding="utf-8")


def _write_file(contents: Contents, file: io.TextIOWrapper, tick: Callable[[int], object]) -> None:
    order = contents.order
    styles = f"<style>\n{_asset('style.css')}</style>"
    before, after = _asset("index.html").replace("<!--styles-->", styles).split("<!--scripts-->\n<!--data-->\n")
    file.write(before)

    def inert(part: str, content: Any) -> None:
        file.write(f'<script type="application/json" id="part-{part}">{_json(content)}</script>\n')

    for part, content in _parts(contents, order):
        inert(part, content)
    for number, sheet in _sheets(contents, order, tick):
        inert(f"sheet-{number}", base64.b64encode(sheet).decode())
    for script in _SCRIPTS:
        file.write(f"<script>\n{_asset(f'{script}.js')}</script>\n")
    file.write(after)
    file.detach()


def _parts(contents: Contents, order: np.ndarray) -> Iterator[tuple[str, Any]]:
    """What the page loads by name; items in ``order``."""
    sure, heads = contents.confidence, contents.labels.shape[1]
    known = [sure is not None and bool(np.isfinite(sure[:, head]).any()) for head in range(heads)]
    low = 0.0 if sure is None else min(0.0, float(np.nanmin(sure, initial=0.0)))
    history = contents.history if len(contents.history) > 1 else ()
    yield (
        "about",
        {
            "title": contents.title,
            "n": len(order),
            "items": contents.items,
            "chunk": _CHUNK,
            "key": contents.key,
            "heads": [
                {
                    "k": contents.k,
                    "confidence": known[head],
                    "low": low,
                    "near": contents.centres is not None,
                    "none": contents.no_label,
                    "values": None if contents.values is None else list(contents.values[head]),
                }
                for head in range(heads)
            ],
            "classes": list(contents.class_names) if contents.classes is not None else [],
            "history": [when for when, _ in history],
            "names": contents.cluster_names,
            "namesKey": _key(contents.cluster_names),
            "thumbs": None if contents.thumbnails is None else {"side": contents.thumbnails.side},
        },
    )
    yield "index", _numbers(order)
    for head in range(heads):
        yield f"labels-{head}", _numbers(contents.labels[order, head])
        if known[head]:
            assert sure is not None
            yield f"confidence-{head}", _numbers(_scaled(sure[order, head], low), size=2)
        if contents.centres is not None:
            found = near(contents.centres[head])
            yield f"near-{head}", {"nearest": found.nearest.tolist(), "order": found.order.tolist()}
    if contents.classes is not None:
        yield "classes", _numbers(np.where(contents.classes < 0, len(contents.class_names), contents.classes)[order])
    for time, (_, labels) in enumerate(history):
        yield f"history-{time}", _numbers(labels[order])
    for number in range(-(-len(order) // _CHUNK)):
        rows = order[number * _CHUNK : (number + 1) * _CHUNK]
        yield f"names-{number}", [_unicode(contents.names[row]) for row in rows.tolist()]


def _sheets(contents: Contents, order: np.ndarray, tick: Callable[[int], object]) -> Iterator[tuple[int, bytes]]:
    if contents.thumbnails is None:
        return
    each = contents.thumbnails.side**2
    for number, sheet in enumerate(contents.thumbnails.sheets(order)):
        yield number, sheet
        tick(min(each, len(order) - number * each))


def _scaled(sure: np.ndarray, low: float) -> np.ndarray:
    """From ``low`` to 1 as 0 to 65534; 65535 where nobody knows."""
    parts = np.rint((_UNKNOWN - 1) * (np.clip(np.nan_to_num(sure), low, 1) - low) / (1 - low))
    return np.where(np.isfinite(sure), parts, _UNKNOWN)


def _key(names: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()[:8]


def _numbers(values: np.ndarray, size: int | None = None) -> list[str]:
    """Whole numbers as the page reads them: how many bytes each has, and their base64, least byte first."""
    largest = int(values.max(initial=0))
    size = size or (1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4)
    return [f"u{size}", base64.b64encode(values.astype(f"<u{size}").tobytes()).decode()]


def _json(content: Any) -> str:
    """ASCII that ends no script and begins no comment."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _unicode(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text(encoding="utf-8")
