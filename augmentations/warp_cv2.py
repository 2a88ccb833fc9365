"""Resampling of one image by its map, in a worker of the data loader: one pass of OpenCV."""

import cv2
import numpy as np

from augmentations.maps import Warp
from augmentations.target_planes import packed, unpacked

BORDERS = {"reflect": cv2.BORDER_REFLECT}


class ImageWarp:
    """The map of one sample, computed once for its image and all masks.

    Args:
        warp: map of one sample.
        size: size `(H, W)` of the input.
    """

    def __init__(self, warp: Warp, size: tuple[int, int]) -> None:
        if len(warp.matrix) != 1:
            raise ValueError(f"ImageWarp: expected the map of one sample, got {len(warp.matrix)}")
        self.warp, self.size = warp, size
        self.matrix = warp.matrix[0]
        self.exact = bool(warp.exact[0])
        # Maps even if a matrix would suffice: remap is faster than warpAffine, and all masks share them.
        self.maps = None if self.exact else self._maps()

    def image(self, image: np.ndarray) -> np.ndarray:
        """`(H, W, C)` of any type → `(h, w, C)` of the same type, by linear interpolation."""
        if self.exact:
            return self._moved(image)
        return self._sampled(image, cv2.INTER_LINEAR)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """`(H, W)` or `(K, H, W)` bool or integers → the same at the output's size, by nearest neighbour; 0 outside."""
        if self.exact:
            return self._moved(mask) if mask.ndim == 2 else np.stack([self._moved(plane) for plane in mask])
        planes, kind = packed(mask)
        return unpacked([self._sampled(plane, cv2.INTER_NEAREST) for plane in planes], kind, mask)

    def numbers(self, maps: np.ndarray) -> np.ndarray:
        """`(H, W)` or `(K, H, W)` floats → the same at the output's size, by linear interpolation; outside is 0 and is
        not mixed into other pixels."""
        planes = maps if maps.ndim == 3 else maps[None]
        if self.exact:
            found = np.stack([self._moved(plane) for plane in planes])
        else:
            # OpenCV interpolates float64 at 1/32 of a pixel, which is a larger error than rounding to float32.
            wide = planes.astype(np.float32, copy=False)
            found = np.stack([self._sampled(plane, cv2.INTER_LINEAR, outside=cv2.BORDER_REPLICATE) for plane in wide])
            inside = self.valid()
            found = found if inside is None else np.where(inside, found, 0)
        found = found.astype(maps.dtype, copy=False)
        return found if maps.ndim == 3 else found[0]

    def valid(self) -> np.ndarray | None:
        """Pixels from inside the image, `(h, w)` bool; None if all are."""
        if self.warp.border != "constant":
            return None
        if self.maps is None:
            inside = self._moved(np.ones(self.size, np.uint8)) > 0
        else:
            (height, width), (x, y) = self.size, self.maps
            inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        return None if inside.all() else inside

    def boxes(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes xyxy `(B, 4)` as the extent of the output pixels from inside each, and whether it is visible `(B,)`."""
        across, down = self._maps() if self.maps is None else self.maps
        across, down = np.broadcast_arrays(across + 0.5, down + 0.5)
        result, seen = np.zeros_like(boxes), np.zeros(len(boxes), bool)
        for number, (left, top, right, bottom) in enumerate(boxes):
            inside = (across >= left) & (across <= right) & (down >= top) & (down <= bottom)
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            if len(rows):
                seen[number] = True
                result[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        return result, seen

    def _sampled(self, image: np.ndarray, how: int, outside: int = cv2.BORDER_CONSTANT) -> np.ndarray:
        border = outside if self.warp.border == "constant" else BORDERS[self.warp.border]
        height, width = self.warp.size
        parts = []
        for start in range(0, image.shape[2] if image.ndim == 3 else 1, 4):  # OpenCV supports four channels at a time
            part = image if image.ndim == 2 else np.ascontiguousarray(image[..., start : start + 4])
            if part.ndim == 3 and part.shape[2] == 3 and part.dtype == np.uint8:
                # OpenCV samples 4 channels in half the time of 3; the conversion takes a tenth of it.
                found = cv2.remap(cv2.cvtColor(part, cv2.COLOR_RGB2RGBA), *self.maps, how, borderMode=border)
                found = cv2.cvtColor(found, cv2.COLOR_RGBA2RGB)
            else:
                found = cv2.remap(part, *self.maps, how, borderMode=border)
            parts.append(found if image.ndim == 2 else found.reshape(height, width, -1))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)

    def _moved(self, image: np.ndarray) -> np.ndarray:
        """Flips, rotations by 90° and integer shifts: without interpolation."""
        height, width = self.warp.size
        (a, b), (c, d) = np.rint(self.matrix[:2, :2]).astype(int)
        x, y = np.arange(width), np.arange(height)
        # Each input axis depends on one output axis.
        across = np.rint(a * x + self.matrix[0, 2] if a else b * y + self.matrix[0, 2]).astype(int)
        down = np.rint(d * y + self.matrix[1, 2] if d else c * x + self.matrix[1, 2]).astype(int)
        taken = self._taken(self._taken(image, across, 1), down, 0)
        return np.ascontiguousarray(taken if a else taken.swapaxes(0, 1))

    def _taken(self, image: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
        side = image.shape[axis]
        if places.min() >= 0 and places.max() < side:
            step = places[1] - places[0] if len(places) > 1 else 1
            stop = places[-1] + step
            part = slice(places[0], stop if stop >= 0 else None, step)
            return image[part] if axis == 0 else image[:, part]
        if self.warp.border == "reflect":
            folded = places % (2 * side)
            return image.take(np.where(folded >= side, 2 * side - 1 - folded, folded), axis)
        found = image.take(places.clip(0, side - 1), axis)
        outside = (places < 0) | (places >= side)
        found[(slice(None),) * axis + (outside,)] = 0
        return found

    def _maps(self) -> tuple[np.ndarray, np.ndarray]:
        warp, (height, width) = self.warp, self.warp.size
        x, y = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
        if warp.columns is not None:
            x, y = x + warp.columns[0][None], y + warp.rows[0][:, None]
        if warp.radial is not None:
            right, down = x - np.float32((width - 1) / 2), y - np.float32((height - 1) / 2)
            pull = warp.radial[0] * (right**2 + down**2) * np.float32(4 / (width**2 + height**2))
            x, y = x + right * pull, y + down * pull
        m = self.matrix.astype(np.float32)
        across, down = m[0, 0] * x + (m[0, 1] * y + m[0, 2]), m[1, 0] * x + (m[1, 1] * y + m[1, 2])
        if self.matrix[2, 0] or self.matrix[2, 1]:
            below = m[2, 0] * x + (m[2, 1] * y + m[2, 2])
            across, down = across / below, down / below
        if warp.field is not None:
            fine = cv2.resize(warp.field[0].transpose(1, 2, 0), (width, height), interpolation=cv2.INTER_CUBIC)
            for places, moved in zip((across, down), cv2.split(fine), strict=True):
                places += moved
        return across, down
