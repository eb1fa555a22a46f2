"""Optimal-transport labelling: labels for n items from their scores, every label with its share of the items.

``otlabel.assign(logits, k=3000)`` is the library; docs/algorithm.md has the mathematics, with numbered equations.
"""

from ._arrays.score_source import ScoreSource
from ._assign import assign
from ._input.sources import LinearScores
from ._predictor import Predictor
from ._progress import Progress
from ._result import Assignment
from ._solver.outcome import ConvergenceWarning, Status, Step
from ._versions import show_versions

__version__ = "0.2.0"

__all__ = [
    "Assignment",
    "ConvergenceWarning",
    "LinearScores",
    "Predictor",
    "Progress",
    "ScoreSource",
    "Status",
    "Step",
    "assign",
    "show_versions",
]
