"""Prediction of images of any size by tiles and test-time augmentation, in validation and prediction alike."""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from inference.coarse import CoarseMasks
from inference.edge_tiles import predict_edges
from inference.grid import TiledImage, blend, merge_for
from inference.random_crops import predict_crops
from inference.strips import StripReader
from inference.tiles import Axis, Padding, StripMerge, Window, cover_of_axes, plan_axis, read_window, to_bytes
from inference.tta import Forward, Merging, View, Views, merged_views, symmetries
from inference.volume_tiles import predict_volume

Setting = TypeVar("Setting", int, int | None)


class Inference:
    """Predicts images in overlapping tiles or at once, in one or several views.

    Tiles (or the whole image) are padded to a multiple of `stride`, predicted, cropped back and blended. All averages
    are over probabilities, after the activation, in float32. Spatial outputs have the size of the image; image-level
    outputs are merged over tiles and views. With tiles, the memory needed is one strip of tiles plus the image and its
    result. `tta`, `scales`, `shifts` and `intensity` multiply: `d4` at three scales is 24 forward passes.

    Args:
        tile: side of a tile in pixels, or one per axis (`[slices, rows, columns]` of a volume), rounded up to a
            multiple of `stride`; best the size used in training. None predicts the whole image at once, as for images
            smaller than a tile.
        overlap: fraction of a tile shared with the next, in [0, 1). 0.25 hides seams for 1.8 times the work; 0.5 costs
            4 times.
        window: blending weight of a tile's pixels: `gaussian` favours the centre (fewest seams), `pyramid` decreases
            linearly, `constant` is the plain mean.
        tta: views to merge: `none`; `hflip` (2: original and horizontal flip, for images with an up side); `flips` (4:
            all flips; 8 for volumes); `d4` (8: all flips and rotations by 90°; 16 for volumes, with rotations within a
            slice); for volumes of equal spacing also `axes` (3: each axis in turn as depth) and `cube` (48).
        stride: divisor of the sides of network inputs, or one per axis. 32 suits five-stage encoders; for a network of
            fixed input size set it to `tile`.
        batch_size: number of tiles per forward pass. 1 is fastest on a CPU; a GPU needs more, with tiles of several
            images if `data.eval_batch_size` is above 1.
        padding: padding beyond the image: `reflect` (`replicate` if the image is too small to reflect), `replicate`, or
            `constant` (0, the mean of a normalised image).
        size: height and width to which images are resized for the network (bilinear, antialiased); spatial outputs are
            resized back. For networks of one input size, classifiers, and coarse masks of large images (Carvana at
            320 x 480). None keeps the size of images.
        margin: whether tiles extend beyond the image, so that border pixels are covered by as many tiles as inner ones
            (U-Net's overlap-tile strategy, https://arxiv.org/abs/1505.04597). With an overlap of 0.5 every pixel is
            covered by at least 4 tiles, even if one tile covers the image. It adds a ring of tiles.
        scales: scale factors of the views, `[0.8, 1, 1.2]`; sides are rounded to `stride`. For 2-D images.
        shifts: shifts `[down, right]` of the views in pixels, `[[0, 0], [0, 8]]`, which change the pixels that
            downsampling networks combine. For 2-D images.
        intensity: factors and offsets `[contrast, brightness]` of the views, applied to normalised values.
            `[[1, 0], [-1, 0]]` adds the negative (RSNA pneumonia 2018, 1st place).
        merge: rule to merge views, and image-level outputs over tiles: `mean`; `geometric` (most sensitive to one low
            view); `logit` (mean of the log odds); `max`. Overlapping tiles are always blended by their window.
        crops: number of random crops of side `tile` instead of a grid; for image-level outputs only. With `merge: max`
            and d4 as in Human Protein Atlas 2018's 1st place (4 crops of 512 or 1024).
        coarse_run: folder of an experiment with coarse predictions of the same images (`runs/coarse`, out-of-fold and
            test): only the edges of its masks are predicted in tiles, its prediction is kept elsewhere (Carvana 2017,
            11th place). `datamodules.edge_windows.EdgeWindows` trains the same way.
        min_cover: smallest number of tiles over each pixel, 3 or more in winning solutions; with `coarse_run` over each
            pixel of an edge (default: 2). In a grid it implies `margin`, and tiles overlap more than `overlap` if
            needed.
        stream_above: number of pixels above which `predict` streams an image in strips from its file (if the reader
            supports windows: GeoTIFF, npy) to the prediction store, which limits memory to one strip of tiles. The
            result is the same. For grids of tiles (default: 2048 x 2048).

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        tile: int | list[int] | None = None,
        overlap: float = 0.25,
        window: Literal["gaussian", "pyramid", "constant"] = "gaussian",
        tta: Literal["none", "hflip", "flips", "d4", "axes", "cube"] = "none",
        stride: int | list[int] = 32,
        batch_size: int = 1,
        padding: Literal["reflect", "replicate", "constant"] = "reflect",
        margin: bool = False,
        size: list[int] | None = None,
        scales: list[float] | None = None,
        shifts: list[list[int]] | None = None,
        intensity: list[list[float]] | None = None,
        merge: Literal["mean", "geometric", "logit", "max"] = "mean",
        crops: int | None = None,
        coarse_run: str | None = None,
        min_cover: int | None = None,
        stream_above: int = 2048 * 2048,
    ):
        for name, value in (("tile", tile), ("stride", stride), ("batch_size", batch_size)):
            if value is not None and (value == [] or min(value if isinstance(value, list) else [value]) < 1):
                raise ValueError(f"inference.{name} is {value}, expected 1 or more")
        if not 0 <= overlap < 1:
            raise ValueError(f"inference.overlap is {overlap}, expected a fraction of the tile in [0, 1)")
        choices = (("window", window, Window), ("tta", tta, Views), ("padding", padding, Padding))
        for name, choice, kind in (*choices, ("merge", merge, Merging)):
            if choice not in get_args(kind):
                raise ValueError(f"inference.{name} is {choice!r}, expected one of {', '.join(get_args(kind))}")
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"inference.size is {size}, expected [height, width] in pixels")
        if margin and tile is None:
            raise ValueError("inference.margin needs inference.tile, which is not set; set it or remove margin")
        if scales is not None and not (scales and min(scales) > 0):
            raise ValueError(f"inference.scales is {scales}, expected factors above 0, such as [0.8, 1, 1.2]")
        if shifts is not None and not (shifts and all(len(pair) == 2 and min(pair) >= 0 for pair in shifts)):
            raise ValueError(f"inference.shifts is {shifts}, expected pairs [down, right] of 0 or more pixels")
        if intensity is not None and not (intensity and all(len(pair) == 2 for pair in intensity)):
            raise ValueError(f"inference.intensity is {intensity}, expected pairs [contrast, brightness]")
        if crops is not None and (crops < 1 or tile is None or margin):
            raise ValueError(
                f"inference.crops is {crops}, expected 1 or more crops of inference.tile pixels (now {tile}), "
                "without inference.margin"
            )
        self.tile = tile
        self.overlap = overlap
        self.window = window
        self.tta = tta
        self.stride = stride
        self.batch_size = batch_size
        self.padding = padding
        self.margin = margin
        self.size = size
        self.scales, self.shifts, self.intensity = scales, shifts, intensity
        if coarse_run is not None and (tile is None or isinstance(tile, list) or margin or crops is not None):
            raise ValueError(
                f"inference.coarse_run needs inference.tile as one number (now {tile}), without inference.margin and "
                "inference.crops"
            )
        if min_cover is not None and (min_cover < 1 or tile is None or crops is not None):
            raise ValueError(
                f"inference.min_cover is {min_cover}, expected 1 or more tiles of inference.tile pixels (now {tile}), "
                "without inference.crops"
            )
        self.merge, self.crops = merge, crops
        if stream_above < 0:
            raise ValueError(f"inference.stream_above is {stream_above}, expected 0 or more pixels")
        self.coarse_run, self.min_cover, self.stream_above = coarse_run, min_cover, stream_above
        self._coarse: CoarseMasks | None = None
        self.max_views: int | None = None
        self.number_of_views = 1  # of the last image

    @torch.no_grad()
    def __call__(
        self,
        forward: Forward,
        image: Tensor,
        tta: bool = True,
        dtype: torch.dtype = torch.float32,
        image_ids: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Probabilities of an image, or of several of one size.

        Args:
            forward: `(n, C, h, w)` -> probabilities by output name, after the activation: spatial `(n, K, h, w)` or
                `(n, K, h / s, w / s)` for an integer s (then resized bilinearly), or image-level `(n, K)`. For several
                images its input has `batch_size` tiles of each. It may move its input to another device.
            image: `(N, C, H, W)` float, normalised; or volumes `(N, C, D, H, W)`, for which all shapes here have a
                depth (see `inference.volume_tiles`). Results are on its device.
            tta: whether to use all views; False in the validation during training.
            dtype: type of spatial results: `torch.float32`, or `torch.uint8` for round(255 * probability) in a quarter
                of the memory.
            image_ids: ids of the images, by which `coarse_run` finds its coarse predictions.

        Returns:
            By output name: `(N, K, H, W)` of the image's size in `dtype`, or image-level `(N, K)` float32.

        Raises:
            ValueError: an image or an output has another shape, or the size of an output does not divide the input's.
        """
        if image.ndim not in (4, 5) or not image.is_floating_point():
            raise ValueError(
                f"inference: expected a normalised float image (N, C, H, W) or volume (N, C, D, H, W), got "
                f"{tuple(image.shape)} {image.dtype}"
            )
        if self.coarse_run is not None:
            return self._refine_edges(forward, image, tta, dtype, image_ids)
        if image.ndim == 5:
            return self._volume(forward, image, tta, dtype)
        if self.size is not None and tuple(image.shape[-2:]) != tuple(self.size):
            size = image.shape[-2:]
            whole = self(forward, self._resized(image), tta)
            return {n: self._restored(v, size, dtype) if v.ndim == 4 else v for n, v in whole.items()}
        views = self.views(2) if tta else symmetries("none", 2)
        rows, columns = self._axes(image.shape[2:])
        if self.crops is not None:
            settings = (self.crops, self.merge, self.batch_size, self.padding)
            return predict_crops(lambda batch: self._merged(forward, batch, views), image, (rows, columns), *settings)
        tiled = self._tiled(image, rows, columns, dtype)
        (found,) = blend([tiled], lambda batch, _: self._merged(forward, batch, views), self.batch_size, self.merge)
        return found.maps() | found.levels(image.device)

    @property
    def mixes(self) -> bool:
        """Whether tiles of several images can share forward passes, by `many`."""
        return self.batch_size > 1 and self.crops is None and self.coarse_run is None

    @torch.no_grad()
    def many(
        self, forward: Callable[[Tensor, list[int]], dict[str, Tensor]], images: Iterable[Tensor], tta: bool = True
    ) -> list[dict[str, Tensor]]:
        """Probabilities of images of any sizes, with tiles of several images per forward pass.

        Args:
            forward: as in `__call__`, with the index of the image of each tile as second argument.
            images: images `(1, C, H, W)`, normalised, consumed one by one.
            tta: whether to use all views.

        Returns:
            The result of `__call__` for each image.
        """
        views = self.views(2) if tta else symmetries("none", 2)
        sizes: list[torch.Size] = []

        def tiled_images() -> Iterator[TiledImage]:
            for image in images:
                sizes.append(image.shape[2:])
                image = self._resized(image)
                rows, columns = self._axes(image.shape[2:])
                yield self._tiled(image, rows, columns, torch.float32)

        def predict(batch: Tensor, numbers: list[int]) -> dict[str, Tensor]:
            return self._merged(lambda seen: forward(seen, numbers), batch, views)

        found = blend(tiled_images(), predict, self.batch_size, self.merge)
        return [
            {name: self._restored(value, size) for name, value in one.maps().items()} | one.levels()
            for one, size in zip(found, sizes, strict=True)
        ]

    def streams(self, size: Sequence[int]) -> bool:
        """Whether an image of this size is predicted by `stream`."""
        by_tiles = self.tile is not None and self.size is None and self.crops is None and self.coarse_run is None
        return by_tiles and len(size) == 2 and math.prod(size) > self.stream_above

    @torch.no_grad()
    def stream(
        self,
        forward: Forward,
        size: tuple[int, int],
        rows: Callable[[int, int], Tensor],
        prepare: Callable[[Tensor], Tensor],
        out: Callable[[str, Tensor], None],
        tta: bool = True,
    ) -> dict[str, Tensor]:
        """Predict an image larger than memory, with one strip of tiles and of results in memory at a time.

        The result is the same as that of `__call__`.

        Args:
            forward: as in `__call__`.
            size: size `(H, W)` of the image.
            rows: `(first, last)` -> rows `first` to `last - 1` of the image, `(C, last - first, W)`; called once per
                row of tiles, from top to bottom.
            prepare: pixels `(1, C, h, w)` as read -> normalised float, on the network's device.
            out: receives the name of a spatial output and its next rows `(1, K, rows, W)` float32, from top to bottom;
                the tensor is overwritten afterwards.
            tta: whether to use all views.

        Returns:
            Image-level outputs `(1, K)` by name.
        """
        views = self.views(2) if tta else symmetries("none", 2)
        down, along = self._axes(torch.Size(size))
        tiled = TiledImage(
            *(down, along, StripReader(size, rows, prepare, self.padding).window),
            lambda name: StripMerge(down, along, out=partial(out, name)),
        )
        (found,) = blend([tiled], lambda batch, _: self._merged(forward, batch, views), self.batch_size, self.merge)
        return found.levels()

    def views(self, dimensions: int) -> tuple[View, ...]:
        """All views of an image (2 dimensions) or volume (3).

        Raises:
            ValueError: a view does not exist in this number of dimensions.
        """
        if dimensions == 3 and (self.scales or self.shifts):
            raise ValueError("inference.scales and inference.shifts are for 2-D images; volumes: tta and intensity")
        turns = symmetries(self.tta, dimensions)
        strides = self._per_axis("stride", self.stride, dimensions)
        if any([strides[axis] for axis in turn.axes] != strides for turn in turns):
            raise ValueError(f"inference.tta {self.tta} swaps axes, but inference.stride {self.stride} differs")
        every = tuple(
            turn._replace(scale=scale, shift=(shift[0], shift[1]), contrast=contrast, brightness=brightness)
            for contrast, brightness in self.intensity or [[1.0, 0.0]]
            for shift in self.shifts or [[0, 0]]
            for scale in self.scales or [1.0]
            for turn in turns
        )
        chosen = every[: self.max_views]
        self.number_of_views = len(chosen)
        return chosen

    def limit_views(self, views: int) -> None:
        """Use at most this many views, 1 or more: flips and rotations of the first scale, shift and intensity first."""
        self.max_views = views

    def settings(self) -> dict[str, Any]:
        """Every argument by name, for manifests."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def fingerprint(self) -> str:
        """Hash of the settings that affect the result (all but `batch_size`, `stream_above`), 16 hexadecimal digits."""
        settings = self.settings()
        del settings["batch_size"], settings["stream_above"]
        if self.coarse_run is not None:
            settings["coarse"] = CoarseMasks(self.coarse_run).fingerprints()
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def _tiled(self, image: Tensor, rows: Axis, columns: Axis, dtype: torch.dtype) -> TiledImage:
        device = image.device
        window = partial(read_window, image, padding=self.padding)
        return TiledImage(rows, columns, window, lambda name: merge_for(rows, columns, dtype, device))

    def _merged(self, forward: Forward, batch: Tensor, views: tuple[View, ...]) -> dict[str, Tensor]:
        """Prediction of a batch of tiles, merged over views."""
        strides = self._per_axis("stride", self.stride, batch.ndim - 2)
        return merged_views(forward, batch, views, self.merge, strides, self.padding)

    def _refine_edges(
        self, forward: Forward, image: Tensor, tta: bool, dtype: torch.dtype, image_ids: Sequence[str] | None
    ) -> dict[str, Tensor]:
        """Prediction of tiles along the edges of the coarse stage, image by image."""
        if image.ndim == 5 or image_ids is None or self.size is not None:
            raise ValueError("inference.coarse_run needs 2-D images with ids, without inference.size")
        tile, coarse = cast(int, self.tile), self._coarse or CoarseMasks(cast(str, self.coarse_run))
        self._coarse = coarse
        views, strides = self.views(2) if tta else symmetries("none", 2), self._per_axis("stride", self.stride, 2)

        def merged(batch: Tensor) -> dict[str, Tensor]:
            return self._merged(forward, batch, views)

        settings = (tile, strides, self.min_cover or 2, self.window, self.padding, self.batch_size)
        pairs = zip(image, image_ids, strict=True)
        found = [predict_edges(merged, one[None], coarse.read(image_id), *settings) for one, image_id in pairs]
        joined = {name: torch.cat([each[name] for each in found]) for name in found[0]}
        return {name: to_bytes(value) if dtype == torch.uint8 else value for name, value in joined.items()}

    def _volume(self, forward: Forward, volume: Tensor, tta: bool, dtype: torch.dtype) -> dict[str, Tensor]:
        if self.size is not None:
            raise ValueError("inference.size is for 2-D images; resample volumes by data.reader.spacing")
        if self.crops is not None:
            raise ValueError("inference.crops is for 2-D images; remove it to predict volumes with a grid of tiles")
        views = self.views(3) if tta else symmetries("none", 3)

        def merged(batch: Tensor) -> dict[str, Tensor]:
            return self._merged(forward, batch, views)

        axes = self._axes(volume.shape[2:])
        return predict_volume(merged, volume, axes, self.merge, self.batch_size, self.padding, dtype)

    def _axes(self, sizes: torch.Size) -> list[Axis]:
        """Tiles along each axis of an image."""
        tiles, strides = (
            self._per_axis("tile", self.tile, len(sizes)),
            self._per_axis("stride", self.stride, len(sizes)),
        )
        covers = cover_of_axes(self.min_cover or 1, len(sizes))
        if self.margin:  # small images have small tiles, split into whole pixels
            covers = [max(cover, math.floor(1 / (1 - self.overlap) + 1e-6)) for cover in covers]
        sides = (
            math.ceil(max(min(tile or size, size), cover) / stride) * stride
            for size, tile, stride, cover in zip(sizes, tiles, strides, covers, strict=True)
        )
        return [
            plan_axis(size, side, self.overlap, self.window, self.margin, cover)
            for size, side, cover in zip(sizes, sides, covers, strict=True)
        ]

    def _resized(self, image: Tensor) -> Tensor:
        """The image resized to `size`."""
        if self.size is None or tuple(image.shape[-2:]) == tuple(self.size):
            return image
        return F.interpolate(image, size=tuple(self.size), mode="bilinear", align_corners=False, antialias=True)

    def _restored(self, value: Tensor, size: torch.Size, dtype: torch.dtype = torch.float32) -> Tensor:
        """A spatial output resized back to the image."""
        if tuple(value.shape[-2:]) != tuple(size):
            value = F.interpolate(value, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)
        return to_bytes(value) if dtype == torch.uint8 else value

    def _per_axis(self, name: str, value: Setting | list[int], axes: int) -> list[Setting]:
        """The value of a setting for each axis."""
        if isinstance(value, list) and len(value) != axes:
            raise ValueError(f"inference.{name} is {value}, expected one number or {axes}: the image has {axes} axes")
        return list(value) if isinstance(value, list) else [value] * axes
