"""Where each output pixel comes from: every geometric operation of a sample composed into one map."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from augmentations.base import Augmentation, floats_of, masks_of, spatial, uniform
from augmentations.maps import Warp
from augmentations.truth_planes import as_floats
from augmentations.warp import Nearest, coordinates, warp_boxes, warp_images, warp_numbers
from augmentations.warp_cv2 import ImageWarp

# Row-major 2 x 2 matrices of the square's symmetries: four turns, and the same after a mirror.
TURNS = [np.array(m, float).reshape(2, 2) for m in ((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))]
D4 = np.stack([*TURNS, *(turn @ np.diag([-1.0, 1.0]) for turn in TURNS)])
D2 = D4[[0, 2, 4, 6]]  # those that keep a rectangle


class Geometry(Augmentation):
    """Flips, turns, affine, perspective, crops, elastic, grid and optical distortion, sampled once for all of them.

    Under `model.augmentation` it works on batches on the device, under `data.augmentation` on images in the workers;
    with the same arguments. Images and maps of floats (heights, heat maps) are interpolated linearly, masks, ids and
    class numbers take the nearest pixel. Each chance is drawn for each sample on its own.

    Args:
        d4: chance of a random one of the square's 8 symmetries; of the rectangle's 4 where the output is no square.
        hflip: chance of a mirror left to right; for what has an up and a down.
        vflip: chance of a mirror top to bottom.
        affine: chance of rotate, scale, shear, translate and perspective together.
        rotate: degrees, `[low, high]`; one number means both ways.
        scale: factor of the objects' size, `[low, high]`.
        shear: degrees, both ways.
        translate: share of the side, both ways.
        perspective: largest shift of a corner as a share of the side.
        extremes: rotate, scale, shear and translate take only the two ends of their ranges: "hard" augmentation
            (Inclusive Images 2018, 2nd place; see `Stages`).
        crop: `[H, W]` of the output; None keeps the size. A smaller picture is centred in it.
        crop_area: share of the picture's area that the crop takes, `[low, high]`, then scaled to `crop`; None crops
            without scaling.
        crop_ratio: width / height of the crop relative to `crop`, `[low, high]`.
        elastic: standard deviation of the displacement in pixels; albumentations' ElasticTransform(120, 6),
            as in SIIM-ACR's 1st place, has about 3.
        elastic_cell: pixels between the points where the displacement is drawn; the rest is bicubic between them.
        elastic_p: chance of it.
        grid: largest stretch of a cell of 5 x 5 as a share, as albumentations' GridDistortion (0.3 there).
        grid_p: chance of it.
        optical: largest shift of the corners along their radius as a share, both ways: barrel and pincushion.
        optical_p: chance of it.
        swap: pairs of class numbers, or of channels of masks and labels, that change places in mirrored samples: the
            left and the right organ.
        border: outside the picture is 0 and `valid` is False (`constant`), or it is mirrored (`reflect`).

    Raises:
        ValueError: a chance outside 0..1, a range upside down, crop_area without crop.
    """

    def __init__(
        self,
        d4: float = 0.0,
        hflip: float = 0.0,
        vflip: float = 0.0,
        affine: float = 0.5,
        rotate: float | list[float] = 0.0,
        scale: list[float] = [1.0, 1.0],  # noqa: B006 - never changed; --help prints it
        shear: float = 0.0,
        translate: float = 0.0,
        perspective: float = 0.0,
        extremes: bool = False,
        crop: list[int] | None = None,
        crop_area: list[float] | None = None,
        crop_ratio: list[float] = [1.0, 1.0],  # noqa: B006
        elastic: float = 0.0,
        elastic_cell: int = 16,
        elastic_p: float = 0.5,
        grid: float = 0.0,
        grid_p: float = 0.5,
        optical: float = 0.0,
        optical_p: float = 0.5,
        swap: list[list[int]] | None = None,
        border: Literal["constant", "reflect"] = "constant",
    ) -> None:
        chances = {"d4": d4, "hflip": hflip, "vflip": vflip, "affine": affine}
        chances |= {"elastic_p": elastic_p, "grid_p": grid_p, "optical_p": optical_p}
        for name, chance in chances.items():
            if not 0 <= chance <= 1:
                raise ValueError(f"Geometry: {name} is a chance in 0..1, got {chance}")
        turned = [-rotate, rotate] if isinstance(rotate, int | float) else list(rotate)
        ranges = {"rotate": turned, "scale": scale, "crop_area": crop_area or [1, 1], "crop_ratio": crop_ratio}
        for name, (low, high) in ranges.items():
            if low > high or (name != "rotate" and low <= 0):
                raise ValueError(f"Geometry: {name} is {[low, high]}, expected [low, high]")
        if crop_area is not None and crop is None:
            raise ValueError("Geometry: crop_area needs crop, the size [H, W] that the crop is scaled to")
        if not 0 <= perspective < 0.5 or not 0 <= grid < 1 or not abs(optical) < 0.5:
            raise ValueError("Geometry: perspective and optical are below 0.5, grid is below 1")
        self.d4, self.hflip, self.vflip, self.affine, self.rotate = d4, hflip, vflip, affine, turned
        self.scale, self.shear, self.translate, self.perspective = scale, shear, translate, perspective
        self.extremes = extremes
        self.crop, self.crop_area, self.crop_ratio = crop, crop_area, crop_ratio
        self.elastic, self.elastic_cell, self.elastic_p = elastic, elastic_cell, elastic_p
        if swap is not None and any(len(pair) != 2 for pair in swap):
            raise ValueError(f"Geometry: swap is {swap}, expected pairs [left, right]")
        self.swap = swap
        self.grid, self.grid_p, self.optical, self.optical_p, self.border = grid, grid_p, optical, optical_p, border

    def batch(self, batch: dict[str, Any], max_value: float, rng: np.random.Generator) -> dict[str, Any]:
        images: Tensor = batch["image"]
        if images.dim() != 4:
            raise ValueError(f"Geometry is for pictures (N, C, H, W), got {tuple(images.shape)}; see CubeIsometries")
        size = (images.shape[2], images.shape[3])
        warp = self.draw(len(images), size, rng)
        places = coordinates(warp, size, images.device)
        nearest, result = None, dict(batch)
        result["image"] = warp_images(images, places, self.border)
        names = spatial(batch)
        floats = [name for name in names if batch[name].is_floating_point()]
        if names:
            nearest, exact = Nearest(places, size, self.border), torch.from_numpy(warp.exact).to(images.device)
        for name in names:
            if name in floats:
                result[name] = warp_numbers(batch[name], places, self.border, nearest, exact)
            else:
                result[name] = nearest(batch[name])
        if floats and "valid" in batch:  # a number made of void is none
            void = warp_numbers((~batch["valid"]).float(), places, self.border, nearest, exact)
            result["valid"] = result["valid"] & (void == 0)
        if self.swap:
            mirrored = torch.from_numpy(_mirrored(warp)).to(images.device)
            for name in [name for name in result if name != "image"]:
                if isinstance(result[name], Tensor):
                    swapped = self._swapped(result[name], images.dim() - 2)
                    if swapped is not None:
                        chosen = mirrored.view(-1, *[1] * (swapped.dim() - 1))
                        result[name] = torch.where(chosen, swapped, result[name])
        outside = not warp.exact.all() or np.any(np.array(warp.size) > size)
        if self.border == "constant" and outside and "valid" not in batch:
            nearest = nearest or Nearest(places, size, self.border)
            result["valid"] = nearest.inside
        if "boxes" in batch:
            found = [warp_boxes(boxes, place, size) for boxes, place in zip(batch["boxes"], places, strict=True)]
            result["boxes"] = [boxes[seen] for boxes, seen in found]
            if "labels" in batch:
                pairs = zip(batch["labels"], found, strict=True)
                result["labels"] = [labels[seen] for labels, (_, seen) in pairs]
        return result

    def sample(
        self, image: np.ndarray, arrays: dict[str, np.ndarray], max_value: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        warp = ImageWarp(self.draw(1, image.shape[:2], rng), image.shape[:2])
        result = dict(arrays)
        names = masks_of(arrays, image.shape[:2])
        floats = floats_of(arrays, names)
        for name in names:
            if name in floats:
                result[name] = warp.numbers(as_floats(arrays[name], name)).astype(arrays[name].dtype, copy=False)
            else:
                result[name] = warp.mask(arrays[name])
        if floats and "valid" in arrays:  # a number made of void is none
            void = ~arrays["valid"].astype(bool, copy=False)
            result["valid"] = result["valid"] & (warp.numbers(void.astype(np.float32)) == 0)
        if "boxes" in arrays:
            boxes, seen = warp.boxes(arrays["boxes"])
            result["boxes"] = boxes[seen]
            if "labels" in arrays:
                result["labels"] = arrays["labels"][seen]
        if "valid" not in arrays:
            valid = warp.valid()
            if valid is not None:
                result["valid"] = valid
        if self.swap and _mirrored(warp.warp)[0]:
            for name, array in result.items():
                if name == "boxes":
                    continue
                swapped = self._swapped(torch.from_numpy(np.ascontiguousarray(array))[None], 2)
                if swapped is not None:
                    result[name] = swapped[0].numpy()
        return warp.image(image), result

    def _swapped(self, values: Tensor, axes: int) -> Tensor | None:
        """Masks or labels of a batch with left and right exchanged; None for what knows no sides."""
        if values.dtype == torch.bool or values.dim() not in (1, 2, axes + 1, axes + 2):
            return None
        if values.is_floating_point() and values.dim() == axes + 1:  # a map of numbers
            return None
        result = values.clone()
        if values.is_floating_point() or values.dim() == axes + 2:  # a channel per class
            if values.dim() == 1 or values.shape[1] <= max(max(pair) for pair in self.swap):
                return None
            for left, right in self.swap:
                result[:, left], result[:, right] = values[:, right], values[:, left]
            return result
        for left, right in self.swap:
            result[values == left], result[values == right] = right, left
        return result

    def draw(self, count: int, size: tuple[int, int], rng: np.random.Generator) -> Warp:
        """Maps of `count` pictures of `(H, W)`."""
        out = (self.crop[0], self.crop[1]) if self.crop else size
        centre = np.array([(out[1] - 1) / 2, (out[0] - 1) / 2])
        middle, zoom = self._crops(count, size, out, rng)
        linear, exact = self._symmetries(count, out, rng)
        point, tilt = np.broadcast_to(centre, (count, 2)), None  # of the output, that goes to the crop's middle
        chosen = rng.random(count) < self.affine
        if self._moves() and chosen.any():
            linear = np.where(chosen[:, None, None], self._affine(count, rng) @ linear, linear)
            if self.translate:
                moved = self._between(rng, -self.translate, self.translate, (count, 2)) * [out[1], out[0]]
                point = point + np.where(chosen[:, None], moved, 0)
            if self.perspective:
                tilt = np.where(chosen[:, None, None], self._tilts(count, out, rng), np.eye(3))
            exact = exact & ~chosen
        if self.crop_area:
            exact = np.zeros(count, bool)
        matrix = np.zeros((count, 3, 3))
        matrix[:, :2, :2] = linear * zoom[:, :, None]
        matrix[:, :2, 2] = middle - (matrix[:, :2, :2] @ point[:, :, None])[:, :, 0]
        matrix[:, 2, 2] = 1
        if tilt is not None:
            there, back = np.eye(3), np.eye(3)
            there[:2, 2], back[:2, 2] = -centre, centre
            matrix = matrix @ back @ tilt @ there
        field, bent = self._field(count, out, rng)
        columns, rows, stretched = self._stretches(count, out, rng)
        radial, pulled = self._radial(count, rng)
        return Warp(out, matrix, field, columns, rows, radial, exact & ~bent & ~stretched & ~pulled, self.border)

    def _between(self, rng: np.random.Generator, low: float, high: float, shape: int | tuple[int, ...]) -> np.ndarray:
        return uniform(rng, low, high, shape, self.extremes)

    def _moves(self) -> bool:
        return bool(any(self.rotate) or list(self.scale) != [1, 1] or self.shear or self.translate or self.perspective)

    def _crops(
        self, count: int, size: tuple[int, int], out: tuple[int, int], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Middle (x, y) of what is taken from the input, and input pixels per output pixel along (x, y)."""
        sides, wanted = np.array([size[1], size[0]]), np.array([out[1], out[0]])
        if self.crop_area:
            ratio = np.exp(rng.uniform(*np.log(self.crop_ratio), count)) * wanted[0] / wanted[1]
            area = rng.uniform(*self.crop_area, count) * sides.prod()
            taken = np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], 1)
            taken = taken / (taken / sides).max(1, keepdims=True).clip(1)
            return (taken - 1) / 2 + rng.random((count, 2)) * (sides - taken), taken / wanted
        # Whole pixels, so that nothing is interpolated.
        free = sides - wanted
        corner = np.where(free > 0, np.floor(rng.random((count, 2)) * (free + 1)), np.floor(free / 2))
        return corner + (wanted - 1) / 2, np.ones((count, 2))

    def _symmetries(self, count: int, out: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        linear = np.broadcast_to(np.eye(2), (count, 2, 2))
        if self.d4:
            group = D4 if out[0] == out[1] else D2
            drawn = group[rng.integers(len(group), size=count)]
            linear = np.where((rng.random(count) < self.d4)[:, None, None], drawn, linear)
        for chance, axis in ((self.hflip, 0), (self.vflip, 1)):
            if chance:
                mirror = np.eye(2)
                mirror[axis, axis] = -1
                linear = np.where((rng.random(count) < chance)[:, None, None], linear @ mirror, linear)
        return linear, np.ones(count, bool)

    def _affine(self, count: int, rng: np.random.Generator) -> np.ndarray:
        angle = np.deg2rad(self._between(rng, *self.rotate, count))
        zoom = np.exp(self._between(rng, *np.log(self.scale), count))
        slant = np.tan(np.deg2rad(self._between(rng, -self.shear, self.shear, count)))
        cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
        # Counter-clockwise as seen, as in albumentations; the inverse, because the map leads to the input.
        found = np.empty((count, 2, 2))
        found[:, 0, 0], found[:, 0, 1] = cosine, cosine * slant - sine
        found[:, 1, 0], found[:, 1, 1] = sine, sine * slant + cosine
        return found

    def _tilts(self, count: int, out: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Homographies of centred coordinates that send the corners to shifted ones."""
        half = np.array([out[1], out[0]]) / 2
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        moved = corners + rng.uniform(-self.perspective, self.perspective, (count, 4, 2)) * 2 * half
        x, y = np.broadcast_to(corners[:, 0], (count, 4)), np.broadcast_to(corners[:, 1], (count, 4))
        u, v, one, none = moved[..., 0], moved[..., 1], np.ones((count, 4)), np.zeros((count, 4))
        first = np.stack([x, y, one, none, none, none, -u * x, -u * y], 2)
        second = np.stack([none, none, none, x, y, one, -v * x, -v * y], 2)
        found = np.linalg.solve(np.concatenate([first, second], 1), np.concatenate([u, v], 1)[..., None])[..., 0]
        return np.concatenate([found, np.ones((count, 1))], 1).reshape(count, 3, 3)

    def _field(
        self, count: int, out: tuple[int, int], rng: np.random.Generator
    ) -> tuple[np.ndarray | None, np.ndarray]:
        chosen = rng.random(count) < self.elastic_p
        if not self.elastic or not chosen.any():
            return None, np.zeros(count, bool)
        coarse = [max(2, round(side / self.elastic_cell)) for side in out]
        field = rng.standard_normal((count, 2, *coarse), np.float32) * np.float32(self.elastic)
        return field * chosen[:, None, None, None], chosen

    def _stretches(
        self, count: int, out: tuple[int, int], rng: np.random.Generator
    ) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
        chosen = rng.random(count) < self.grid_p
        if not self.grid or not chosen.any():
            return None, None, np.zeros(count, bool)
        found = []
        for side in (out[1], out[0]):
            steps = 1 + rng.uniform(-self.grid, self.grid, (count, 5))
            ends = np.concatenate([np.zeros((count, 1)), steps.cumsum(1)], 1)
            ends = ends / ends[:, -1:] * (side - 1)  # the ends stay, so that nothing from outside comes in
            place, knots = np.arange(side), np.linspace(0, side - 1, 6)
            moved = np.stack([np.interp(place, knots, row) for row in ends]) - place
            found.append((moved * chosen[:, None]).astype(np.float32))
        return found[0], found[1], chosen

    def _radial(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray | None, np.ndarray]:
        chosen = rng.random(count) < self.optical_p
        if not self.optical or not chosen.any():
            return None, np.zeros(count, bool)
        return (rng.uniform(-self.optical, self.optical, count) * chosen).astype(np.float32), chosen


def _mirrored(warp: Warp) -> np.ndarray:
    """Which samples are seen in a mirror, `(N,)`: their map turns over."""
    matrix = warp.matrix
    return matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0] < 0
