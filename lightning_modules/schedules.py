"""Learning-rate schedules that follow a run's progress, so that they end when the time budget ends."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class WarmupCosine(LRScheduler):
    """Linear warm-up, then half a cosine down to `final` times the learning rate.

    Its clock is the run's progress in 0..1, which the LightningModule sets before every step to
    max(step / total steps, elapsed / `trainer.max_time`): a run that is stopped by the clock has been annealed
    all the same, one that is stopped by its epochs too.

    Args:
        optimizer: given by the LightningModule.
        warmup: share of the run that is spent warming up. 0.05: large enough for AdamW's second moments.
        start: learning-rate factor at the first step.
        final: learning-rate factor at the end.
    """

    def __init__(self, optimizer: Optimizer, warmup: float = 0.05, start: float = 0.02, final: float = 0.001):
        if not 0 <= warmup < 1:
            raise ValueError(f"WarmupCosine: warmup is a share of the run in [0, 1), got {warmup}")
        self.warmup, self.start, self.final = warmup, start, final
        self.progress = 0.0
        super().__init__(optimizer)

    def factor(self) -> float:
        """Learning-rate factor at the present progress."""
        if self.progress < self.warmup:
            return self.start + (1 - self.start) * self.progress / self.warmup
        share = min(1.0, (self.progress - self.warmup) / (1 - self.warmup))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))

    def get_lr(self) -> list[float]:
        return [base * self.factor() for base in self.base_lrs]
