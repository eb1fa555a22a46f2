"""A progress bar for long fits."""

from __future__ import annotations

import math
from typing import Any

from .._progress import Bar
from .alternation import Step


class Progress(Bar):
    """A tqdm bar to pass as ``callback``: assignments so far, and what the last one led to.

    with otlabel.cluster.Progress() as bar:
        model = BalancedKMeans(1000, callback=bar).fit(points)

    How many assignments there will be nobody knows beforehand: 15 to 30 as a rule.

    Args:
        options: passed on to tqdm.
    """

    def __init__(self, **options: Any):
        super().__init__(**({"desc": "cluster", "unit": "assignment"} | options))

    def __call__(self, step: Step) -> None:
        inertia = "" if math.isnan(step.inertia) else f", inertia {step.inertia:.6g}"
        self.bar.set_postfix_str(
            f"{step.phase}{inertia}, sizes {step.sizes.min()} to {step.sizes.max()}", refresh=False
        )
        self.bar.update()
