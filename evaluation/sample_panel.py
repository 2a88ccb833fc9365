"""A panel of samples: images and targets side by side, as training sees them."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from evaluation.colours import GRAY, colour_of, fills_background, name_of
from evaluation.overlays import are_boxes, draw_array, heat
from evaluation.panel_bars import BAR, GAP, bar, legend_bars, write_text
from evaluation.panels import drawable, rgb, small_array
from masks.void import VOID, Arrays, is_class_map

SIDE = 224  # of a cell, in pixels
WIDE = 5  # cells in a line


class Sample(NamedTuple):
    """One sample of a batch.

    Attributes:
        image_id: id of the image.
        images: name -> `(C, *spatial)`; all have the same size.
        targets: target arrays by name: maps of the image's size, `boxes` `(n, 4)` with `labels`, and image-level ones;
            optionally `valid` bool `(*spatial)`.
    """

    image_id: str
    images: dict[str, np.ndarray]
    targets: Arrays


def draw_samples(samples: Sequence[Sample], max_value: float, names: Sequence[str] = (), title: str = "") -> np.ndarray:
    """Draw samples `(h, w, 3)` uint8: image and a column per target with pixels or boxes; other targets in the caption.

    Images of 8 bits keep their brightness; others are stretched from the 1st to the 99th percentile of all samples
    together, so that a change of brightness shows. Void pixels of targets are gray. Float maps with values between 0
    and 1 are drawn from dark to bright, others are masks.

    Args:
        samples: at least one sample.
        max_value: pixel value that means 1.0.
        names: class names.
        title: text of the first line.
    """
    range_ = _range(samples, max_value)
    drawn = [_cells(sample, range_, names) for sample in samples]
    columns = list(dict.fromkeys(name for cells in drawn for name in cells))
    across = max(1, min(len(samples), WIDE // len(columns)))
    width = max(across * len(columns) * (SIDE + GAP), 400)
    parts = [write_text(bar(width), title, 4), *legend_bars(_legend(samples, names), width)]
    for first in range(0, len(samples), across):
        row = list(zip(samples[first : first + across], drawn[first : first + across], strict=True))
        high = max(cell.shape[0] for _, cells in row for cell in cells.values())
        line = np.full((2 * BAR + high + GAP, width, 3), bar(1)[0, 0], np.uint8)
        for place, (sample, cells) in enumerate(row):
            left = place * len(columns) * (SIDE + GAP)
            room = len(columns) * (SIDE + GAP) - GAP
            write_text(line[:BAR, left : left + room], _caption(sample, names), 4)
            for column, name in enumerate(columns):
                start = left + column * (SIDE + GAP)
                write_text(line[BAR : 2 * BAR, start : start + SIDE], name, 4)
                if name in cells:
                    height, wide = cells[name].shape[:2]
                    line[2 * BAR : 2 * BAR + height, start : start + wide] = cells[name]
        parts.append(line)
    return np.concatenate(parts)


def _range(samples: Sequence[Sample], max_value: float) -> tuple[float, float]:
    """Pixel values drawn black and white."""
    if max_value == 255:
        return 0.0, 255.0
    values = np.concatenate(
        [image.reshape(-1)[:: max(1, image.size // 4096)] for s in samples for image in s.images.values()]
    )
    low, high = np.percentile(values, (1, 99))
    return float(low), float(max(high, low + 1e-9))


def _cells(sample: Sample, range_: tuple[float, float], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Images and targets by name, the longer side `SIDE` pixels."""
    first = next(iter(sample.images.values()))
    size, valid = first.shape[1:], sample.targets.get("valid")
    maps = {name: found for name in sample.targets if (found := _map(sample.targets, name, size)) is not None}
    if len(size) == 3:  # a volume: the slice with most of the target
        masks = [array for array in maps.values() if not are_boxes(array)]
        filled = sum(((array > 0).reshape(-1, *size).any(0).sum((1, 2)) for array in masks), np.zeros(size[0]))
        index = int(filled.argmax()) if filled.any() else size[0] // 2
        maps = {name: array if are_boxes(array) else array[..., index, :, :] for name, array in maps.items()}
        valid = None if valid is None else valid[index]
    scale = SIDE / max(size[-2:])
    wanted = max(1, round(size[-1] * scale)), max(1, round(size[-2] * scale))
    cells = {}
    for name, image in sample.images.items():
        plane = image[:, index] if image.ndim == 4 else image
        low, high = range_
        shown = np.clip((plane.astype(np.float32) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
        smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
        cells[name] = cv2.resize(rgb(shown), wanted, interpolation=smooth).reshape(wanted[1], wanted[0], 3)
    base, void = next(iter(cells.values())), None if valid is None else ~small_array(valid[None], wanted)[0]
    for name, array in maps.items():
        if are_boxes(array):
            cells[name] = draw_array(base, array * np.array([scale, scale, scale, scale, 1, 1]), names)
            continue
        if array.dtype.kind == "f" and not np.isin(array, (0, 1)).all():
            highest = array.reshape(-1, *array.shape[-2:]).max(0).astype(np.float32)
            cells[name] = heat(cv2.resize(highest, wanted, interpolation=cv2.INTER_NEAREST))
        else:
            kept = np.where(array == VOID, array.dtype.type(0), array) if is_class_map(array) else array
            cells[name] = draw_array(base, small_array(kept, wanted), names)
        if void is not None:
            cells[name][void] = GRAY
    return cells


def _map(targets: Arrays, name: str, size: tuple[int, ...]) -> np.ndarray | None:
    """A target with pixels or boxes; None for others."""
    if name == "valid" or name.startswith("ignored_"):
        return None
    found = drawable(targets, name, size)
    return found if found is None or are_boxes(found) or found.shape[-len(size) :] == tuple(size) else None


def _legend(samples: Sequence[Sample], names: Sequence[str]) -> list[tuple[str, tuple[int, int, int]]]:
    maps = any(array.ndim > 1 for sample in samples for name, array in sample.targets.items() if name != "valid")
    if not names or not maps:
        return []
    numbers = any(
        is_class_map(array, next(iter(sample.images.values())).ndim - 1)
        for sample in samples
        for array in sample.targets.values()
    )
    first = 1 if numbers and not fills_background(names) else 0
    return [(name, colour_of(number)) for number, name in enumerate(names) if number >= first]


def _caption(sample: Sample, names: Sequence[str]) -> str:
    """Id and image-level targets: `a1   label: cat, dog`."""
    texts = [sample.image_id[:40]]
    for name, array in sample.targets.items():
        if array.ndim < 2 and not ("boxes" in sample.targets and name == "labels") and not name.startswith("ignored_"):
            texts.append(f"{name}: {label_text(array, names)}")
    return "   ".join(texts)


def label_text(array: np.ndarray, names: Sequence[str] = ()) -> str:
    """An image-level target in words: names of its classes, with their shares after mixing; numbers as they are."""
    if array.ndim == 0 and array.dtype.kind in "iu":
        return names[int(array)] if int(array) < len(names) else str(int(array))
    values = np.atleast_1d(array)
    if len(values) > 1 and ((values >= 0) & (values <= 1)).all():
        shares = [(number, float(values[number])) for number in np.flatnonzero(values).tolist()]
        texts = [name_of(number, names) + ("" if share == 1 else f" {share:.2f}") for number, share in shares[:6]]
        return ", ".join(texts) or "none"
    return ", ".join(f"{value:.4g}" for value in values[:6])
