"""Image-level outputs from random crops instead of a grid of tiles."""

from collections.abc import Sequence

import torch
from torch import Tensor

from inference.tiles import Axis, Padding, random_origins, read_window
from inference.tta import Forward, Merge, Merging


def predict_crops(
    forward: Forward,
    image: Tensor,
    axes: Sequence[Axis],
    count: int,
    merge: Merging = "mean",
    batch_size: int = 1,
    padding: Padding = "reflect",
) -> dict[str, Tensor]:
    """Image-level outputs, merged over random crops, which are the same for all images of a size.

    Args:
        forward: `(n, C, h, w)` -> image-level probabilities `(n, K)` by output name.
        image: `(N, C, H, W)` float, normalised.
        axes: rows and columns of `plan_axis`; crops have the size of their tiles.
        count: number of crops.
        merge: rule to merge crops.
        batch_size: number of crops per forward pass.
        padding: padding beyond an image smaller than a crop.

    Returns:
        Probabilities `(N, K)` float32 by output name.

    Raises:
        ValueError: an output is spatial.
    """
    levels: dict[str, Merge] = {}
    (height, width), places = [axis.tile for axis in axes], random_origins(axes, count)
    for start in range(0, count, batch_size):
        chosen = places[start : start + batch_size]
        crops = [read_window(image, top, left, height, width, padding) for top, left in chosen]
        for name, value in forward(crops[0] if len(crops) == 1 else torch.cat(crops)).items():
            if value.ndim > 2:
                raise ValueError(
                    f"inference.crops is for image-level outputs, but output {name!r} is spatial; remove crops to "
                    "predict with a grid of tiles"
                )
            for crop in value.chunk(len(crops)):
                levels.setdefault(name, Merge(merge)).add(crop)
    return {name: level.result().to(image.device) for name, level in levels.items()}
