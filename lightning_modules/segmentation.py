"""Segmentation: encoder-decoder networks, with image-level outputs beside the masks where the network has them."""

from typing import Any

from torch import Tensor

from lightning_modules.base import BaseModule


class SegmentationModule(BaseModule):
    """Masks from images: binary, multi-label or multi-class, in any number of named outputs.

    Trains on stacked crops; validates, tests and predicts images of any size through `inference`, one after the other,
    and returns probabilities at each image's own size. Its arguments are those of `BaseModule`.
    """

    def predict_batch(self, batch: dict[str, Any], tta: bool) -> list[dict[str, Tensor]]:
        images = zip(*(batch[name] for name in self.inputs), strict=True)
        ids = batch.get("image_id") or [None] * len(batch[self.inputs[0]])
        return [self.predict_image(list(inputs), tta, name) for inputs, name in zip(images, ids, strict=True)]
