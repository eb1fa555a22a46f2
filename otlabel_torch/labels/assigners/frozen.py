"""Transport's labels of the untrained network."""

from __future__ import annotations

from .sinkhorn import Sinkhorn


class Frozen(Sinkhorn):
    """The first labels, never updated: what updating them is compared with."""

    title = None
    updates = False
