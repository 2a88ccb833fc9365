"""The image of the README is cut between the rows of a panel."""

from pathlib import Path

import numpy as np
from PIL import Image

from docs.generate.readme_image import MAX_SIZE, readme_image, row_starts
from evaluation.panel_bars import BAR, GAP
from evaluation.panels import draw_panel, row_of

IMAGE = Path(__file__).parents[2] / "docs/images/panel.png"


def panel(sides):
    rng = np.random.default_rng(0)
    rows = []
    for number, (height, width) in enumerate(sides):
        image = rng.integers(0, 256, (3, height, width), dtype=np.uint8)
        mask = (rng.random((1, height, width)) < 0.3).astype(np.uint8)
        rows.append(row_of(f"image {number}", image, mask, mask, side=96))
    return draw_panel(rows, "title")


def test_rows_begin_at_their_captions():
    sides = [(96, 96), (48, 96), (96, 96)]
    starts = [2 * BAR]
    for height, _ in sides[:-1]:
        starts.append(starts[-1] + BAR + height + GAP)
    assert row_starts(panel(sides)) == starts


def test_some_rows_with_the_head():
    drawn = panel([(96, 96), (48, 96), (96, 96)])
    cut = readme_image(drawn, [1], width=drawn.shape[1])
    assert cut.height == BAR + BAR + 48 + GAP


def test_the_committed_image_is_small():
    assert IMAGE.stat().st_size <= MAX_SIZE
    assert Image.open(IMAGE).width >= 600
