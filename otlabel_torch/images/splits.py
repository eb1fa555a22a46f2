"""Training and validation images side by side in one folder, under the names that people give them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..system.errors import DataError
from .decoding import shown
from .notes import Note
from .split_names import TEST, TRAIN, VAL, kind_of
from .walk import Found, entries_of, walk


@dataclass(frozen=True)
class Split:
    """Which folder is which."""

    train: Path
    val: Path | None
    notes: list[Note]


def of(root: Path, train_dir: str | None = None, val_dir: str | None = None) -> Split | None:
    """The split of a folder, or None if it has none: then its folders are classes.

    Names count in any case. Beside a folder for training and one for validation there may be no other with images,
    which could be a class, or a split of another name.

    Raises:
        DataError: it is not plain which folder is which.
    """
    if train_dir is not None or val_dir is not None:
        return _named(root, train_dir, val_dir)
    folders = [path for path in entries_of(root) if path.is_dir() and not path.name.startswith(".")]
    train, val, test = ([path for path in folders if kind_of(path.name) == kind] for kind in (TRAIN, VAL, TEST))
    others = [path for path in folders if path not in {*train, *val, *test}]
    full = [path for path in others if walk(path).images] if train and others else []
    if not train or (full and not (val or test) and not _has_classes(train[0])):
        _check_below(folders)
        return None  # a class may be called train
    if full or any(len(paths) > 1 for paths in (train, val, test)):
        names = ", ".join(shown(path.name) for path in [*train, *val, *test, *full])
        raise DataError(
            f"{root} must say which of its folders are for training and validation, got {names}. Add `train_dir` "
            f"{shown(train[0].name)} and, if there is one, `val_dir`; or move what is no class away."
        )
    beside = _beside(root)
    if beside.images:
        raise DataError(
            f"{root} must hold images or folders of images, but {shown(beside.images[0].name)} lies beside the folder "
            f"{shown(train[0].name)}. Move one of them."
        )
    chosen = next(iter(val or test), None)
    notes = beside.notes
    if not val and test:
        notes.append(Note(f"{shown(test[0].name)}/ is taken for validation images, since there are no others"))
    if val and test:
        name = shown(test[0].name)
        left = walk(test[0]).images
        notes.append(Note(f"left out: images in {name}/, which `val_dir` {name} evaluates on", left))
    notes += [Note(f"left out: {shown(path.name)}/, in which no file is an image", _all_in(path)) for path in others]
    return Split(train[0], chosen, notes)


def _has_classes(folder: Path) -> bool:
    return any(path.parent != folder for path in walk(folder).images)


def _check_below(classes: list[Path]) -> None:
    """Raise DataError where splits lie below classes: cat/train, cat/test."""
    below = [path for folder in classes for path in entries_of(folder) if path.is_dir() and kind_of(path.name)]
    if len({kind_of(path.name) for path in below}) > 1:
        one = below[0]
        raise DataError(
            f"{one.parent.parent} must have its splits above its classes, but {shown(one.name)} lies below "
            f"{shown(one.parent.name)}. Move them: {shown(one.name)}/{shown(one.parent.name)}."
        )


def _beside(root: Path) -> Found:
    """What lies in a folder itself, not in those below it."""
    return walk(root).where(lambda path: path.parent == root)


def _all_in(folder: Path) -> list[Path]:
    found = walk(folder)
    return [*found.others, *found.junk, *found.links, *found.empty]


def _named(root: Path, train_dir: str | None, val_dir: str | None) -> Split:
    if train_dir is None:
        raise DataError(f"`val_dir` {val_dir} needs `train_dir` too, the folder of the training images.")
    for name, folder in (("train_dir", train_dir), ("val_dir", val_dir)):
        if folder is not None and not (root / folder).is_dir():
            raise DataError(f"`{name}` must be a folder below {root}, but {folder} is not there.")
    train, val = root / train_dir, None if val_dir is None else root / val_dir
    chosen = [folder.resolve() for folder in (train, val) if folder is not None]
    if len(chosen) > 1 and (chosen[0].is_relative_to(chosen[1]) or chosen[1].is_relative_to(chosen[0])):
        raise DataError(
            f"`train_dir` {train_dir} and `val_dir` {val_dir} must not lie in each other. Choose two folders."
        )
    rest = [path for path in walk(root).images if not any(path.resolve().is_relative_to(folder) for folder in chosen)]
    which = "`train_dir`" if val is None else "`train_dir` and `val_dir`"
    return Split(train, val, [Note(f"left out: images outside of {which}", rest)] if rest else [])
