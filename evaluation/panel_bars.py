"""Bars of text in panels: captions, heads of columns, legends."""

import cv2
import numpy as np

BAR, GAP = 18, 2  # pixels
BACKGROUND = 32
FONT = cv2.FONT_HERSHEY_SIMPLEX, 0.42
Legend = list[tuple[str, tuple[int, int, int]]]  # words and their colours


def bar(width: int) -> np.ndarray:
    """An empty bar `(BAR, width, 3)` uint8."""
    return np.full((BAR, width, 3), BACKGROUND, np.uint8)


def legend_bars(entries: Legend, width: int) -> list[np.ndarray]:
    """Bars with a swatch and a name per class, on as many lines as needed."""
    bars, left = [], width
    for name, colour in entries:
        length = 22 + cv2.getTextSize(name, *FONT, 1)[0][0]
        if left + length > width:
            bars.append(bar(width))
            left = 4
        bars[-1][4 : BAR - 4, left : left + 10] = colour
        write_text(bars[-1], name, left + 14)
        left += length + 8
    return bars


def write_words(image: np.ndarray, left: int, before: str, words: Legend) -> None:
    """Write words in their colours after the word `before`."""
    for (previous, _), (word, colour) in zip([(before, ()), *words], words, strict=False):
        left += cv2.getTextSize(f"{previous} ", *FONT, 1)[0][0] + 3
        write_text(image, word, left, colour)


def write_text(image: np.ndarray, text: str, left: int, colour: tuple[int, ...] = (235, 235, 235)) -> np.ndarray:
    """Write a text on a bar, in place, and return the bar."""
    cv2.putText(image, text, (left, BAR - 5), *FONT, colour, 1, cv2.LINE_AA)
    return image
