"""The image of the README: rows of the last panel of a quickstart, small enough to commit."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation.panel_bars import BAR

MAX_SIZE = 200_000  # bytes


def row_starts(panel: np.ndarray) -> list[int]:
    """Return the rows of a panel `(h, w, 3)` where caption bars begin; right of the text, a bar has one colour."""
    plain = (panel[:, panel.shape[1] * 45 // 100 :] == panel[0, -1]).all(axis=(1, 2))
    plain[: 2 * BAR] = False  # the title and the names of the columns
    ends = np.flatnonzero(plain[:-1] & ~plain[1:]) + 1  # a bar ends where its image begins
    return [int(end) - BAR for end in ends if plain[end - BAR : end].all()]


def readme_image(panel: np.ndarray, rows: list[int], width: int = 860) -> Image.Image:
    """Return the header of a panel and the given rows, counted from 0."""
    starts = [*row_starts(panel), len(panel)]
    parts = [panel[BAR : 2 * BAR], *(panel[starts[row] : starts[row + 1]] for row in rows)]
    whole = Image.fromarray(np.concatenate(parts))
    small = whole.resize((width, round(whole.height * width / whole.width)), Image.Resampling.LANCZOS)
    return small.quantize(192, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


if __name__ == "__main__":
    panels, target = map(Path, sys.argv[1:3])
    last = sorted(panels.glob("epoch_*.png"))[-1]
    drawn = readme_image(np.asarray(Image.open(last).convert("RGB")), [int(row) for row in sys.argv[3:]] or [0, 3])
    target.parent.mkdir(parents=True, exist_ok=True)
    drawn.save(target, optimize=True)
    size = target.stat().st_size
    print(f"{target}: {drawn.width} x {drawn.height}, {size} bytes, from {last}")
    sys.exit(size > MAX_SIZE)
