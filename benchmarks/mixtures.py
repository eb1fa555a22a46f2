"""Scores to measure on: what a classifier gives to a long-tailed mixture, seeded, at any size.

Items are noisy copies of k unit centres in 64 dimensions; the share of centre j falls like 1/(j + k/10). Scores are the
inner products with all centres, times a sharpness: like the logits of a network trained on the mixture.
"""

from __future__ import annotations

import numpy as np

DIMENSIONS = 64
REGIMES = {
    "first": (1.0, 1.0),  # a random network: scores say little
    "broad": (3.0, 1.0),  # hundreds of labels carry a row
    "peaked": (12.0, 0.5),  # a few labels carry a row
}  # (sharpness, noise): the length of the noise vector relative to the centre's


def mixture(n: int, k: int, regime: str, seed: int = 0, dtype: type = np.float32) -> np.ndarray:
    """(n, k) scores, made a block of rows at a time."""
    sharpness, noise = REGIMES[regime]
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, DIMENSIONS)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    share = 1.0 / (np.arange(k) + k / 10)
    scores = np.empty((n, k), dtype=dtype)
    for start in range(0, n, 1 << 14):
        rows = slice(start, min(start + (1 << 14), n))
        count = rows.stop - rows.start
        own = rng.choice(k, size=count, p=share / share.sum())
        items = centres[own] + noise / np.sqrt(DIMENSIONS) * rng.normal(size=(count, DIMENSIONS)).astype(np.float32)
        scores[rows] = sharpness * (items.astype(np.float32) @ centres.T)
    return scores


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
