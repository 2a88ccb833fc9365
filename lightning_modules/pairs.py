"""Pairs: whether two images show the same class."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_modules.base import BaseModule


class PairModule(BaseModule):
    """Trains and validates a network on pairs of images: `networks.Siamese` with `inputs: [image, other]`.

    Use it with `datamodules.PairDataModule`, `outputs: [same]` and `loss: bce`. Both images are normalised. Predictions
    are for single images, by the branch only: the store holds `features` `(F,)` of each, which `network.compare`
    compares in pairs. The arguments are those of `BaseModule`.
    """

    def network_inputs(self, batch: dict[str, Any]) -> list[Tensor]:
        self.check_inputs(batch)
        images = ("image", "other")
        return [self.normalise(batch[name]) if name in images else batch[name] for name in self.inputs]

    def predict_step(self, batch: dict[str, Any], batch_idx: int, dataloader_idx: int = 0) -> list[dict[str, Tensor]]:
        return [{"features": self.image_features(image)} for image in batch["image"]]

    def streams(self, size: Sequence[int]) -> bool:
        return False  # one vector per image: no strips to write

    def predict_batch(self, batch: dict[str, Any], tta: bool) -> list[dict[str, Tensor]]:
        return [self.predict_pair(*pair) for pair in zip(batch["image"], batch["other"], strict=True)]

    @torch.inference_mode()
    def image_features(self, image: Tensor, tta: bool = True) -> Tensor:
        """Features `(F,)` of an image `(C, H, W)` in the type and range of its file; the mean over views."""

        def forward(batch: Tensor) -> dict[str, Tensor]:
            return {"features": self.network.features(batch).float()}

        return self.inference(forward, self.normalise(image[None]), tta=tta)["features"][0]

    @torch.inference_mode()
    def predict_pair(self, image: Tensor, other: Tensor) -> dict[str, Tensor]:
        """Probability `same` `(1,)` of two images of any sizes."""
        one, two = (self.image_features(each, tta=False) for each in (image, other))
        (name,) = self.names
        return {name: self.network.compare(one[None], two[None])[0].sigmoid()}
