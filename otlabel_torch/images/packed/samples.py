"""Images and their labels, out of whatever they are packed in, as files in a folder a class."""

from __future__ import annotations

import io
import itertools
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from ...system.errors import DataError
from ..notes import Note
from ..split_names import TEST, TRAIN, VAL, kind_of
from ..walk import extensions

_CALLED = {TRAIN: "train", VAL: "val", TEST: "test"}
UNLABELLED = "unlabelled"  # the folder, while it is not known whether all are


class Samples:
    """Writes SPLIT/CLASS/IMAGE below a folder; without classes where some image of a split has none.

    Args:
        folder: where.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._classes: dict[str, str] = {}  # and their folders
        self._labelled: dict[str, list[Path]] = defaultdict(list)  # of a split
        self._unlabelled: dict[str, list[Path]] = defaultdict(list)
        self._names: dict[str, set[str]] = defaultdict(set)  # of a split, in small letters

    def add(self, split: str, name: str, data: bytes, label: str | None) -> None:
        """An image file's content, whatever it is: what cannot be read is named when it is decoded."""
        place = self._folder / split / (UNLABELLED if label is None else self._of_class(label))
        place.mkdir(parents=True, exist_ok=True)
        path = place / self._unique(split, f"{as_name(name)}{_suffix(data)}")
        with path.open("xb") as file:
            file.write(data)
        (self._unlabelled if label is None else self._labelled)[split].append(path)

    def finish(self) -> list[Note]:
        """Images of splits where not all have labels lie side by side: a folder of those without would be a class."""
        renamed = {name: folder for name, folder in self._classes.items() if folder != name}
        notes = [Note(f"class {name!r} is called {folder}") for name, folder in renamed.items()]
        for split, without in self._unlabelled.items():
            labelled, top = self._labelled[split], self._folder / split
            for path in [*without, *labelled]:
                path.rename(top / path.name)
            for folder in {path.parent for path in [*without, *labelled]}:
                folder.rmdir()
            if labelled:
                which = f"{split} " if split else ""
                what = f"{which}images without a label, so that the {len(labelled):,} of the others are not used"
                notes.append(Note(what, [path.name for path in without]))
        return notes

    def _of_class(self, name: str) -> str:
        """The folder of a class: another for each, also where capitals do not count."""
        if name not in self._classes:
            self._classes[name] = _free(as_name(name), {folder.lower() for folder in self._classes.values()})
        return self._classes[name]

    def _unique(self, split: str, name: str) -> str:
        """Over all classes of a split, since they may have to lie side by side."""
        names = self._names[split]
        name = _free(name, names)
        names.add(name.lower())
        return name


def _free(name: str, taken: set[str]) -> str:
    """With a number where it is taken, capitals not counting."""
    stem, dot, suffix = name.rpartition(".") if Path(name).suffix else (name, "", "")
    numbered = (f"{stem}-{number}{dot}{suffix}" for number in itertools.count(2))
    return name if name.lower() not in taken else next(other for other in numbered if other.lower() not in taken)


def splits_of(root: Path, shards: list[Path]) -> tuple[dict[Path, str], list[Note]]:
    """By the words of a file's name, else by those of its folders; all "" where only one split is named.

    Raises:
        DataError: some shards are of a split and others of none.
    """
    top = top_of(root)
    found = {shard: _split_of(shard, top) for shard in shards}
    named = sorted({split for split in found.values() if split})
    if named and (other := next((shard for shard, split in found.items() if not split), None)):
        raise DataError(
            f"`root` {root} must call each of its files by its split, train, val or test, since some are called "
            f"{', '.join(named)}, but {other.name} is not. Rename it, or move it away."
        )
    if len(named) == 1 and named != ["train"]:
        return dict.fromkeys(shards, ""), [Note(f"all files are called {named[0]}: their images are the data")]
    return found, []


def _split_of(shard: Path, top: Path) -> str:
    names = [shard.name, *(folder.name for folder in shard.relative_to(top).parents if folder.name)]
    for name in names:
        said = {kind for word in re.split(r"[-_. ]", name) if (kind := kind_of(word))}
        if said:
            return _CALLED[said.pop()] if len(said) == 1 else ""
    return ""


def top_of(root: Path) -> Path:
    """The folder that shards are named from."""
    return root if root.is_dir() else root.parent


def named(shard: Path, root: Path, endings: Iterable[str]) -> str:
    """What images of a shard are called by: two folders may have one of a name."""
    name = "-".join(shard.relative_to(top_of(root)).parts)
    ending = max((ending for ending in endings if name.lower().endswith(ending)), key=len, default="")
    return name[: len(name) - len(ending)]


def as_name(text: str) -> str:
    """As any file system has it."""
    return re.sub(r"[^\w .()+-]", "_", text).strip(". ")[:150] or "_"


def _suffix(data: bytes) -> str:
    """By what is in it; what cannot be read is called an image all the same, and named when it is decoded."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            known = f".{(image.format or '').lower()}"
            return known if known in extensions() else ".png"
    except Exception:  # decoders of damaged files raise anything
        return ".png"


def check_room(root: Path, total: int) -> None:
    """Raise DataError where there is no room beside ``root`` for that many bytes."""
    free = shutil.disk_usage(root.parent).free
    if total > 0.95 * free:
        raise DataError(
            f"`root` {root} takes {total / 2**30:.1f} GiB beside it, but {free / 2**30:.1f} are free. Make room, "
            "or move it."
        )
