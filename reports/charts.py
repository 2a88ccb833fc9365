"""Charts of the report, each drawn twice: for light and for dark pages."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

TRAIN, TEST = "train", "test"
LIGHT = {"ink": "#33373d", "soft": "#6b7280", "grid": "#e4e6ea", "page": "#ffffff", TRAIN: "#0072b2", TEST: "#d55e00"}
DARK = {"ink": "#d9dce1", "soft": "#969ca6", "grid": "#2c3138", "page": "#16181c", TRAIN: "#56b4e9", TEST: "#e69f00"}
Palette = dict[str, str]
Drawing = Callable[[Any, Palette], None]


def chart(draw: Drawing, width: float = 4.8, height: float = 2.4) -> tuple[bytes, bytes]:
    """Two PNG files of one chart, for light and for dark pages.

    Args:
        draw: called with matplotlib's axes and a palette.
        width, height: in inches, at 200 dots each.
    """
    return _render(draw, width, height, LIGHT), _render(draw, width, height, DARK)


def _render(draw: Drawing, width: float, height: float, palette: Palette) -> bytes:
    # Imported here: one verb draws. Figures are made without pyplot: no window system, and nothing is kept open.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.size": 9,
        "text.color": palette["ink"],
        "axes.labelcolor": palette["soft"],
        "axes.edgecolor": palette["grid"],
        "xtick.color": palette["soft"],
        "ytick.color": palette["soft"],
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": palette["grid"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "axes.facecolor": palette["page"],
        "figure.facecolor": palette["page"],
        "legend.frameon": False,
    }
    with rc_context(style):
        figure = Figure(figsize=(width, height), dpi=200, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axis = figure.add_subplot()
        draw(axis, palette)
        space_ticks(axis)
        buffer = io.BytesIO()
        canvas.print_png(buffer)
    return buffer.getvalue()


def short_number(value: float) -> str:
    """A number in a few characters: 20, 3,000, 50k, 2M."""
    if value >= 1e6:
        return f"{value / 1e6:,.10g}M"
    return f"{value / 1e3:.10g}k" if value >= 1e4 else f"{value:,.10g}"


def space_ticks(axis: Any) -> None:
    """Few plain numbers on each axis, so that none overlap: matplotlib writes 2 × 10² and 3 × 10² beside each other."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

    for line in (axis.xaxis, axis.yaxis):
        if line.get_scale() == "log":
            low, high = line.get_view_interval()
            decades = np.log10(high / low)
            subs = (1.0, 2.0, 5.0) if decades < 1.6 else (1.0, 3.0) if decades < 3 else (1.0,)
            line.set_major_locator(LogLocator(subs=subs, numticks=8))
            line.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
            line.set_minor_formatter(NullFormatter())
            inside = [tick for tick in line.get_majorticklocs() if low <= tick <= high]
            if len(inside) < 2:  # less than an octave
                line.set_major_locator(MaxNLocator(4))
        elif isinstance(line.get_major_formatter(), ScalarFormatter):
            line.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def histogram(
    values: dict[str, np.ndarray],
    label: str,
    bins: int = 60,
    log: bool = False,
    bounds: tuple[float, float] | None = None,
) -> Drawing:
    """Outlined histograms of a quantity per split, as shares, so that splits of different size compare.

    Args:
        values: split -> numbers.
        label: of the horizontal axis.
        bins: number of them; whole numbers of a short range get one each.
        log: logarithmic axis; values must be above 0.
        bounds: range of the axis, such as that of a score; used unless values are outside. None: that of the values.
    """

    def draw(axis: Any, palette: Palette) -> None:
        every = np.concatenate([part for part in values.values() if len(part)])
        inside = bounds is not None and bounds[0] <= every.min() and every.max() <= bounds[1]
        edges = np.linspace(*bounds, bins + 1) if bounds is not None and inside else _edges(every, bins, log)
        for split, part in values.items():
            if not len(part):
                continue
            counts = np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0] / len(part)
            colour = palette[split]
            axis.stairs(counts, edges, color=colour, lw=1.5, label=f"{split} ({len(part):,})")
            axis.stairs(counts, edges, color=colour, alpha=0.12, fill=True)
        if log:
            axis.set_xscale("log")
        axis.set_xlabel(label)
        axis.set_ylabel("share")
        axis.set_ylim(bottom=0)
        if len(values) > 1:
            axis.legend()

    return draw


def _edges(values: np.ndarray, bins: int, log: bool) -> np.ndarray:
    low, high = np.percentile(values, (0, 99.8)) if len(values) > 1000 else (values.min(), values.max())
    if log:
        return np.geomspace(max(low, 1e-9), max(high, low * 1.01, 1e-8), bins + 1)
    whole = bool(np.all(values == np.round(values)))
    if whole and high - low < 2 * bins:
        return np.arange(low - 0.5, high + 1.5)
    if whole:
        return np.arange(low - 0.5, high + 0.5 + (step := np.ceil((high - low + 1) / bins)), step)
    return np.linspace(low, high, bins + 1) if high > low else np.array([low - 0.5, low + 0.5])


def bars(names: list[str], values: dict[str, np.ndarray], label: str) -> Drawing:
    """Horizontal bars, a group per name.

    Args:
        names: top to bottom.
        values: split -> a number per name.
        label: of the horizontal axis.
    """

    def draw(axis: Any, palette: Palette) -> None:
        height = 0.76 / len(values)
        for place, (split, numbers) in enumerate(values.items()):
            at = np.arange(len(names)) + (place - (len(values) - 1) / 2) * height
            axis.barh(at, numbers, height=height * 0.92, color=palette[split], label=split)
        axis.set_yticks(range(len(names)), names)
        axis.set_ylim(len(names) - 0.4, -0.6)
        axis.set_xlabel(label)
        axis.grid(visible=False, axis="y")
        if len(values) > 1:
            axis.legend(loc="lower right")

    return draw


def scatter_sizes(sizes: dict[str, np.ndarray]) -> Drawing:
    """Width against height `(n, 2)` of every size, the dot's area after the number of images."""

    def draw(axis: Any, palette: Palette) -> None:
        for split, part in sizes.items():
            if not len(part):
                continue
            unique, counts = np.unique(part, axis=0, return_counts=True)
            axis.scatter(
                unique[:, 1], unique[:, 0], s=18 + 500 * counts / len(part), color=palette[split], alpha=0.45,
                label=split, edgecolors=palette[split], linewidths=1,
            )  # fmt: skip
        axis.set_xlabel("width")
        axis.set_ylabel("height")
        axis.margins(0.12)
        if len(sizes) > 1:
            legend = axis.legend()
            for handle in legend.legend_handles:
                handle.set_sizes([40])

    return draw


def matrix(values: np.ndarray, names: list[str], label: str, diagonal: bool = False) -> Drawing:
    """Shares in 0..1 `(K, K)` as a coloured table; numbers are written where there is room.

    Args:
        values: shares `(K, K)`.
        names: names of rows and columns.
        label: title.
        diagonal: whether the diagonal is drawn too.
    """

    def draw(axis: Any, palette: Palette) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("shares", [palette["page"], palette[TRAIN]])
        shown = np.where(np.eye(len(names), dtype=bool) & (not diagonal), np.nan, values)
        most = max(float(np.nanmax(shown)) if len(names) > 1 else 1.0, 0.05)
        axis.imshow(shown, cmap=colours, vmin=0, vmax=most)
        axis.set_xticks(range(len(names)), names, rotation=90)
        axis.set_yticks(range(len(names)), names)
        axis.grid(visible=False)
        axis.set_title(label, loc="left", fontsize=9, color=palette["soft"])
        if len(names) <= 16:
            for (row, column), value in np.ndenumerate(shown):
                if value >= 0.005:
                    ink = palette["page"] if value > 0.55 * most else palette["ink"]
                    text = f"{value:.2f}".removeprefix("0")
                    axis.text(column, row, text, ha="center", va="center", fontsize=7, color=ink)

    return draw
