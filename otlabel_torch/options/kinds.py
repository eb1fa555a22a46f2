"""Rules that label images, and losses: a line each with the name and the class, which is imported when asked for.

Nothing slow to import: --help lists the names.
"""

from ..system.registry import Registry

ASSIGNERS = Registry(
    "assigner",
    {
        "sinkhorn": "otlabel_torch.labels.assigners.sinkhorn:Sinkhorn",
        "clusters": "otlabel_torch.labels.assigners.clusters:Clusters",
        "kmeans": "otlabel_torch.labels.assigners.kmeans:KMeans",
        "frozen": "otlabel_torch.labels.assigners.frozen:Frozen",
        "random": "otlabel_torch.labels.assigners.random:Random",
        "file": "otlabel_torch.labels.assigners.file:File",
    },
)
LOSSES = Registry("loss", {"cross-entropy": "otlabel_torch.training.losses.cross_entropy:CrossEntropy"})

register_assigner = ASSIGNERS.register
register_loss = LOSSES.register
