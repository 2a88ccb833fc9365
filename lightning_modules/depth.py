"""Bit depth of the images that a network was trained on: with another depth their brightness would change."""

from typing import Any

import torch
from torch import Tensor

DEPTHS = {torch.uint8: "uint8", torch.uint16: "uint16"}  # types whose largest value is white
KEY = "picture_depth"  # in a checkpoint


class ImageDepth:
    """Remembers the first bit depth and rejects others; does not check other types, nor volumes of measured values."""

    def __init__(self) -> None:
        self.seen: str | None = None

    def check(self, images: Tensor, image_id: str | None = None) -> None:
        """Check images `(N, C, H, W)`, or the image `(C, H, W)` of an id.

        Raises:
            ValueError: the images have 16 bits and earlier ones had 8, or vice versa.
        """
        found = DEPTHS.get(images.dtype)
        if found is None or (images.dim() == 4) == (image_id is not None):
            return
        if self.seen is None:
            self.seen = found
        elif found != self.seen:
            what = "these images are" if image_id is None else f"image {image_id!r} is"
            raise ValueError(
                f"{what} {found}, but the network was trained on {self.seen}, where the same value has another "
                "brightness. Convert all images to one depth: python cli.py prepare --bits 8 (or 16)"
            )

    def check_batch(self, batch: dict[str, Any]) -> None:
        """Check each image of an evaluation batch."""
        for image_id, image in zip(batch.get("image_id", ()), batch["image"], strict=False):
            if isinstance(image, Tensor):
                self.check(image, image_id)
