"""What the values of mask files mean: a binary mask, class numbers, object numbers or colours."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from annotations.colours import read_colours
from datamodules.readers.images import read_picture
from exploration.layouts.found import evenly
from files.texts import read_text
from masks.void import VOID

MOST = 3000  # files that are read
COMPONENTS = 40  # files whose objects are counted
MOST_COLOURS = 256
SMALL = 100_000  # bytes of a list of classes
WHITE = (1, 255, 65535)


@dataclass
class MaskValues:
    """Values of mask files.

    Args:
        kind: `binary`, `classes`, `instances` or `colours`.
        values: values that occur, sorted; of colours packed as 0xRRGGBB.
        counts: number of pixels of each colour.
        void: whether 255 means void.
        listed: file values of class 1, 2, … if they are not 1, 2, …
        read: number of files that were read.
        why: reason for the kind, for the user.
    """

    kind: Literal["binary", "classes", "instances", "colours"]
    values: list[int]
    counts: Counter[int] = field(default_factory=Counter)
    void: bool = False
    listed: list[int] | None = None
    read: int = 0
    why: str = ""


def mask_values(files: list[Path]) -> MaskValues:
    """Find out what the values of mask files mean.

    Raises:
        ImageReadError: a file cannot be read.
        ValueError: files with more colours than classes can have.
    """
    chosen = evenly(files, MOST)
    values: set[int] = set()
    colours: Counter[int] = Counter()
    for file in chosen:
        found = read_picture(file, "unchanged")
        found = found[..., :3] if found.shape[2] == 4 else found
        if found.shape[2] == 3 and (found != found[..., :1]).any():
            packed = found.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
            own, counts = np.unique(packed, return_counts=True)
            colours.update(dict(zip(own.tolist(), counts.tolist(), strict=True)))
        else:
            own = np.unique(found[..., 0])
            values.update(own.astype(np.int64).tolist())
            if colours or found.shape[2] == 3:
                colours.update({int(one) * 0x010101: 1 for one in own})
        if len(colours) > MOST_COLOURS:
            raise ValueError(
                f"mask {file} has {len(colours)} colours (with those read before), expected one for each class; JPEG "
                "and smoothed masks have no exact colours: save them as PNG without smoothing"
            )
    if any(colour % 0x010101 for colour in colours):
        return MaskValues(
            "colours", sorted(colours), colours, read=len(chosen), why="RGB files with different channels"
        )
    return _of_numbers(sorted(values), chosen)


def _of_numbers(values: list[int], files: list[Path]) -> MaskValues:
    above = [value for value in values if value > 0]
    if len(above) <= 1 and (not above or above[0] in WHITE):
        return MaskValues("binary", values, read=len(files), why=f"values {values}")
    if above == [1, VOID]:
        return MaskValues("binary", values, void=True, read=len(files), why="values 0, 1 and 255 (void)")
    why = _instances(files)
    if why is not None:
        return MaskValues("instances", values, read=len(files), why=why)
    void = VOID in above and (len(above) < 3 or above[-2] < 200 and above[-2] < 4 * len(above))
    numbers = [value for value in above if not (void and value == VOID)]
    listed = numbers if numbers[-1] >= VOID or numbers[-1] > 4 * len(numbers) + 8 else None
    shown = ", ".join(map(str, values[:8])) + (" …" if len(values) > 8 else "")
    return MaskValues("classes", values, void=void, listed=listed, read=len(files), why=f"values {shown}")


def _instances(files: list[Path]) -> str | None:
    """Why values look like object numbers, or None: most are one component each, and their number varies."""
    components = objects = 0
    highest = []
    for file in evenly(files, COMPONENTS):
        labels = read_picture(file, "unchanged")[..., 0]
        numbers = np.unique(labels[labels > 0])
        highest.append(len(numbers))
        for number in numbers[:200]:
            components += cv2.connectedComponents((labels == number).astype(np.uint8), connectivity=8)[0] - 1
            objects += 1
    if not objects or components > 1.2 * objects or max(highest) < 4 or len(set(highest)) < 2 and len(highest) > 1:
        return None
    return (
        f"{objects} values in {len(highest)} files are {components} connected objects, up to {max(highest)} in a file"
    )


def colour_list(root: Path, colours: list[int]) -> dict[str, list[int]] | None:
    """Packed colours of each class from a list beside the data, such as CamVid's `class_dict.csv`; None if none fits.

    Args:
        root: folder of the data.
        colours: colours that occur, more than half of which must be in the list.
    """
    for file in sorted([*root.glob("*.csv"), *root.glob("*.txt"), *root.glob("*/*.csv"), *root.glob("*/*.txt")])[:50]:
        if file.stat().st_size > SMALL:
            continue
        try:
            found = {name: [packed_number(one) for one in own] for name, own in read_colours(file).items()}
        except ValueError:
            continue
        known = {colour for own in found.values() for colour in own}
        if 2 * len(known & set(colours)) > len(colours):
            return found
    return None


def packed_number(colour: Sequence[int]) -> int:
    """Red, green and blue as 0xRRGGBB."""
    return (colour[0] << 16) + (colour[1] << 8) + colour[2]


def class_file(root: Path, count: int) -> list[str] | None:
    """Names of so many classes, a line each, from a text beside the data (`classes.txt`); None if there is none."""
    for file in sorted([*root.glob("*.txt"), *root.glob("*/*.txt"), *root.glob("*.names")])[:50]:
        if file.stat().st_size > SMALL:
            continue
        try:
            lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
        except ValueError:
            continue
        if len(lines) == count == len(set(lines)) and all(len(line) < 40 and not line.isdecimal() for line in lines):
            return lines
    return None
