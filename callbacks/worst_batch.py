"""An extra training step on the worst of every ten batches."""

from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.apply_func import move_data_to_device

from compat.lightning import accumulates, nothing_logged


class WorstBatch(pl.Callback):
    """After every `every` batches, takes an extra optimizer step on the one with the largest loss.

    Carvana's 1st place (albu): hard images are seen twice as often, without a list of them. The batch is kept on the
    CPU; the extra step uses the same precision, gradient scaler, clipping and gradient averaging over ranks as any
    other. Each rank repeats its own worst batch, all at the same time. Logs of the extra step are dropped: curves show
    the losses of regular batches only.

    Lightning's `global_step` does not count extra steps, so schedules, `max_steps` and checkpoints are as without this
    callback. With `accumulate_grad_batches` the extra step, of one batch, follows the next regular step, so that
    gradients do not mix. Counting continues over epochs and in a resumed run: checkpoints hold the kept batches (they
    are dropped if the number of ranks changes).

    Comparing losses synchronises the GPU at each step.

    Args:
        every: number of batches of which the worst is repeated; 10 in the source.

    Raises:
        ValueError: `every` is below 1, or the module uses manual optimization.
    """

    def __init__(self, every: int = 10) -> None:
        if every < 1:
            raise ValueError(f"WorstBatch: every is {every}, expected 1 or more")
        self.every = every
        self.seen = 0  # batches of the current group
        self.worst: tuple[float, int, Any] | None = None  # worst of the current group: loss, batch_idx, batch
        self.due: tuple[float, int, Any] | None = None  # worst of the last group, if accumulation was not finished

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit" and not pl_module.automatic_optimization:
            raise ValueError(
                f"WorstBatch: {type(pl_module).__name__} uses manual optimization (automatic_optimization is False), "
                "so its steps cannot be repeated; remove the callback"
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(outputs["loss"])
        # The first batch is kept even with a NaN loss: other ranks would wait forever for a rank without a batch.
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
    """One optimizer step on a batch, as taken by the trainer, that is neither counted nor logged.

    Args:
        trainer: trainer between two steps, without accumulated gradients.
        module: module with automatic optimization.
        batch: batch on the module's device.
        batch_idx: index of the batch in its epoch, which determines augmentation on the device.
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
