"""The randomness of each training step."""

import os
import random

import numpy as np
import pytorch_lightning as pl
import torch


class StepSeeds(pl.Callback):
    """Seed the global generators of Python, NumPy and torch before each training step, by run, epoch, batch and rank.

    So dropout and the like draw the same after a resume as in the unbroken run, whatever other code drew in between,
    and no generator has to be stored. Batches and their augmentation have seeds of their own.
    """

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        run = int(os.environ.get("PL_GLOBAL_SEED", 0))
        sequence = np.random.SeedSequence([run, trainer.current_epoch, batch_idx, trainer.global_rank])
        seed, other = (int(value) for value in sequence.generate_state(2))
        random.seed(seed)
        np.random.seed(other)  # noqa: NPY002 - the generator that libraries use
        # torch.manual_seed takes 0.8 ms where CUDA is not open, for the stack of a call that it puts off.
        torch.default_generator.manual_seed(seed << 32 | other)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed << 32 | other)
