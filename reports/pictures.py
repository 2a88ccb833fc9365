"""Any image as a picture for people, with its truth drawn on it."""

import base64
from typing import Any

import cv2
import numpy as np

from datamodules.targets.boxes import ARRAYS
from evaluation.panels import PALETTE
from masks.void import VOID, is_id_map

YELLOW = ("red", "green", "blue", "yellow")
SENTINEL = ("B04", "B03", "B02")
GRAY = 110  # of pixels that do not count
DIM = 96  # 8-bit pictures whose brightest hundredth lies below are stretched, or nobody would see anything


def channel_names(reader: Any) -> list[str]:
    """Names of a reader's channels or bands, where it has them."""
    for attribute in ("channels", "bands"):
        names = getattr(reader, attribute, None)
        if isinstance(names, list | tuple):
            return [f"band {name}" if str(name).isdecimal() else str(name) for name in names]
    return []


def to_picture(image: np.ndarray, names: list[str] | None = None) -> tuple[np.ndarray, str]:
    """An image of any kind as RGB, and how it was made.

    One channel is gray; three are red, green and blue; of more, those named so (or Sentinel-2's B04, B03, B02), else
    the first three. Red, green, blue and yellow together are blended as the Human Protein Atlas shows them, yellow on
    red and green. Types other than 8 bits, and dim pictures, are stretched from their 1st to their 99.5th percentile.

    Args:
        image: `(H, W, C)`, or a volume `(D, H, W, C)`, whose middle slice is taken.
        names: of the channels.

    Returns:
        `(H, W, 3)` uint8, and a remark: `middle slice, stretched`; empty where nothing was done.
    """
    remarks = []
    if image.ndim == 4:
        image = image[len(image) // 2]
        remarks.append("middle slice")
    names = [name.lower() for name in names or []]
    channels = image.shape[-1]
    blend = channels == 4 and tuple(names) == YELLOW
    if not blend and channels != 1:
        chosen = _rgb_channels(names, channels)
        if channels > 3:
            remarks.append("channels " + ", ".join(names[c] if c < len(names) else str(c) for c in chosen))
        image = image[..., chosen]
        if channels == 2:
            image = np.concatenate([image, np.zeros_like(image[..., :1])], axis=-1)
    apart = blend or channels == 2 or channels > 4  # stains and far bands have no common scale
    values = np.nan_to_num(image.astype(np.float32))
    sample = values[:: max(1, values.shape[0] // 512), :: max(1, values.shape[1] // 512)].reshape(-1, values.shape[-1])
    if image.dtype != np.uint8 or np.percentile(sample, 99) < DIM:
        low, high = np.percentile(sample, (1, 99.5), axis=0 if apart else None)
        values = (values - low) * (255 / np.maximum(high - low, 1e-9))
        remarks.append("stretched")
    values = np.clip(values, 0, 255)
    if blend:
        red, green, blue, yellow = np.moveaxis(values, -1, 0)
        values = np.stack([red + yellow / 2, green + yellow / 2, blue], axis=-1)
    elif channels == 1:
        values = np.repeat(values, 3, axis=-1)
    return np.clip(values, 0, 255).astype(np.uint8), ", ".join(remarks)


def _rgb_channels(names: list[str], channels: int) -> list[int]:
    if channels == 2:
        return [0, 1]
    for wanted in (("red", "green", "blue"), tuple(name.lower() for name in SENTINEL)):
        if all(name in names for name in wanted):
            return [names.index(name) for name in wanted]
    return [0, 1, 2]


def cell(
    image: np.ndarray, targets: dict[str, np.ndarray], names: list[str] | None = None, side: int = 240
) -> tuple[np.ndarray, str]:
    """A small picture with outlines of masks, classes, instances and boxes; what does not count is gray.

    Args:
        image: see `to_picture`.
        targets: target arrays at the image's size; image-level ones are not drawn.
        names: of the channels.
        side: longer side of the result.
    """
    axes = image.ndim - 1
    picture, remark = to_picture(image, names)
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    for name, array in targets.items():
        if name == "boxes":
            for left, top, right, bottom in np.round(array.reshape(-1, 4) * scale).astype(int).tolist():
                cv2.rectangle(small, (left, top), (right - 1, bottom - 1), PALETTE[1].tolist(), 2)
        elif name in ARRAYS:
            continue
        elif name != "valid" and array.ndim == axes + 1:
            for number, plane in enumerate(array):
                _outline(small, _middle(plane, axes) > 0, number)
        elif is_id_map(array, axes):
            _outline_ids(small, _middle(array, axes))
        elif name != "valid" and array.ndim == axes:
            plane = _middle(array, axes)
            for number in np.unique(plane):
                if number not in (0, VOID):
                    _outline(small, plane == number, int(number) - 1)
    if "valid" in targets:
        small[~_small(_middle(targets["valid"], axes), size)] = GRAY
    return small, remark


def _small(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0


def _middle(array: np.ndarray, axes: int) -> np.ndarray:
    return array[len(array) // 2] if axes == 3 else array


def _outline(picture: np.ndarray, mask: np.ndarray, number: int) -> None:
    small = _small(mask, picture.shape[1::-1])
    contours = cv2.findContours(small.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(picture, contours, -1, PALETTE[number % len(PALETTE)].tolist(), 2)


def _outline_ids(picture: np.ndarray, ids: np.ndarray) -> None:
    """Borders between different ids, inside the objects, so that touching ones stay apart."""
    small = cv2.resize(ids.astype(np.float64), picture.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    edge = (cv2.dilate(small, np.ones((3, 3))) != small) | (cv2.erode(small, np.ones((3, 3))) != small)
    picture[edge & (small > 0)] = PALETTE[1]


def sheet(cells: list[np.ndarray], columns: int = 6, gap: int = 8) -> np.ndarray:
    """Cells of any sizes in one picture, on white, row by row."""
    side = max(max(cell.shape[:2]) for cell in cells)
    rows = -(-len(cells) // columns)
    columns = min(columns, len(cells))
    result = np.full((rows * (side + gap) + gap, columns * (side + gap) + gap, 3), 255, np.uint8)
    for number, small in enumerate(cells):
        top, left = (gap + place * (side + gap) for place in divmod(number, columns))
        top, left = top + (side - small.shape[0]) // 2, left + (side - small.shape[1]) // 2
        result[top : top + small.shape[0], left : left + small.shape[1]] = small
    return result


def png(picture: np.ndarray) -> bytes:
    """A PNG file of `(H, W, 3)` uint8 RGB."""
    done, content = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if not done:
        raise OSError(f"a picture of shape {picture.shape} cannot be encoded")
    return content.tobytes()


def embedded(content: bytes) -> str:
    """A PNG file as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(content).decode()
