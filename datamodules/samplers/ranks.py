"""The rank of this process in distributed training."""

import sys


def rank_and_world() -> tuple[int, int]:
    """Return the rank of this process and the number of ranks; (0, 1) outside distributed training."""
    torch = sys.modules.get("torch")  # if it is not imported, there is no training
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
