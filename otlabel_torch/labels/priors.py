"""The share of the images that each label is to have."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..system.errors import UsageError


def shares(prior: str, k: int, heads: int) -> np.ndarray | None:
    """(k,) or (heads, k), summing to 1; None: equal.

    Args:
        prior: "uniform", "zipf" (label j has a share proportional to 1/j, as words of a language), or a file of shares
            or of counts, a line a label, a column a head if heads differ.
    """
    if prior == "uniform":
        return None
    if prior == "zipf":
        weights = 1 / np.arange(1, k + 1)
        return weights / weights.sum()
    try:
        table = np.loadtxt(Path(prior), delimiter="," if "," in Path(prior).read_text() else None, ndmin=2).T
    except (OSError, ValueError) as error:
        raise UsageError(f"`prior` must be uniform, zipf or a file of numbers, got {prior}: {error}") from None
    if table.shape not in ((1, k), (heads, k)):
        raise UsageError(
            f"`prior` {prior} must hold a line for each of the {k} labels and one column, or {heads}, a column a head; "
            f"got {table.shape[1]} lines of {table.shape[0]}."
        )
    if not (np.isfinite(table).all() and (table >= 0).all() and (table.sum(axis=1) > 0).all()):
        raise UsageError(
            f"`prior` {prior} must hold finite numbers of 0 or more, not all 0, got {table.min()} for one."
        )
    table = table / table.sum(axis=1, keepdims=True)
    return table[0] if len(table) == 1 else table
