"""A colour per class, the same in panels and reports."""

import colorsys
from collections.abc import Sequence

import numpy as np

from masks.void import VOID

# Okabe and Ito's palette, safe for colour-blind readers.
PALETTE = np.array(
    [(0, 158, 115), (230, 159, 0), (86, 180, 233), (204, 121, 167), (240, 228, 66), (0, 114, 178), (213, 94, 0)],
    np.uint8,
)
GRAY = 110  # of void pixels
GOLDEN = 0.61803398875  # steps of this part of the circle never come close to an earlier hue


TONES = ((0.45, 0.95), (0.8, 0.4), (1, 0.95), (0.7, 0.8), (0.95, 0.6))  # saturation and value


def _colours(count: int) -> np.ndarray:
    later = [
        colorsys.hsv_to_rgb((0.03 + GOLDEN * number) % 1, *TONES[number % len(TONES)])
        for number in range(count - len(PALETTE))
    ]
    return np.concatenate([PALETTE, np.round(np.array(later) * 255).astype(np.uint8)])


COLOURS = _colours(VOID + 1)  # class or channel k has row k; only the first seven are safe for colour-blind readers


def colour_of(number: int) -> tuple[int, int, int]:
    """Colour of a class, channel or box label: red, green, blue in 0..255."""
    red, green, blue = COLOURS[number % len(COLOURS)].tolist()
    return red, green, blue


def name_of(number: int, names: Sequence[str]) -> str:
    """Name of a class, channel or box label; `class 3` without one."""
    return names[number] if number < len(names) else f"class {number}"


def fills_background(names: Sequence[str]) -> bool:
    """Whether class 0 of a class map is drawn like the others: it has a name, and not that of the background."""
    return len(names) > 0 and names[0].strip(" _").casefold() != "background"
