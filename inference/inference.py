"""Prediction of images of any size: tiles x test-time augmentation, the same object in validation and prediction."""

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
from inference.grid import Picture, blend, merge_for
from inference.random_crops import predict_crops
from inference.strips import StripReader
from inference.tiles import Axis, Padding, StripMerge, Window, cover_of_axes, plan_axis, read_window, to_bytes
from inference.tta import Forward, Merging, View, Views, merged_views, symmetries
from inference.volume_tiles import predict_volume

Setting = TypeVar("Setting", int, int | None)


class Inference:
    """How an image is predicted: in overlapping tiles or whole, seen in one or several views.

    Tiles (or the whole image) are extended to a multiple of `stride`, predicted, cropped back and blended. All averages
    are taken in float32 over probabilities, after the activation. Spatial outputs come back at the image's size;
    image-level outputs are merged over tiles and views. Under tiles, memory is bounded by one strip of tiles beside
    the image and its result. `tta`, `scales`, `shifts` and `intensity` multiply: `d4` at three scales is 24 forwards.

    Args:
        tile: side of a tile in pixels, or one per axis (`[slices, rows, columns]` of a volume), rounded up to a
            multiple of `stride`. Best the size the network was trained on. None predicts the whole image at once. An
            image smaller than the tile is predicted whole.
        overlap: share of a tile in [0, 1) that it has in common with the next. 0.25 hides seams for 1.8 times the
            work; 0.5 costs 4 times.
        window: weight of a tile's pixels in the blend: `gaussian` trusts the centre (least seams), `pyramid` falls
            linearly, `constant` is the plain mean.
        tta: views that are merged: `none`; `hflip` (2: as is and mirrored, for pictures with an up side); `flips` (4:
            as is, mirrored, upside down, both; of volumes all 8 along three axes); `d4` (8: all flips and quarter
            turns; of volumes 16, with the turns within a slice); of volumes of equal spacing also `axes` (3: each axis
            in turn as the depth) and `cube` (48).
        stride: sides that reach the network are multiples of this, or of one per axis. 32 suits five-stage encoders; a
            network of fixed input size gets `stride` equal to `tile`.
        batch_size: tiles in one forward. 1 is fastest on a CPU; more fills a GPU, with tiles of several pictures where
            `data.eval_batch_size` is above 1 too.
        padding: what lies beyond the image's edges: `reflect` (`replicate` where the image is too small to reflect),
            `replicate`, or `constant` (0, the mean of a normalised image).
        size: height and width that every image is resized to before the network sees it (bilinear, with antialiasing
            where it shrinks); spatial outputs are brought back to the image's own size. For networks of one input size,
            classifiers, and coarse masks of large pictures (Carvana at 320 x 480). None leaves images as they are.
        margin: let border tiles hang over the edges, so that border pixels are seen by as many tiles as those inside
            (U-Net's overlap-tile strategy, https://arxiv.org/abs/1505.04597). With an overlap of 0.5 every pixel is
            seen by at least 4 tiles, also of a picture within one tile. Off: it adds a ring of tiles.
        scales: factors at which every view of a picture is predicted, `[0.8, 1, 1.2]`; the sides that the network sees
            are rounded to `stride`.
        shifts: pixels `[down, right]` by which every view of a picture is moved, `[[0, 0], [0, 8]]`: networks that
            subsample see other pixels together.
        intensity: `[contrast, brightness]` of every view: normalised values are multiplied by the first, the second is
            added. `[[1, 0], [-1, 0]]` adds the negative (RSNA pneumonia 2018, 1st place).
        merge: how views are merged, and image-level outputs over tiles: `mean`; `geometric` (one doubtful view lowers
            it most); `logit` (mean of the log odds); `max`. Overlapping tiles are always blended by their window.
        crops: see this many random crops of side `tile` instead of a grid; for image-level outputs alone. With `merge:
            max` and d4 it is Human Protein Atlas 2018's 1st place (4 crops of 512 or 1024).
        coarse_run: an experiment that predicted the same images coarsely (`runs/coarse`, out of fold and test): tiles
            lie only along the edges of its masks, its prediction stands elsewhere (Carvana 2017, 11th place).
            `datamodules.edge_windows.EdgeWindows` trains in the same way.
        min_cover: tiles over every pixel, 3 or more as the winners had them; over each pixel of the edges with
            `coarse_run`, where it is 2 unless given. In a grid it implies `margin`, and tiles overlap more
            than `overlap` says where they must.
        stream_above: pixels of a picture above which `predict` goes through it strip by strip, from its file (where
            the reader knows windows: GeoTIFF, npy) to the prediction store: memory is then bounded by a strip of tiles
            across the picture. The result is the same. For grids of tiles; the default is 2048 x 2048.

    Raises:
        ValueError: an argument out of its range.
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
            raise ValueError(f"inference.overlap is {overlap}, expected a share of the tile in [0, 1)")
        choices = (("window", window, Window), ("tta", tta, Views), ("padding", padding, Padding))
        for name, choice, kind in (*choices, ("merge", merge, Merging)):
            if choice not in get_args(kind):
                raise ValueError(f"inference.{name} is {choice!r}, expected one of {', '.join(get_args(kind))}")
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"inference.size is {size}, expected [height, width] in pixels")
        if margin and tile is None:
            raise ValueError("inference.margin is for tiles, but inference.tile is not set; set it or leave margin out")
        if scales is not None and not (scales and min(scales) > 0):
            raise ValueError(f"inference.scales is {scales}, expected factors above 0, as [0.8, 1, 1.2]")
        if shifts is not None and not (shifts and all(len(pair) == 2 and min(pair) >= 0 for pair in shifts)):
            raise ValueError(f"inference.shifts is {shifts}, expected [down, right] in pixels of 0 or more each")
        if intensity is not None and not (intensity and all(len(pair) == 2 for pair in intensity)):
            raise ValueError(f"inference.intensity is {intensity}, expected [contrast, brightness] each")
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
                f"inference.coarse_run wants inference.tile as one number (now {tile}), without inference.margin "
                "and crops"
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
        self.most_views: int | None = None
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
            forward: `(n, C, h, w)` -> probabilities by output name, after the activation: spatial `(n, K, h, w)`, or
                `(n, K, h / s, w / s)` for a whole s (then resized bilinearly), or image-level `(n, K)`. With several
                images it sees `batch_size` tiles of each. It may move its input to another device.
            image: `(N, C, H, W)` float, already normalised; or volumes `(N, C, D, H, W)`, and then all shapes here have
                a depth (see `inference.volume_tiles`). Results lie on its device.
            tta: False leaves the views out, as in the validation inside a training.
            dtype: of spatial results: `torch.float32`, or `torch.uint8` for round(255 * probability) in a quarter of
                the memory.
            image_ids: of the images; `coarse_run` looks its coarse predictions up by them.

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
        if self.coarse_run is not None:
            return self._along(forward, image, tta, dtype, image_ids)
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
        picture = self._picture(image, rows, columns, dtype)
        (found,) = blend([picture], lambda batch, _: self._merged(forward, batch, views), self.batch_size, self.merge)
        return found.maps() | found.levels(image.device)

    @property
    def mixes(self) -> bool:
        """Whether pictures of a batch share forwards, by `many`: of tiles, of the same ones every time."""
        return self.batch_size > 1 and self.crops is None and self.coarse_run is None

    @torch.no_grad()
    def many(
        self, forward: Callable[[Tensor, list[int]], dict[str, Tensor]], images: Iterable[Tensor], tta: bool = True
    ) -> list[dict[str, Tensor]]:
        """Probabilities of pictures of any sizes; tiles of several go through the network together.

        Args:
            forward: as when called, with the number of the picture that each tile is of.
            images: `(1, C, H, W)` each, normalised; asked for one after the other.
            tta: False leaves the views out.

        Returns:
            For each picture what a call gives.
        """
        views = self.views(2) if tta else symmetries("none", 2)
        sizes: list[torch.Size] = []

        def pictures() -> Iterator[Picture]:
            for image in images:
                sizes.append(image.shape[2:])
                image = self._resized(image)
                rows, columns = self._axes(image.shape[2:])
                yield self._picture(image, rows, columns, torch.float32)

        def predict(batch: Tensor, numbers: list[int]) -> dict[str, Tensor]:
            return self._merged(lambda seen: forward(seen, numbers), batch, views)

        found = blend(pictures(), predict, self.batch_size, self.merge)
        return [
            {name: self._restored(value, size) for name, value in one.maps().items()} | one.levels()
            for one, size in zip(found, sizes, strict=True)
        ]

    def streams(self, size: Sequence[int]) -> bool:
        """Whether a picture of this size is to be predicted by `stream`."""
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
        """Predict a picture that is larger than memory: one strip of tiles and of results is held at a time.

        The result is that of a call with the whole picture.

        Args:
            forward: as when called.
            size: `(H, W)` of the picture.
            rows: `(first, last)` -> its rows from `first` to before `last`, `(C, last - first, W)`; asked for once a
                row of tiles, from top to bottom.
            prepare: pixels `(1, C, h, w)` as read -> normalised float, on the network's device.
            out: takes the name of a spatial output and its next rows `(1, K, rows, W)` float32, from top to bottom;
                they are overwritten afterwards.
            tta: False leaves the views out.

        Returns:
            The image-level outputs `(1, K)` by name.
        """
        views = self.views(2) if tta else symmetries("none", 2)
        down, along = self._axes(torch.Size(size))
        picture = Picture(
            *(down, along, StripReader(size, rows, prepare, self.padding).window),
            lambda name: StripMerge(down, along, out=partial(out, name)),
        )
        (found,) = blend([picture], lambda batch, _: self._merged(forward, batch, views), self.batch_size, self.merge)
        return found.levels()

    def views(self, dimensions: int) -> tuple[View, ...]:
        """Every view of a picture (2 dimensions) or volume (3).

        Raises:
            ValueError: views that are for the other.
        """
        if dimensions == 3 and (self.scales or self.shifts):
            raise ValueError("inference.scales and inference.shifts are for pictures; volumes take tta and intensity")
        turns = symmetries(self.tta, dimensions)
        strides = self._each("stride", self.stride, dimensions)
        if any([strides[axis] for axis in turn.axes] != strides for turn in turns):
            raise ValueError(f"inference.tta {self.tta} exchanges axes, but inference.stride {self.stride} differs")
        every = tuple(
            turn._replace(scale=scale, shift=(shift[0], shift[1]), contrast=colour[0], brightness=colour[1])
            for colour in self.intensity or [[1.0, 0.0]]
            for shift in self.shifts or [[0, 0]]
            for scale in self.scales or [1.0]
            for turn in turns
        )
        chosen = every[: self.most_views]
        self.number_of_views = len(chosen)
        return chosen

    def limit_views(self, views: int) -> None:
        """Take at most this many views, 1 or more, from now on: first turns of the first scale, shift and colour."""
        self.most_views = views

    def settings(self) -> dict[str, Any]:
        """Every argument by name, for manifests."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def fingerprint(self) -> str:
        """Hash of the settings that change the result (not `batch_size`, `stream_above`), 16 hexadecimal digits."""
        settings = self.settings()
        del settings["batch_size"], settings["stream_above"]
        if self.coarse_run is not None:
            settings["coarse"] = CoarseMasks(self.coarse_run).fingerprints()
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def _picture(self, image: Tensor, rows: Axis, columns: Axis, dtype: torch.dtype) -> Picture:
        device = image.device
        window = partial(read_window, image, padding=self.padding)
        return Picture(rows, columns, window, lambda name: merge_for(rows, columns, dtype, device))

    def _merged(self, forward: Forward, batch: Tensor, views: tuple[View, ...]) -> dict[str, Tensor]:
        """The views of a batch of tiles, merged."""
        strides = self._each("stride", self.stride, batch.ndim - 2)
        return merged_views(forward, batch, views, self.merge, strides, self.padding)

    def _along(
        self, forward: Forward, image: Tensor, tta: bool, dtype: torch.dtype, image_ids: Sequence[str] | None
    ) -> dict[str, Tensor]:
        """Tiles along the coarse stage's edges, image by image."""
        if image.ndim == 5 or image_ids is None or self.size is not None:
            raise ValueError(
                "inference.coarse_run is for pictures of a dataset, found by their ids, without inference.size"
            )
        tile, coarse = cast(int, self.tile), self._coarse or CoarseMasks(cast(str, self.coarse_run))
        self._coarse = coarse
        views, strides = self.views(2) if tta else symmetries("none", 2), self._each("stride", self.stride, 2)

        def merged(batch: Tensor) -> dict[str, Tensor]:
            return self._merged(forward, batch, views)

        settings = (tile, strides, self.min_cover or 2, self.window, self.padding, self.batch_size)
        pairs = zip(image, image_ids, strict=True)
        found = [predict_edges(merged, one[None], coarse.read(image_id), *settings) for one, image_id in pairs]
        joined = {name: torch.cat([each[name] for each in found]) for name in found[0]}
        return {name: to_bytes(value) if dtype == torch.uint8 else value for name, value in joined.items()}

    def _volume(self, forward: Forward, volume: Tensor, tta: bool, dtype: torch.dtype) -> dict[str, Tensor]:
        if self.size is not None:
            raise ValueError("inference.size is for pictures; volumes are resampled by data.reader.spacing")
        if self.crops is not None:
            raise ValueError("inference.crops is for pictures; leave it out, the tiles of a grid cover a volume")
        views = self.views(3) if tta else symmetries("none", 3)

        def merged(batch: Tensor) -> dict[str, Tensor]:
            return self._merged(forward, batch, views)

        axes = self._axes(volume.shape[2:])
        return predict_volume(merged, volume, axes, self.merge, self.batch_size, self.padding, dtype)

    def _axes(self, sizes: torch.Size) -> list[Axis]:
        """The tiles along each axis of an image."""
        tiles, strides = self._each("tile", self.tile, len(sizes)), self._each("stride", self.stride, len(sizes))
        covers = [1] * len(sizes) if self.coarse_run is not None else cover_of_axes(self.min_cover or 1, len(sizes))
        if self.margin:  # a small picture has a small tile, whose parts are whole pixels
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
        """The image at `size`."""
        if self.size is None or tuple(image.shape[-2:]) == tuple(self.size):
            return image
        return F.interpolate(image, size=tuple(self.size), mode="bilinear", align_corners=False, antialias=True)

    def _restored(self, value: Tensor, size: torch.Size, dtype: torch.dtype = torch.float32) -> Tensor:
        """A map at the image's own size again."""
        if tuple(value.shape[-2:]) != tuple(size):
            value = F.interpolate(value, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)
        return to_bytes(value) if dtype == torch.uint8 else value

    def _each(self, name: str, value: Setting | list[int], axes: int) -> list[Setting]:
        """A setting for each axis."""
        if isinstance(value, list) and len(value) != axes:
            raise ValueError(f"inference.{name} is {value}, but the image has {axes} axes; give one number, or {axes}")
        return list(value) if isinstance(value, list) else [value] * axes
