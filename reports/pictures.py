"""Any image as RGB for people, with its target drawn on it."""

import base64
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from datamodules.targets.boxes import ARRAYS
from evaluation.colours import GRAY
from evaluation.metrics.detection import true_boxes
from evaluation.overlays import draw_array, draw_boxes
from evaluation.panels import small_array
from masks.void import VOID, is_class_map, is_id_map

YELLOW = ("red", "green", "blue", "yellow")
SENTINEL = ("B04", "B03", "B02")
FRAME = 208  # gray value around images, so that white ones have an edge
DIM = 96  # 8-bit images whose 99th percentile is lower are stretched, else they would look black


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
    red and green. Types other than 8 bits, and dim images, are stretched from their 1st to their 99.5th percentile.

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
    image: np.ndarray,
    targets: dict[str, np.ndarray],
    names: list[str] | None = None,
    side: int = 240,
    classes: Sequence[str] = (),
) -> tuple[np.ndarray, str]:
    """A small image with masks, class numbers, instances and boxes in the colours of their classes; void is gray.

    Args:
        image: see `to_picture`.
        targets: target arrays at the image's size; image-level ones are not drawn.
        names: channel names.
        side: longer side of the result in pixels.
        classes: class names.

    Returns:
        `(h, w, 3)` uint8, and the remark of `to_picture`.
    """
    axes = image.ndim - 1
    drawn, remark = to_picture(image, names)
    height, width = drawn.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    for name, array in targets.items():
        if name == "boxes":
            boxes = np.insert(true_boxes(targets, name), 4, 1.0, axis=1)
            small = draw_boxes(small, boxes * np.array([scale, scale, scale, scale, 1, 1]), labels=False)
        elif name not in (*ARRAYS, "valid") and array.ndim in (axes, axes + 1):
            plane = array.astype(np.int32) if is_id_map(array, axes) else array
            plane = plane[..., len(plane) // 2, :, :] if axes == 3 and array.ndim == axes else plane
            plane = plane[:, plane.shape[1] // 2] if axes == 3 and array.ndim == axes + 1 else plane
            small = draw_array(small, small_array(as_drawn(plane), size), classes)
    if "valid" in targets:
        valid = targets["valid"]
        small[~small_array((valid[len(valid) // 2] if axes == 3 else valid)[None], size)[0]] = GRAY
    return small, remark


def as_drawn(plane: np.ndarray) -> np.ndarray:
    """Class numbers without void; float maps as masks."""
    if is_class_map(plane):
        return np.where(plane == VOID, 0, plane)
    return plane[None] > 0 if plane.ndim == 2 and plane.dtype.kind not in "iu" else plane


def sheet(cells: list[np.ndarray], columns: int = 6, gap: int = 8) -> np.ndarray:
    """Images of any sizes in one, framed, on white, row by row."""
    side = max(max(cell.shape[:2]) for cell in cells)
    rows = -(-len(cells) // columns)
    columns = min(columns, len(cells))
    result = np.full((rows * (side + gap) + gap, columns * (side + gap) + gap, 3), 255, np.uint8)
    for number, small in enumerate(cells):
        top, left = (gap + place * (side + gap) for place in divmod(number, columns))
        top, left = top + (side - small.shape[0]) // 2, left + (side - small.shape[1]) // 2
        bottom, right = top + small.shape[0], left + small.shape[1]
        result[top - 1 : bottom + 1, left - 1 : right + 1] = FRAME
        result[top:bottom, left:right] = small
    return result


def png(picture: np.ndarray) -> bytes:
    """A PNG file of `(H, W, 3)` uint8 RGB."""
    done, content = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if not done:
        raise OSError(f"an image of shape {picture.shape} cannot be encoded")
    return content.tobytes()


def embedded(content: bytes) -> str:
    """A PNG file as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(content).decode()
