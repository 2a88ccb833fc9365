"""The section that compares predictions with the training targets: foreground and objects per image."""

from typing import Any

import numpy as np
import pandas as pd

from reports.charts import Drawing, Palette, chart, histogram
from reports.experiment.quantities import NAMES, outlier_score, summary
from reports.experiment.sections import bins_for
from reports.page import Finding, Report

OUTLIER = 4.0  # robust deviations from which an image is an outlier
OUTLIERS = ["set", "image_id", *NAMES, "deviations"]


def add_sanity(report: Report, sets: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    """Compare foreground and objects of predictions with those of the targets.

    Args:
        report: the page.
        sets: `target`, and `out of fold` and `test` where there are such: image id -> quantities `(2,)`.

    Returns:
        The predictions with far more or less than the training targets, largest deviation first: columns `set`,
        `image_id`, the quantities, and `deviations` from the median of the targets.
    """
    report.section("Sanity")
    values = {name: np.stack(list(found.values())) for name, found in sets.items() if found}
    if "target" not in values:
        report.text("The output of the metric is not a mask.", True)
        return pd.DataFrame(columns=OUTLIERS)
    report.text(
        "Share of foreground and number of objects per image, after post-processing; percentiles without empty images."
    )
    report.table(pd.DataFrame([{"set": name} | summary(found) for name, found in values.items()]))
    colours = {"target": "test", "out of fold": "train"}
    charts = []
    for number, quantity in enumerate(NAMES):
        for name in ("out of fold", "test"):
            if name not in values:
                continue
            pair = {colours["target"]: values["target"][:, number], "train": values[name][:, number]}
            pair = {split: part[np.isfinite(part) & (part > 0)] for split, part in pair.items()}
            if all(len(part) for part in pair.values()):
                drawing = relabelled(
                    histogram(pair, quantity, bins=bins_for(min(map(len, pair.values()))), log=quantity == NAMES[0]),
                    {"test": "target", "train": name},
                )
                charts.append((f"{quantity} {name}", chart(drawing), f"{quantity}: {name} beside the training targets"))
    report.charts(charts)
    target = values["target"]
    for name in values:
        if name == "target":
            continue
        for share, what in ((0, "empty"), (1, "full")):
            count, images = int((values[name][:, 0] == share).sum()), len(values[name])
            if count == images:
                report.findings.append(
                    Finding("problem", f"{count} of {images} {name} predictions are {what}.", "Sanity")
                )
        empty, other = (float((part[:, 0] == 0).mean()) for part in (target, values[name]))
        noise = np.sqrt(empty * (1 - empty) * (1 / len(target) + 1 / len(values[name])))
        if abs(empty - other) > max(0.05, 3 * noise):
            report.findings.append(
                Finding(
                    "look",
                    f"{100 * other:.0f} % of the {name} predictions are empty, {100 * empty:.0f} % of the targets.",
                    "Sanity",
                )
            )
        filled = [part[part[:, 0] > 0] for part in (target, values[name])]
        for number, quantity in enumerate(NAMES) if all(map(len, filled)) else ():
            one, two = (float(np.median(part[:, number])) for part in filled)
            if np.isfinite(one + two) and not 0.6 < two / max(one, 1e-9) < 1 / 0.6:
                report.findings.append(
                    Finding(
                        "look",
                        f"{quantity}: median {two:.3g} in the {name} predictions, {one:.3g} in the targets.",
                        "Sanity",
                    )
                )
    rows = []
    for name in values:
        if name != "target":
            found = zip(sets[name], values[name], outlier_score(values[name], target), strict=True)
            rows += [(name, one, *found_in, score) for one, found_in, score in found if score > OUTLIER]
    outliers = pd.DataFrame(rows, columns=OUTLIERS).sort_values("deviations", ascending=False, kind="stable")
    if len(outliers):
        report.findings.append(
            Finding(
                "look",
                f"{len(outliers)} predictions with far more or less foreground than the targets: `outliers.csv`.",
                "Sanity",
            )
        )
    return outliers.reset_index(drop=True)


def relabelled(draw: Drawing, names: dict[str, str]) -> Drawing:
    """A chart whose legend has other names."""

    def drawn(axis: Any, palette: Palette) -> None:
        draw(axis, palette)
        legend = axis.get_legend()
        for text in legend.get_texts() if legend is not None else ():
            first, _, rest = text.get_text().partition(" ")
            text.set_text(f"{names.get(first, first)} {rest}")

    return drawn
