"""Balanced clusters of embeddings, as a scikit-learn estimator."""

try:
    import sklearn  # noqa: F401
except ImportError as missing:
    raise ImportError("otlabel.cluster needs scikit-learn: pip install 'otlabel[cluster]'.") from missing

from .alternation import Step
from .estimator import BalancedKMeans
from .progress import Progress
from .residual import ResidualKMeans

__all__ = ["BalancedKMeans", "Progress", "ResidualKMeans", "Step"]
