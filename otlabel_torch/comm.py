"""One solve over the processes of torch.distributed: ``otlabel.assign(rows_of_this_process, comm=TorchComm())``."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist


class TorchComm:
    """Sums over a process group.

    Args:
        group: as torch.distributed knows it; the default group if None. gloo sums in host memory; nccl on the device
            that ``torch.cuda.set_device`` chose.
    """

    def __init__(self, group: dist.ProcessGroup | None = None):
        if not dist.is_initialized():
            raise RuntimeError(
                "TorchComm needs torch.distributed: call torch.distributed.init_process_group first, or leave comm out."
            )
        self.group, self.rank, self.size = group, dist.get_rank(group), dist.get_world_size(group)
        self._device = "cuda" if dist.get_backend(group) == "nccl" else "cpu"

    def all_reduce(self, array: np.ndarray) -> np.ndarray:
        """The sum over all processes of a float64 array of the same shape: the same bits in each."""
        total = torch.from_numpy(np.array(array, dtype=np.float64)).to(self._device)
        dist.all_reduce(total, group=self.group)
        return total.cpu().numpy()
