"""Segmentation by encoder-decoder networks, with optional image-level outputs."""

from typing import Any

from torch import Tensor

from lightning_modules.base import BaseModule


class SegmentationModule(BaseModule):
    """Predicts masks: binary, multi-label or multi-class, in any number of named outputs.

    It trains on stacked crops; it validates, tests and predicts images of any size through `inference` and returns
    probabilities of the size of each image. Images are predicted one by one, unless `inference.batch_size` is above 1:
    then tiles of several images of a batch (`data.eval_batch_size`) share a forward pass. The arguments are those of
    `BaseModule`.
    """

    def predict_batch(self, batch: dict[str, Any], tta: bool) -> list[dict[str, Tensor]]:
        images = list(zip(*(batch[name] for name in self.inputs), strict=True))
        if len(images) > 1 and self.inference.mixes and all(inputs[0].ndim == 3 for inputs in images):
            return self.predict_together([list(inputs) for inputs in images], tta)
        ids = batch.get("image_id") or [None] * len(batch[self.inputs[0]])
        return [self.predict_image(list(inputs), tta, name) for inputs, name in zip(images, ids, strict=True)]
