"""Charts of lines by name."""

from typing import Any

import numpy as np

from reports.charts import Drawing, Palette

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#7b7b7b")


def lines(
    series: dict[str, tuple[np.ndarray, np.ndarray]],
    label: str,
    diagonal: bool = False,
    bounds: tuple[float, float] | None = None,
) -> Drawing:
    """Lines by name.

    Args:
        series: name -> horizontal and vertical values.
        label: label of the horizontal axis.
        diagonal: whether to draw a dotted diagonal from 0 to 1.
        bounds: range of both axes; None: that of the values.
    """

    def draw(axis: Any, palette: Palette) -> None:
        if diagonal:
            axis.plot([0, 1], [0, 1], color=palette["soft"], lw=0.8, ls=":")
        for number, (name, (places, values)) in enumerate(series.items()):
            few = len(places) < 20
            axis.plot(
                places, values, lw=1.5, label=name, color=COLOURS[number % len(COLOURS)],
                marker="o" if few else None, ms=3,
            )  # fmt: skip
        axis.set_xlabel(label)
        if bounds is not None:
            axis.set_xlim(*bounds)
            axis.set_ylim(bounds[0], bounds[1] * 1.02)
        if 1 < len(series) <= 10:
            axis.legend(fontsize=7)

    return draw
