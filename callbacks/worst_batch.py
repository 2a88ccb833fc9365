"""Train once more on the worst batch of every ten."""

from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device

from compat.lightning import accumulates, nothing_logged


class WorstBatch(pl.Callback):
    """After every `every` batches take one more optimizer step, on the one of them with the largest loss.

    Carvana's 1st place (albu): hard images come twice as often, and no list of them is needed. The batch waits on the
    CPU; the extra step goes through the same precision, gradient scaler, clipping and gradient average of ranks as any
    other. Each rank repeats its own worst batch, all of them at the same moment. What the extra step logs is dropped:
    curves show the losses of the regular batches alone.

    Lightning's `global_step` does not count extra steps, so schedules, `max_steps` and checkpoints stay where they are
    without this callback. With `accumulate_grad_batches` the extra step follows the next regular one, so that no
    gradients mix, and has one batch. Counting goes on from one epoch to the next, and in a resumed run: the checkpoint
    holds the batches that wait (unless it goes on with another number of ranks, which forgets them).

    Comparing losses makes a GPU wait for each of them.

    Args:
        every: batches of which the worst is repeated; 10 there.

    Raises:
        ValueError: `every` below 1, or a module that steps its optimizers by itself.
    """

    def __init__(self, every: int = 10) -> None:
        if every < 1:
            raise ValueError(f"WorstBatch: every is {every}, expected 1 or more")
        self.every = every
        self.seen = 0  # batches of the present ten
        self.worst: tuple[float, int, Any] | None = None  # of the present ten: loss, number in its epoch, batch
        self.due: tuple[float, int, Any] | None = None  # of the ten before, when accumulation was not over

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit" and not pl_module.automatic_optimization:
            raise ValueError(
                f"WorstBatch: {type(pl_module).__name__} steps its optimizers by itself (automatic_optimization is "
                "False), so a step cannot be repeated from outside; leave the callback out"
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(outputs["loss"])
        # The first of ten is kept whatever its loss: with a rank that has none the others would wait for ever.
        if self.worst is None or loss > self.worst[0]:
            self.worst = loss, batch_idx, move_data_to_device(batch, "cpu")
        self.seen += 1
        if self.seen == self.every:
            self.due, self.worst, self.seen = self.worst, None, 0
        if self.due is not None and not accumulates(trainer):
            _, number, kept = self.due
            self.due = None
            extra_step(trainer, pl_module, move_data_to_device(kept, pl_module.device), number)

    def state_dict(self) -> dict[str, Any]:
        own = {"seen": self.seen, "worst": self.worst, "due": self.due}
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return {"ranks": [own]}
        every: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(every, own)
        return {"ranks": every}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        together = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank = torch.distributed.get_rank() if together else 0
        world = torch.distributed.get_world_size() if together else 1
        if len(state_dict["ranks"]) == world:
            own = state_dict["ranks"][rank]
            self.seen, self.worst, self.due = own["seen"], own["worst"], own["due"]


def extra_step(trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
    """One optimizer step on a batch as the trainer takes it, which neither counts nor logs.

    Args:
        trainer: between two of its own steps: no gradients are accumulated.
        module: in automatic optimization.
        batch: on the module's device.
        batch_idx: number of the batch in its epoch; augmentation on the device follows from it.
    """
    strategy, epoch = trainer.strategy, trainer.current_epoch
    optimizers = module.optimizers()
    optimizer = optimizers[0] if isinstance(optimizers, list) else optimizers

    def closure() -> torch.Tensor:
        found = strategy.training_step(batch, batch_idx)
        loss = found["loss"] if isinstance(found, dict) else found
        module.optimizer_zero_grad(epoch, batch_idx, optimizer)
        strategy.backward(loss, optimizer)
        return loss.detach()

    parts = getattr(module, "loss_parts", None)
    try:
        with nothing_logged(trainer, batch):
            module.optimizer_step(epoch, batch_idx, optimizer, closure)
            module.optimizer_zero_grad(epoch, batch_idx, optimizer)
    finally:
        if parts is not None:
            module.loss_parts = parts
