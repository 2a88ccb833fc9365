"""Prediction of images of any size: tiles x test-time augmentation, the same object in validation and prediction."""

import hashlib
import json
import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from postprocessing.tiles import Axis, Padding, StripMerge, Window, plan_axis, read_window, to_bytes
from postprocessing.tta import IDENTITY, VIEWS, Forward, TestTime, View, averaged_views
from postprocessing.volume_tiles import FLIPS, NO_FLIP, predict_volume


class Inference:
    """How an image is predicted: in overlapping tiles or whole, seen in one or several views.

    Tiles (or the whole image) are extended to a multiple of `stride`, predicted, cropped back and blended. All averages
    are taken in float32 over probabilities, after the activation. Spatial outputs come back at the image's size;
    image-level outputs are the mean over tiles and views. Under tiles, memory is bounded by one strip of tiles beside
    the image and its result.

    Args:
        tile: side of a tile in pixels, or one per axis (`[slices, rows, columns]` of a volume), rounded up to a
            multiple of `stride`. Best the size the network was trained on. None predicts the whole image at once. An
            image smaller than the tile is predicted whole.
        overlap: share of a tile in [0, 1) that it has in common with the next. 0.25 hides seams for 1.8 times the
            work; 0.5 costs 4 times.
        window: weight of a tile's pixels in the blend: `gaussian` trusts the centre (least seams), `pyramid` falls
            linearly, `constant` is the plain mean.
        tta: views that are averaged: `none`, `flips` (4: as is, mirrored, upside down, both; of volumes all 8 along
            three axes) or `d4` (8: all flips and quarter turns; for images without an up side, not for volumes).
        stride: sides that reach the network are multiples of this, or of one per axis. 32 suits five-stage encoders; a
            network of fixed input size gets `stride` equal to `tile`.
        batch_size: tiles in one forward. 1 is fastest on a CPU; more fills a GPU.
        padding: what lies beyond the image's edges: `reflect` (`replicate` where the image is too small to reflect),
            `replicate`, or `constant` (0, the mean of a normalised image).
        size: height and width that every image is resized to before the network sees it (bilinear, with antialiasing
            where it shrinks); spatial outputs are brought back to the image's own size. For networks of one input size,
            classifiers, and coarse masks of large pictures (Carvana at 320 x 480). None leaves images as they are.
        margin: let border tiles hang over the edges, so that border pixels are seen by as many tiles as those inside
            (U-Net's overlap-tile strategy, https://arxiv.org/abs/1505.04597). With an overlap of 0.5 every pixel is
            seen by at least 4 tiles. An axis within one tile gets none. Off: it adds a ring of tiles.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        tile: int | list[int] | None = None,
        overlap: float = 0.25,
        window: Literal["gaussian", "pyramid", "constant"] = "gaussian",
        tta: Literal["none", "flips", "d4"] = "none",
        stride: int | list[int] = 32,
        batch_size: int = 1,
        padding: Literal["reflect", "replicate", "constant"] = "reflect",
        margin: bool = False,
        size: list[int] | None = None,
    ):
        for name, value in (("tile", tile), ("stride", stride), ("batch_size", batch_size)):
            if value is not None and (value == [] or min(value if isinstance(value, list) else [value]) < 1):
                raise ValueError(f"inference.{name} is {value}, expected 1 or more")
        if not 0 <= overlap < 1:
            raise ValueError(f"inference.overlap is {overlap}, expected a share of the tile in [0, 1)")
        for name, value, kind in (("window", window, Window), ("tta", tta, TestTime), ("padding", padding, Padding)):
            if value not in kind.__args__:
                raise ValueError(f"inference.{name} is {value!r}, expected one of {', '.join(kind.__args__)}")
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"inference.size is {size}, expected [height, width] in pixels")
        if margin and tile is None:
            raise ValueError("inference.margin is for tiles, but inference.tile is not set; set it or leave margin out")
        self.tile = tile
        self.overlap = overlap
        self.window = window
        self.tta = tta
        self.stride = stride
        self.batch_size = batch_size
        self.padding = padding
        self.margin = margin
        self.size = size

    @torch.no_grad()
    def __call__(
        self, forward: Forward, image: Tensor, tta: bool = True, dtype: torch.dtype = torch.float32
    ) -> dict[str, Tensor]:
        """Probabilities of an image, or of several of one size.

        Args:
            forward: `(n, C, h, w)` -> probabilities by output name, after the activation: spatial `(n, K, h, w)`, or
                `(n, K, h / s, w / s)` for a whole s (then resized bilinearly), or image-level `(n, K)`. With several
                images it sees `batch_size` tiles of each. It may move its input to another device.
            image: `(N, C, H, W)` float, already normalised; or volumes `(N, C, D, H, W)`, and then all shapes here have
                a depth (see `postprocessing.volume_tiles`). Results lie on its device.
            tta: False leaves the views out, as in the validation inside a training.
            dtype: of spatial results: `torch.float32`, or `torch.uint8` for round(255 * probability) in a quarter of
                the memory.

        Returns:
            By output name: `(N, K, H, W)` at the image's size in `dtype`, or image-level `(N, K)` float32.

        Raises:
            ValueError: an image or an output of another shape; an output whose size does not divide the input's.
        """
        if image.ndim not in (4, 5) or not image.is_floating_point():
            raise ValueError(
                f"inference takes a normalised float image (N, C, H, W) or volume (N, C, D, H, W), got "
                f"{tuple(image.shape)} {image.dtype}"
            )
        if image.ndim == 5:
            return self._volume(forward, image, tta, dtype)
        if self.size is not None and tuple(image.shape[-2:]) != tuple(self.size):
            original = image.shape[-2:]
            image = F.interpolate(image, size=tuple(self.size), mode="bilinear", align_corners=False, antialias=True)
            found = self(forward, image, tta)
            return {name: _back(value, original, dtype) if value.ndim == 4 else value for name, value in found.items()}
        views = VIEWS[self.tta] if tta else (IDENTITY,)
        rows, columns = self._axes(image.shape[2:])
        tiles = len(rows.origins) * len(columns.origins)
        if tiles == 1:
            return self._whole(forward, image, rows, columns, views, dtype)
        merges: dict[str, StripMerge] = {}
        levels: dict[str, Tensor] = {}
        for top in rows.origins:
            for start in range(0, len(columns.origins), self.batch_size):
                lefts = columns.origins[start : start + self.batch_size]
                windows = [read_window(image, top, left, rows.tile, columns.tile, self.padding) for left in lefts]
                batch = windows[0] if len(windows) == 1 else torch.cat(windows)
                for name, value in averaged_views(forward, batch, views).items():
                    if value.ndim == 2:
                        level = value.unflatten(0, (len(lefts), -1)).sum(0)
                        levels[name] = levels[name] + level if name in levels else level
                        continue
                    merge = merges.setdefault(name, StripMerge(rows, columns, dtype, image.device))
                    value = full_size(name, value, (rows.tile, columns.tile))
                    for column, tile in enumerate(value.chunk(len(lefts)), start):
                        merge.add(column, tile)
            for merge in merges.values():
                merge.finish_row()
        return {name: merge.result for name, merge in merges.items()} | {
            name: (level / tiles).to(image.device) for name, level in levels.items()
        }

    def settings(self) -> dict[str, int | float | str | bool | list[int] | None]:
        """Every argument by name, for manifests."""
        names = ("tile", "overlap", "window", "tta", "stride", "batch_size", "padding", "margin", "size")
        return {name: getattr(self, name) for name in names}

    def fingerprint(self) -> str:
        """Hash of the settings that change the result (all but `batch_size`), 16 hexadecimal digits."""
        settings = self.settings()
        del settings["batch_size"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def _whole(
        self,
        forward: Forward,
        image: Tensor,
        rows: Axis,
        columns: Axis,
        views: tuple[View, ...],
        dtype: torch.dtype,
    ) -> dict[str, Tensor]:
        """One tile: nothing to blend, so no second map is made."""
        top, left = rows.origins[0], columns.origins[0]
        batch = read_window(image, top, left, rows.tile, columns.tile, self.padding)
        results = averaged_views(forward, batch, views)
        for name, value in results.items():
            if value.ndim == 4:
                value = full_size(name, value, (rows.tile, columns.tile))
                value = value[..., -top : rows.size - top, -left : columns.size - left]
                results[name] = (to_bytes(value) if dtype == torch.uint8 else value).contiguous()
        return {name: value.to(image.device) for name, value in results.items()}

    def _volume(self, forward: Forward, volume: Tensor, tta: bool, dtype: torch.dtype) -> dict[str, Tensor]:
        if self.size is not None:
            raise ValueError("inference.size is for pictures; volumes are resampled by data.reader.spacing")
        if self.tta == "d4":
            raise ValueError(
                "inference.tta d4 turns pictures by 90 degrees; the axes of a volume differ in spacing and in what "
                "lies along them. Set inference.tta: flips, which mirrors a volume along its three axes in all 8 ways"
            )
        flips = FLIPS if tta and self.tta == "flips" else NO_FLIP
        return predict_volume(
            forward, volume, self._axes(volume.shape[2:]), flips, self.batch_size, self.padding, dtype
        )

    def _axes(self, sizes: torch.Size) -> list[Axis]:
        """The tiles along each axis of an image."""
        tiles, strides = self._each("tile", self.tile, len(sizes)), self._each("stride", self.stride, len(sizes))
        sides = (
            math.ceil(min(tile or size, size) / stride) * stride
            for size, tile, stride in zip(sizes, tiles, strides, strict=True)
        )
        return [
            plan_axis(size, side, self.overlap, self.window, self.margin)
            for size, side in zip(sizes, sides, strict=True)
        ]

    def _each(self, name: str, value: int | list[int] | None, axes: int) -> list[int | None]:
        """A setting for each axis."""
        if isinstance(value, list) and len(value) != axes:
            raise ValueError(f"inference.{name} is {value}, but the image has {axes} axes; give one number, or {axes}")
        return value if isinstance(value, list) else [value] * axes


def _back(value: Tensor, size: torch.Size, dtype: torch.dtype) -> Tensor:
    value = F.interpolate(value, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)
    return to_bytes(value) if dtype == torch.uint8 else value


def full_size(name: str, output: Tensor, size: tuple[int, int]) -> Tensor:
    """A spatial output `(N, K, h, w)` at the size of the network's input; a coarser one is resized bilinearly.

    Raises:
        ValueError: h and w do not divide `size`.
    """
    height, width = output.shape[-2:]
    if (height, width) == size:
        return output
    if size[0] % height or size[1] % width:
        raise ValueError(
            f"output {name!r} is {height} x {width} pixels for an input of {size[0]} x {size[1]}, not a whole fraction "
            "of it; set inference.stride to what the network needs, or make it return its input's size"
        )
    return F.interpolate(output, size=size, mode="bilinear", align_corners=False)
