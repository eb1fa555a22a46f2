"""What the network is trained to make small, by name. Nothing slow to import: --help lists them."""

from ...system.registry import Registry

LOSSES = Registry("loss", {"cross-entropy": f"{__name__}.cross_entropy:CrossEntropy"})

register_loss = LOSSES.register
