"""Contents made up for pages."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from otlabel.explore.contents import Contents


class Squares:
    """Thumbnails of one colour each: the item's number, in red and green."""

    side = 16

    def sheets(self, order):
        for start in range(0, len(order), self.side**2):
            small = np.zeros((self.side**2, 3), np.uint8)
            rows = order[start : start + self.side**2]
            small[: len(rows)] = np.stack([rows % 256, rows // 256 % 256, np.full(len(rows), 128)], axis=1)
            data = io.BytesIO()
            Image.fromarray(small.reshape(self.side, self.side, 3)).resize((128, 128), 0).save(
                data, "webp", lossless=True
            )
            yield data.getvalue()


def contents(rng, n=600, k=12, heads=2, times=4, images=True, **more):
    """Random labels, classes that go with them, and some history."""
    labels = rng.integers(0, k, (n, heads))
    history = [(f"after {epoch} epochs", rng.integers(0, k, n)) for epoch in range(times - 1)]
    given = {
        "title": "a run",
        "names": [f"class/{i:06d}.png" for i in range(n)],
        "labels": labels,
        "k": k,
        "confidence": rng.random((n, heads)),
        "classes": np.where(rng.random(n) < 0.7, labels[:, 0] % 5, rng.integers(0, 5, n)),
        "class_names": ["ant", "bee", "cat", "dog", "eel"],
        "centres": [rng.normal(size=(k, 8)) for _ in range(heads)],
        "history": [*history, ("after 9 epochs", labels[:, 0])] if times else (),
        "thumbnails": Squares() if images else None,
        "items": "images" if images else "items",
    }
    return Contents(**(given | more))
