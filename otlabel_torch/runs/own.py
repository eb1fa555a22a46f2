"""The images that a run has labels of: one rule for all who ask for them."""

from __future__ import annotations

from ..images.images import Images
from ..images.imbalance import imbalanced
from ..labels.given import read_labels
from ..options.config import Config


def labelled(config: Config, images: Images, fingerprint: str) -> Images | None:
    """Of all images that a configuration names those that are meant by a fingerprint; None: others are.

    Those that ``imbalance`` leaves out have no label, nor those that the table of ``labels`` has none for.
    """
    if config.imbalance is not None:
        images = imbalanced(images, config.imbalance, config.seed)
    if images.fingerprint != fingerprint and config.labels is not None and config.labels.is_file():
        images = read_labels(config.labels, images, in_order=config.labels_in_order).only(images, config.labels)
    return images if images.fingerprint == fingerprint else None
