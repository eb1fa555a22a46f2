"""Rules that label images, by name. Nothing slow to import: --help lists them."""

from ...system.registry import Registry

ASSIGNERS = Registry(
    "assigner",
    {
        "sinkhorn": f"{__name__}.sinkhorn:Sinkhorn",
        "kmeans": f"{__name__}.kmeans:KMeans",
        "frozen": f"{__name__}.frozen:Frozen",
        "random": f"{__name__}.random:Random",
        "file": f"{__name__}.file:File",
    },
)

register_assigner = ASSIGNERS.register
