"""Segmentation: encoder-decoder networks, with image-level outputs beside the masks where the network has them."""

from typing import Any

from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from lightning_modules.base import BaseModule
from lightning_modules.outputs import deactivate


class SegmentationModule(BaseModule):
    """Masks from images: binary, multi-label or multi-class, in any number of named outputs.

    Trains on stacked crops; validates, tests and predicts images of any size through `inference`, one after the other,
    and returns probabilities at each image's own size. Its arguments are those of `BaseModule`.
    """

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> list[dict[str, Tensor]]:
        fitting = self.trainer.state.fn == TrainerFn.FITTING
        predictions = self._predict_batch(batch, tta=self.validate_with_tta or not fitting)
        for index, prediction in enumerate(predictions):
            # Tiles and views are averaged as probabilities; the loss wants the logits they came from.
            logits = {
                name: deactivate(value.unsqueeze(0), self.activations[name]) for name, value in prediction.items()
            }
            truth = {
                name: values[index].unsqueeze(0)
                for name, values in batch.items()
                if name not in ("image", "weight") and isinstance(values[index], Tensor)
            }
            total, _ = self.loss(logits, truth)
            self.log("val/loss", total, prog_bar=True, batch_size=1, on_epoch=True, on_step=False, sync_dist=True)
        return predictions

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> list[dict[str, Tensor]]:
        return self._predict_batch(batch, tta=True)

    def predict_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> list[dict[str, Tensor]]:
        return self._predict_batch(batch, tta=True)

    def _predict_batch(self, batch: dict[str, Any], tta: bool) -> list[dict[str, Tensor]]:
        self.check_inputs(batch)
        images = zip(*(batch[name] for name in self.inputs), strict=True)
        return [self.predict_image(list(inputs), tta) for inputs in images]
