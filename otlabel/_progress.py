"""A progress bar for long solves."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any, Self

from ._solver.outcome import Step


class Bar:
    """What all bars of tqdm here have in common: it is imported when used, and closed at the end of a ``with``.

    Args:
        settings: passed on to tqdm.

    Raises:
        ImportError: tqdm is not installed.
    """

    def __init__(self, **settings: Any):
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise ImportError("A progress bar needs tqdm, which is not installed: pip install tqdm.") from None
        self.bar = tqdm(**settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()


class Progress(Bar):
    """A tqdm bar to pass as ``callback``: the digits of the error that are still to go.

    with otlabel.Progress(tol=1e-4) as bar:
        result = otlabel.assign(logits, callback=bar)

    Args:
        tol: that of the solve.
        options: passed on to tqdm.
    """

    def __init__(self, tol: float = 1e-4, **options: Any):
        self.tol, self.head, self.start, self.done = tol, -1, 1.0, 0.0
        layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}"
        super().__init__(**({"total": 1.0, "desc": "assign", "bar_format": layout} | options))

    def __call__(self, step: Step) -> None:
        if step.head != self.head:
            self.head, self.start, self.done = step.head, step.error, 0.0
            self.bar.reset()
        # The error falls by a factor a survey, roughly: its logarithm is what moves evenly.
        span = math.log(max(self.start, self.tol) / self.tol) or 1.0
        share = 1.0 - math.log(max(step.error, self.tol) / self.tol) / span
        self.done = min(1.0, max(self.done, share))
        self.bar.set_postfix_str(f"head {step.head}, {step.sweeps:.1f} sweeps, error {step.error:.1e}", refresh=False)
        self.bar.update(self.done - self.bar.n)
