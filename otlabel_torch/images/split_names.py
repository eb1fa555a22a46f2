"""What people call the parts of their data."""

from __future__ import annotations

import re

TRAIN = ("train", "training")
VAL = ("val", "valid", "validation", "dev", "eval", "evaluation")
TEST = ("test", "testing")
_FILLERS = ("set", "data", "dataset", "split", "images", "imgs")


def kind_of(name: str) -> tuple[str, ...] | None:
    """Which of ``TRAIN``, ``VAL`` and ``TEST`` a name means: train2017, Training_Set, but no train station."""
    words = [word for word in re.findall(r"[^\W\d_]+", name.lower()) if word not in _FILLERS]
    return next((kind for kind in (TRAIN, VAL, TEST) if words and set(words) <= set(kind)), None)
