"""This process among those that train together."""

import sys


def rank_and_world() -> tuple[int, int]:
    """This process's rank and the number of ranks; (0, 1) outside distributed training."""
    torch = sys.modules.get("torch")  # where nobody has imported it, nobody trains
    if torch is not None and torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
