"""Tiles along the edges of a coarse prediction, which is kept elsewhere."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from inference.tiles import Padding, Window, read_window, window_weights
from inference.tta import Forward, full_size
from preprocessing.edge_patches import edge_patches


def predict_edges(
    forward: Forward,
    image: Tensor,
    coarse: dict[str, np.ndarray],
    tile: int,
    stride: Sequence[int],
    min_cover: int = 2,
    window: Window = "gaussian",
    padding: Padding = "reflect",
    batch_size: int = 1,
) -> dict[str, Tensor]:
    """Probabilities of one image: of the network inside tiles, of the coarse stage elsewhere.

    Args:
        forward: `(n, C, h, w)` -> spatial probabilities `(n, K, h, w)` by output name.
        image: `(1, C, H, W)` float, normalised.
        coarse: probabilities `(K, h, w)` of any size by output name; outputs that the network lacks are kept unchanged.
            Edges are those of the channels thresholded at 0.5.
        tile: side of a tile in pixels; a smaller image is extended to a multiple of `stride`.
        stride: divisors of the sides of a tile.
        min_cover: smallest number of tiles over each pixel of an edge; tiles may extend beyond the image.
        window: blending weight of a tile's pixels.
        padding: padding beyond the image.
        batch_size: number of tiles per forward pass.

    Returns:
        Probabilities `(1, K, H, W)` float32 by output name.

    Raises:
        ValueError: the network has an image-level output, or one that the coarse stage lacks.
    """
    size = image.shape[-2:]
    maps = {
        name: F.interpolate(torch.from_numpy(value)[None].float(), size=tuple(size), mode="bilinear").to(image.device)
        for name, value in coarse.items()
        if value.ndim == 3
    }
    if not maps:
        raise ValueError(f"inference.coarse_run: the coarse stage has no spatial output, only {sorted(coarse)}")
    mask = torch.cat([(value > 0.5)[0] for value in maps.values()]).cpu().numpy()
    found = [edge_patches(channel, tile, min_cover, beyond=True) for channel in mask]
    patches = np.unique(np.concatenate(found), axis=0).tolist()
    sides = [-(-min(tile, side) // step) * step for side, step in zip(size, stride, strict=True)]
    weight = torch.outer(*(window_weights(side, window).float() for side in sides)).to(image.device)
    totals: dict[str, Tensor] = {}
    count = torch.zeros(size, device=image.device)
    for start in range(0, len(patches), batch_size):
        chosen = [
            (top - (sides[0] - h) // 2, left - (sides[1] - w) // 2)
            for top, left, h, w in patches[start : start + batch_size]
        ]
        tiles = [read_window(image, top, left, sides[0], sides[1], padding) for top, left in chosen]
        for name, value in forward(torch.cat(tiles)).items():
            if value.ndim != 4 or name not in maps:
                raise ValueError(
                    f"inference.coarse_run: output {name!r} of the network has the shape {tuple(value.shape)}, "
                    f"expected a spatial output that the coarse stage has too: {', '.join(maps)}"
                )
            total = totals.setdefault(name, torch.zeros_like(maps[name]))
            for (top, left), one in zip(chosen, full_size(name, value, sides).float(), strict=True):
                rows, columns = (
                    slice(max(0, first), first + side) for first, side in ((top, sides[0]), (left, sides[1]))
                )
                inside = [
                    slice(max(0, -first), min(side, limit - first))
                    for first, side, limit in ((top, sides[0], size[0]), (left, sides[1], size[1]))
                ]
                total[0, :, rows, columns] += (one * weight)[:, inside[0], inside[1]]
                if name == next(iter(totals)):
                    count[rows, columns] += weight[inside[0], inside[1]]
    refined = {
        name: torch.where(count > 0, total / count.clamp_min(1e-12), maps[name]) for name, total in totals.items()
    }
    return maps | refined
