"""Resampling of a batch by its maps, on the device: images once, all masks once."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from augmentations.maps import Warp

MODES = {"constant": "zeros", "reflect": "reflection"}


def coordinates(warp: Warp, size: tuple[int, int], device: torch.device) -> Tensor:
    """Input positions (x, y) of output pixels, `(N, h, w, 2)`; −1 and 1 are the outer edges of the input `(H, W)`."""
    (height, width), count = warp.size, len(warp.matrix)
    scaled = warp.matrix.copy()
    for row, side in ((0, size[1]), (1, size[0])):  # pixel centres → −1..1
        scaled[:, row] *= 2 / side
        scaled[:, row] += (1 / side - 1) * scaled[:, 2]
    numbers = torch.from_numpy(scaled.astype(np.float32).reshape(count, 9)).to(device, non_blocking=True)
    m = numbers[:, :, None, None].unbind(1)
    x = torch.arange(width, device=device, dtype=torch.float32)[None, None].expand(count, 1, width)
    y = torch.arange(height, device=device, dtype=torch.float32)[None, :, None].expand(count, height, 1)
    if warp.columns is not None:
        x = x + torch.from_numpy(warp.columns).to(device)[:, None]
        y = y + torch.from_numpy(warp.rows).to(device)[:, :, None]
    if warp.radial is not None:
        middle, reach = torch.tensor([(width - 1) / 2, (height - 1) / 2]), (width**2 + height**2) / 4
        right, down = x - middle[0], y - middle[1]
        pull = torch.from_numpy(warp.radial).to(device)[:, None, None] * (right**2 + down**2) / reach
        x, y = x + right * pull, y + down * pull
    places = torch.empty(count, height, width, 2, device=device)
    torch.add(m[0] * x, m[1] * y + m[2], out=places[..., 0])
    torch.add(m[3] * x, m[4] * y + m[5], out=places[..., 1])
    if not np.array_equal(warp.matrix[:, 2], np.broadcast_to([0.0, 0, 1], (count, 3))):
        places /= (m[6] * x + (m[7] * y + m[8]))[..., None]
    if warp.field is not None:
        field = F.interpolate(torch.from_numpy(warp.field).to(device), warp.size, mode="bicubic", align_corners=False)
        places[..., 0].addcmul_(field[:, 0], torch.tensor(2 / size[1], device=device))
        places[..., 1].addcmul_(field[:, 1], torch.tensor(2 / size[0], device=device))
    return places


def warp_images(images: Tensor, places: Tensor, border: str) -> Tensor:
    """Linear interpolation of `(N, C, H, W)` of any type at `places`; float32."""
    floats = images.to(torch.float32) if images.dtype != torch.uint16 else images.int().to(torch.float32)
    return F.grid_sample(floats, places, mode="bilinear", padding_mode=MODES[border], align_corners=False)


class Nearest:
    """Nearest pixels of `places`, computed once for all masks of a batch.

    Args:
        places: positions `(N, h, w, 2)`, see `coordinates`.
        size: size `(H, W)` of the input.
        border: `constant` or `reflect`.
    """

    def __init__(self, places: Tensor, size: tuple[int, int], border: str) -> None:
        self.shape = places.shape[:3]
        height, width = size
        # Slightly increased, so that ties do not depend on rounding errors of the map.
        x = ((places[..., 0] + 1) * (width / 2) - 0.5 + 1e-3).round_()
        y = ((places[..., 1] + 1) * (height / 2) - 0.5 + 1e-3).round_()
        if border == "reflect":
            x, y, self.inside = _folded(x, width), _folded(y, height), None
        else:
            self.inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        x, y = x.clamp_(0, width - 1), y.clamp_(0, height - 1)
        self.places = y.mul_(width).add_(x).long().flatten(1)

    def __call__(self, masks: Tensor, fill: int | bool = 0) -> Tensor:
        """`(N, K, H, W)` or `(N, H, W)` of any type → the same at the size of the output; `fill` outside."""
        planes = masks.flatten(2) if masks.dim() == 4 else masks.flatten(1)[:, None]
        taken = planes.gather(2, self.places[:, None].expand(-1, planes.shape[1], -1))
        taken = taken.unflatten(2, self.shape[1:])
        if self.inside is not None:
            taken = taken.masked_fill(~self.inside[:, None], fill)
        return taken if masks.dim() == 4 else taken[:, 0]


def warp_numbers(maps: Tensor, places: Tensor, border: str, nearest: Nearest, exact: Tensor) -> Tensor:
    """Linear interpolation of float maps; keeps the type. Outside is 0, and is not mixed into other pixels.

    Args:
        maps: float maps `(N, K, H, W)` or `(N, H, W)`.
        places: positions `(N, h, w, 2)`, see `coordinates`.
        border: `constant` or `reflect`.
        nearest: nearest pixels of these places.
        exact: whether a sample needs no interpolation, `(N,)` bool; its values stay bit-identical.
    """
    planes = maps if maps.dim() == 4 else maps[:, None]
    wide = planes if planes.dtype == torch.float64 else planes.to(torch.float32)
    mode = "border" if border == "constant" else MODES[border]
    found = F.grid_sample(wide, places.to(wide.dtype), mode="bilinear", padding_mode=mode, align_corners=False)
    if nearest.inside is not None:
        found = found.masked_fill(~nearest.inside[:, None], 0)
    found = torch.where(exact.view(-1, 1, 1, 1), nearest(planes), found.to(maps.dtype))
    return found if maps.dim() == 4 else found[:, 0]


def _folded(values: Tensor, side: int) -> Tensor:
    """Indices mirrored at the outer edges of the pixels 0 … side − 1."""
    folded = values.remainder(2 * side)
    return torch.where(folded >= side, 2 * side - 1 - folded, folded)


def warp_boxes(boxes: Tensor, places: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Boxes of one image after the map: the extent of the output pixels from inside each box.

    Args:
        boxes: `(B, 4)` xyxy in pixels of the input.
        places: positions `(h, w, 2)` of this image, see `coordinates`.
        size: size `(H, W)` of the input.

    Returns:
        Boxes `(B, 4)` in the output, and whether each is visible, `(B,)`.
    """
    x, y = (places[..., 0] + 1) * (size[1] / 2), (places[..., 1] + 1) * (size[0] / 2)
    result, seen = torch.zeros_like(boxes), torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for number, (left, top, right, bottom) in enumerate(boxes):
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
        down, across = inside.any(1).nonzero(), inside.any(0).nonzero()
        if len(down):
            seen[number] = True
            extent = [across[0, 0], down[0, 0], across[-1, 0] + 1, down[-1, 0] + 1]
            result[number] = torch.stack(extent).to(boxes.dtype)
    return result, seen
