"""Geometric augmentation: all operations of a sample composed into one map from output to input pixels."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from augmentations.base import Augmentation, floats_of, masks_of, spatial, uniform
from augmentations.maps import Warp
from augmentations.target_planes import as_floats
from augmentations.warp import Nearest, coordinates, warp_boxes, warp_images, warp_numbers
from augmentations.warp_cv2 import ImageWarp

# Row-major 2 x 2 matrices of the square's symmetries: four rotations, and the same after a flip.
TURNS = [np.array(m, float).reshape(2, 2) for m in ((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))]
D4 = np.stack([*TURNS, *(turn @ np.diag([-1.0, 1.0]) for turn in TURNS)])
D2 = D4[[0, 2, 4, 6]]  # those that keep a rectangle


class Geometry(Augmentation):
    """Flips, rotations, affine, perspective, crops, elastic, grid and optical distortion with a single resampling.

    With the same arguments it works on batches on the device (`model.augmentation`) and on images in the workers
    (`data.augmentation`). Images and float maps (heights, heat maps) are interpolated linearly; masks, ids and class
    numbers by nearest neighbour. Each probability applies to each sample independently.

    Args:
        d4: probability of a random one of the square's 8 symmetries; of the rectangle's 4 if the output is not square.
        hflip: probability of a horizontal flip; for images with an up and a down.
        vflip: probability of a vertical flip.
        affine: probability of rotate, scale, shear, translate and perspective together.
        rotate: range `[low, high]` of the angle in degrees; one number for both directions.
        scale: range `[low, high]` of the scale factor of objects.
        shear: largest shear angle in degrees, in either direction.
        translate: largest shift as a fraction of the side, in either direction.
        perspective: largest shift of a corner as a fraction of the side, below 0.5.
        extremes: whether rotate, scale, shear and translate take only the two ends of their ranges: "hard" augmentation
            (Inclusive Images 2018, 2nd place; see `Stages`).
        crop: size `[H, W]` of the output; None keeps the size. Smaller images are centred in it.
        crop_area: range `[low, high]` of the crop's area as a fraction of the image, which is then scaled to `crop`;
            None crops without scaling.
        crop_ratio: range `[low, high]` of the crop's width / height relative to `crop`.
        elastic: standard deviation of the displacement in pixels; about 3 for albumentations' ElasticTransform(120, 6),
            as in SIIM-ACR's 1st place.
        elastic_cell: grid spacing in pixels of the random displacements, with bicubic interpolation in between.
        elastic_p: probability of elastic distortion.
        grid: largest relative stretch of a cell of a 5 x 5 grid, below 1; 0.3 in albumentations' GridDistortion.
        grid_p: probability of grid distortion.
        optical: largest relative radial shift of the corners, in either direction, below 0.5: barrel and pincushion.
        optical_p: probability of optical distortion.
        swap: pairs of class numbers, or of channels of masks and labels, that are swapped in mirrored samples, such as
            left and right organs.
        border: outside the image: `constant` is 0 with `valid` False, `reflect` mirrors the image.

    Raises:
        ValueError: a probability is outside [0, 1], a range is not [low, high], or crop_area is set without crop.
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
                raise ValueError(f"Geometry: {name} is {chance}, expected a probability in [0, 1]")
        turned = [-rotate, rotate] if isinstance(rotate, int | float) else list(rotate)
        ranges = {"rotate": turned, "scale": scale, "crop_area": crop_area or [1, 1], "crop_ratio": crop_ratio}
        for name, (low, high) in ranges.items():
            if low > high or (name != "rotate" and low <= 0):
                raise ValueError(f"Geometry: {name} is {[low, high]}, expected [low, high]")
        if crop_area is not None and crop is None:
            raise ValueError("Geometry: crop_area needs crop, the size [H, W] to which crops are scaled")
        if not 0 <= perspective < 0.5 or not 0 <= grid < 1 or not abs(optical) < 0.5:
            raise ValueError(
                f"Geometry: perspective is {perspective}, grid {grid}, optical {optical}; expected perspective in "
                "[0, 0.5), grid in [0, 1), |optical| below 0.5"
            )
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
            raise ValueError(f"Geometry: expected images (N, C, H, W), got {tuple(images.shape)}; see CubeIsometries")
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
        if floats and "valid" in batch:  # a value that depends on void is invalid
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
        if floats and "valid" in arrays:  # a value that depends on void is invalid
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
        """Masks or labels of a batch with left and right swapped; None for arrays without sides."""
        if values.dtype == torch.bool or values.dim() not in (1, 2, axes + 1, axes + 2):
            return None
        if values.is_floating_point() and values.dim() == axes + 1:  # a float map
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
        """Random maps for `count` images of `(H, W)`."""
        out = (self.crop[0], self.crop[1]) if self.crop else size
        centre = np.array([(out[1] - 1) / 2, (out[0] - 1) / 2])
        middle, zoom = self._crops(count, size, out, rng)
        linear, exact = self._symmetries(count, out, rng)
        point, tilt = np.broadcast_to(centre, (count, 2)), None  # output point that maps to the crop's centre
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
        """Centre (x, y) of the crop in the input, and input pixels per output pixel along (x, y)."""
        sides, target_size = np.array([size[1], size[0]]), np.array([out[1], out[0]])
        if self.crop_area:
            ratio = np.exp(rng.uniform(*np.log(self.crop_ratio), count)) * target_size[0] / target_size[1]
            area = rng.uniform(*self.crop_area, count) * sides.prod()
            taken = np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], 1)
            taken = taken / (taken / sides).max(1, keepdims=True).clip(1)
            return (taken - 1) / 2 + rng.random((count, 2)) * (sides - taken), taken / target_size
        # Integer offsets, so that nothing is interpolated.
        free = sides - target_size
        corner = np.where(free > 0, np.floor(rng.random((count, 2)) * (free + 1)), np.floor(free / 2))
        return corner + (target_size - 1) / 2, np.ones((count, 2))

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
        # Counter-clockwise on screen, as in albumentations; inverted, because the map goes from output to input.
        found = np.empty((count, 2, 2))
        found[:, 0, 0], found[:, 0, 1] = cosine, cosine * slant - sine
        found[:, 1, 0], found[:, 1, 1] = sine, sine * slant + cosine
        return found

    def _tilts(self, count: int, out: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Homographies of centred coordinates that map the corners to shifted ones."""
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
            ends = ends / ends[:, -1:] * (side - 1)  # the ends stay fixed, so that no outside becomes visible
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
    """Whether each sample is mirrored, `(N,)`: its map has a negative determinant."""
    matrix = warp.matrix
    return matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0] < 0
