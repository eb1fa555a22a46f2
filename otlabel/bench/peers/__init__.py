"""Other solvers of the same problem, an adapter each. An adapter does what has to be done once, and returns the solve.

The problem: scores (n, k), rows of weight 1/n, columns of 1/k, temperature epsilon; stop at an L1 error of the column
sums of ``tol``. Where a library measures its error otherwise, the adapter says how that is translated. What a solve
converts (a cost matrix, float64) counts as its time, as it would for its users.
"""

from __future__ import annotations

from . import labels, plans, semidiscrete
from .task import Peer

PEERS = (
    Peer("SeLa textbook", None, None, False, "the paper's iteration, float64", plans.sela_textbook),
    Peer("SwAV, 3 iterations", None, None, False, "SwAV's and Lightly's fixed few, float32", plans.swav),
    Peer("POT sinkhorn", "ot", "POT", False, "ot.sinkhorn, float64", plans.pot_sinkhorn),
    Peer("POT sinkhorn_log", "ot", "POT", False, "the same in logarithms", plans.pot_sinkhorn_log),
    Peer("OTT", "ott", "ott-jax", False, "OTT-JAX in logarithms, float32", plans.ott),
    Peer("OTT momentum", "ott", "ott-jax", False, "the same, over-relaxed by 1.5", plans.ott_momentum),
    Peer("OTT Anderson", "ott", "ott-jax", False, "the same, Anderson acceleration of memory 5", plans.ott_anderson),
    Peer("GeomLoss", "geomloss", "geomloss", False, "geomloss.ot.solve of a cost matrix, float32", plans.geomloss),
    Peer("POT semidiscrete", "ot", "POT", False, "ot.semidiscrete, averaged SGD, float32", semidiscrete.pot),
    Peer("OTT semidiscrete", "ott", "ott-jax", False, "OTT-JAX's SemidiscreteSolver, SGD, float32", semidiscrete.ott),
    Peer("mdot-tnt", "mdot_tnt", "mdot-tnt", False, "truncated Newton, float32; no commercial use", plans.mdot_tnt),
    Peer("SciPy assignment", "scipy", "scipy", True, "linear_sum_assignment, a column a place", labels.assignment),
    Peer("POT network simplex", "ot", "POT", True, "ot.emd", labels.network_simplex),
    Peer("POT EMD warm", "ot", "POT", True, f"the same after {labels.MORE} textbook iterations", labels.warm_emd),
    Peer(
        "POT EMD near ties", "ot", "POT", True,
        f"the same of sparse costs: an item's best {labels.NEAR} labels, and more until its duals want none",
        labels.sparse_emd,
    ),
    Peer(
        "k-means-constrained", "k_means_constrained", "k-means-constrained", True,
        "its assignment step, OR-tools' minimum-cost flow", labels.k_means_constrained,
    ),
)  # fmt: skip
