"""Progressive resizing: small images first, large ones later."""

import bisect
from typing import Literal

import pytorch_lightning as pl

from augmentations.resize import Resize, sides


class ImageSize(pl.Callback):
    """Changes the image size of training at given epochs: progressive resizing (fast.ai; DAWNBench 2018).

    Batches are scaled (or cropped) on the device after `model.augmentation`; the workers of the loader do not change.
    Before the first of the epochs images have the loader's size. The size in validation does not change. It depends
    only on the epoch, so a resumed run has the right one.

    Args:
        sizes: sizes by their first epoch: a number of pixels for both sides, `[H, W]`, or null for the loader's size:
            `{0: 128, 10: 192, 20: null}`.
        how: `scale` resizes the full image, `crop` takes a random crop of each sample.

    Raises:
        ValueError: there are no epochs, an epoch is negative, or a size is below 1.
    """

    def __init__(self, sizes: dict[int, int | list[int] | None], how: Literal["scale", "crop"] = "scale") -> None:
        if not sizes or min(sizes) < 0:
            raise ValueError(f"ImageSize: sizes is {sizes}, expected epoch -> size, such as {{0: 128, 10: 256}}")
        self.epochs = sorted(sizes)
        self.sizes = [sides(sizes[epoch]) for epoch in self.epochs]
        self.step = Resize(how=how)

    def at(self, epoch: int) -> tuple[int, int] | None:
        """Size `(H, W)` of an epoch; None for the loader's size."""
        place = bisect.bisect_right(self.epochs, epoch)
        return self.sizes[place - 1] if place else None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            pl_module.augmentation = [*pl_module.augmentation, self.step]

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        pl_module.augmentation = [step for step in pl_module.augmentation if step is not self.step]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.step.size = self.at(trainer.current_epoch)  # a run resumed within an epoch does not start one

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.step.size = self.at(trainer.current_epoch)
