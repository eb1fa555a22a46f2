"""Labels that came from elsewhere."""

from __future__ import annotations

from .base import Assigner, Context, Labelling


class File(Assigner):
    """The labels of a table. What the network has learned from them labels other images."""

    needs = "table"
    updates = False
    predicts_others = True

    def solve(self, context: Context) -> Labelling:
        assert context.table is not None, "the table is read before the run"
        return Labelling.without_plan(context.table, context.config.k)
