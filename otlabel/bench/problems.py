"""Scores to measure on: from a file, or what a classifier gives to a long-tailed mixture, seeded, at any size.

Items of the mixture are noisy copies of k unit centres in 64 dimensions; the share of centre j falls like 1/(j + k/10).
Scores are the inner products with all centres, times a sharpness: like the logits of a network trained on the mixture.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DIMENSIONS = 64
REGIMES = {
    "first": (1.0, 1.0),  # a random network: scores say little
    "broad": (3.0, 1.0),  # hundreds of labels carry a row
    "peaked": (12.0, 0.5),  # a few labels carry a row
}  # (sharpness, noise): the length of the noise vector relative to the centre's
KINDS = {
    "": "",
    "ties": ", every other row the same",  # blank images, padding
    "features": ", from features",  # otlabel is given those, everybody else the product
}


@dataclass(frozen=True)
class Source:
    """Where scores come from; every process that needs them makes them from this."""

    name: str
    n: int
    k: int
    dtype: str
    regime: str = ""  # of the mixture,
    kind: str = ""  # and what is special about it; or
    path: str = ""  # of a file
    seed: int = 0

    def load(self) -> np.ndarray:
        """(n, k) scores in memory, that can only be read."""
        if self.path:
            with np.errstate(over="ignore"):  # ``stored`` has looked
                scores = np.ascontiguousarray(read(Path(self.path))).astype(self.dtype, copy=False)
        elif self.kind == "features":
            features, weight = self.layer()
            scores = (features @ weight.T).astype(self.dtype, copy=False)
        else:
            scores = mixture(self.n, self.k, self.regime, self.seed, np.dtype(self.dtype))
            if self.kind == "ties":
                scores[::2] = scores[0]
        scores.flags.writeable = False
        return scores

    def layer(self) -> tuple[np.ndarray, np.ndarray]:
        """Features (n, d) and weight (k, d), float32, whose product the mixture's scores are."""
        blocks, centres = _items(self.n, self.k, self.regime, self.seed)
        return np.concatenate([items for _, items in blocks]), np.float32(REGIMES[self.regime][0]) * centres


def made(regime: str, n: int, k: int, dtype: str = "float32", seed: int = 0, kind: str = "") -> Source:
    """Scores of the mixture, of one of ``KINDS``."""
    return Source(f"mixture {regime}{KINDS[kind]}", n, k, dtype, regime=regime, seed=seed, kind=kind)


def stored(path: Path, dtype: str | None = None) -> Source:
    """Scores of a file, of the file's own type or another.

    Raises:
        ValueError: the file holds no such scores, or they do not fit into ``dtype``.
    """
    scores = read(path)
    n, k = scores.shape
    source = Source(path.name, n, k, dtype or scores.dtype.name, path=str(path.absolute()))
    if not np.isfinite(source.load()).all():
        raise ValueError(
            f"{path} must hold scores that --dtype {dtype} can hold; the largest is {np.abs(scores).max():g}."
        )
    return source


def read(path: Path) -> np.ndarray:
    """The (n, k) array of an .npy file, or the one called "logits", or the only one, of an .npz.

    Raises:
        ValueError: no such array, or not a matrix of finite numbers with as many rows as columns at least.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if isinstance(file, np.ndarray):
            scores = file
        else:
            with file:
                names = file.files
                chosen = "logits" if "logits" in names else names[0] if len(names) == 1 else None
                scores = np.zeros(0) if chosen is None else file[chosen]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} must be an .npy or .npz file of numbers: {error}") from None
    if not isinstance(file, np.ndarray) and chosen is None:
        raise ValueError(f"{path} must hold one array, or one called logits; it holds {', '.join(names) or 'none'}.")
    if scores.ndim != 2 or scores.dtype.kind not in "fiu" or not np.isfinite(scores).all():
        raise ValueError(
            f"{path} must hold a matrix of finite scores, a row an item, got {scores.dtype} {scores.shape}."
        )
    if not 2 <= scores.shape[1] <= scores.shape[0]:
        raise ValueError(f"{path} must hold two labels or more, and no fewer items than labels, got {scores.shape}.")
    return scores


def mixture(n: int, k: int, regime: str, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """(n, k) scores, made a block of rows at a time."""
    scores = np.empty((n, k), dtype=dtype)
    blocks, centres = _items(n, k, regime, seed)
    sharpness, _ = REGIMES[regime]
    for rows, items in blocks:
        scores[rows] = sharpness * (items @ centres.T)
    return scores


def _items(n: int, k: int, regime: str, seed: int) -> tuple[Iterator[tuple[slice, np.ndarray]], np.ndarray]:
    """Blocks of the mixture's items with their rows, and the centres (k, DIMENSIONS)."""
    _, noise = REGIMES[regime]
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, DIMENSIONS)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    share = 1.0 / (np.arange(k) + k / 10)

    def blocks() -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, n, 1 << 14):
            rows = slice(start, min(start + (1 << 14), n))
            count = rows.stop - rows.start
            own = rng.choice(k, size=count, p=share / share.sum())
            wiggle = noise / np.sqrt(DIMENSIONS) * rng.normal(size=(count, DIMENSIONS)).astype(np.float32)
            yield rows, (centres[own] + wiggle).astype(np.float32)

    return blocks(), centres


def mixture_on_device(n: int, k: int, regime: str, place, seed: int = 0):
    """(n, k) float16 scores of the same kind, made on a torch device with its own random numbers."""
    import torch

    sharpness, noise = REGIMES[regime]
    generator = torch.Generator(place).manual_seed(seed)
    centres = torch.nn.functional.normalize(torch.randn(k, DIMENSIONS, generator=generator, device=place))
    share = 1.0 / (torch.arange(k, device=place) + k / 10)
    scores = torch.empty(n, k, dtype=torch.float16, device=place)
    for rows in torch.split(scores, 1 << 16):
        own = torch.multinomial(share, len(rows), replacement=True, generator=generator)
        wiggle = torch.randn(len(rows), DIMENSIONS, generator=generator, device=place)
        torch.mul((centres[own] + noise / DIMENSIONS**0.5 * wiggle) @ centres.T, sharpness, out=rows)
    return scores
