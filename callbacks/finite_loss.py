"""Stop a run whose loss is NaN or infinite."""

from typing import Any

import pytorch_lightning as pl
import torch


class FiniteLoss(pl.Callback):
    """Ends training with an error when the loss is NaN or infinite; earlier checkpoints are kept.

    It also prevents checkpoints of weights that are not finite, which a step with a finite loss may produce.

    Steps skipped by a gradient scaler are no error: their loss is finite and only the gradient overflows.

    Args:
        every: number of steps between checks. A check synchronises the GPU; at most this many steps are lost.
    """

    def __init__(self, every: int = 10) -> None:
        self.every = every
        self.sound: torch.Tensor | None = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs["loss"].detach()
        sound = torch.isfinite(loss)
        self.sound = sound if self.sound is None else self.sound & sound
        if (loss.device.type != "cpu" and trainer.global_step % self.every) or bool(self.sound):
            return
        parts = ", ".join(f"{name} = {float(value):.4g}" for name, value in pl_module.loss_parts.items())
        rates = ", ".join(f"{group['lr']:.3g}" for group in trainer.optimizers[0].param_groups[:1])
        gradients = [value.grad.norm() for value in pl_module.parameters() if value.grad is not None]
        norm = float(torch.stack(gradients).norm()) if gradients else 0.0
        when = (
            f"step {trainer.global_step}"
            if not bool(sound)
            else f"one of the {self.every} steps to {trainer.global_step}"
        )
        raise FloatingPointError(
            f"the loss is {float(loss):.4g} at {when} (epoch {trainer.current_epoch}): {parts}; learning rate {rates}, "
            f"gradient norm {norm:.3g}; images {batch['image_id'][:4]}. Lower the learning rate, clip gradients "
            "(trainer.gradient_clip_val), or check these images and their targets; earlier checkpoints are kept"
        )

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        trained = {name for name, _ in pl_module.named_parameters()}
        state = checkpoint["state_dict"]
        # Other buffers may be infinite on purpose, such as attention masks.
        names = [name for name in state if name in trained or name.endswith(("running_mean", "running_var"))]
        if not names or bool(torch.stack([torch.isfinite(state[name]).all() for name in names]).all()):
            return
        bad = [name for name in names if not bool(torch.isfinite(state[name]).all())]
        raise FloatingPointError(
            f"{len(bad)} of {len(names)} tensors of the network are not finite after step {trainer.global_step} (epoch "
            f"{trainer.current_epoch}), the first is {bad[0]}; no checkpoint is saved. Lower the learning rate or clip "
            "gradients (trainer.gradient_clip_val); earlier checkpoints are kept"
        )
