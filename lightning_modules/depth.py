"""The depth of the pictures that a network has seen: another one would mean another brightness."""

from typing import Any

import torch
from torch import Tensor

DEPTHS = {torch.uint8: "uint8", torch.uint16: "uint16"}  # types whose largest number is white
KEY = "picture_depth"  # in a checkpoint


class PictureDepth:
    """Remembers the first depth, and refuses another; other types, and volumes, whose numbers are measures, pass."""

    def __init__(self) -> None:
        self.seen: str | None = None

    def check(self, images: Tensor, image_id: str | None = None) -> None:
        """Look at pictures `(N, C, H, W)`, or at one `(C, H, W)` of this id.

        Raises:
            ValueError: they have 16 bits and those before had 8, or the other way round.
        """
        found = DEPTHS.get(images.dtype)
        if found is None or (images.dim() == 4) == (image_id is not None):
            return
        if self.seen is None:
            self.seen = found
        elif found != self.seen:
            what = "these pictures are" if image_id is None else f"image {image_id!r} is"
            raise ValueError(
                f"{what} {found}, the network has seen {self.seen}: the same number means another brightness. Bring "
                "all pictures to one depth: python cli.py prepare --bits 8 (or 16)"
            )

    def check_batch(self, batch: dict[str, Any]) -> None:
        """Look at each image of an evaluation batch, by its id."""
        for image_id, image in zip(batch.get("image_id", ()), batch["image"], strict=False):
            if isinstance(image, Tensor):
                self.check(image, image_id)
