"""One HTML page without outside resources: sections, tables, charts, images, findings.

The HTML is in `page.html.j2` and `parts.html.j2` beside this file, its style in `page.css`. Texts are plain, with
`code` and **strong** marked as here; everything else is escaped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from files.writing import write_bytes, write_text
from reports.pictures import embedded

LEVELS = {"problem": "Problem", "look": "Look at", "note": "Note"}
MARKS = re.compile(r"`([^`]+)`|\*\*(.+?)\*\*")


@dataclass
class Finding:
    """Something to know about a dataset or an experiment.

    Args:
        level: `problem` spoils a training or its score, `look` may spoil it, `note` is for information.
        text: a sentence or two with what to do.
        section: title of the section that shows it.
    """

    level: Literal["problem", "look", "note"]
    text: str
    section: str | None = None


class Section(NamedTuple):
    """A section and its parts, in HTML."""

    title: str
    parts: list[Markup]


@dataclass
class Report:
    """A page that grows section by section.

    Args:
        title: of the page.
        lead: text below the title: which images were read.
        folder: folder of copies of the images; None: they are only embedded.
    """

    title: str
    lead: str
    folder: Path | None = None
    findings: list[Finding] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def section(self, title: str) -> None:
        """Begin a section."""
        self.sections.append(Section(title, []))

    def text(self, text: str, quiet: bool = False) -> None:
        """Add a paragraph."""
        self._add("text", text, quiet)

    def heading(self, text: str) -> None:
        """Add a smaller heading."""
        self._add("heading", text)

    def table(self, frame: pd.DataFrame, marked: list[bool] | None = None, most: int = 40) -> None:
        """Add a table; numbers stand to the right, shares (columns that begin with `share`) as percent."""
        self._add("table", *table_cells(frame.head(most), marked))
        if len(frame) > most:
            self.text(f"The first {most} of {len(frame):,} rows.", quiet=True)

    def charts(self, charts: list[tuple[str, tuple[bytes, bytes], str]]) -> None:
        """Add charts side by side: file name without ending, the light and the dark PNG, what one sees."""
        for name, (light, _), _ in charts:
            self.write(f"{anchor(name)}.png", light)
        if charts:
            self._add("charts", [(embedded(light), embedded(dark), text) for _, (light, dark), text in charts])

    def picture(self, content: bytes, alternative: str) -> None:
        """Add a PNG as wide as the page, and its alternative text."""
        self._add("picture", embedded(content), alternative)

    def panel(self, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[bytes | None]]]) -> None:
        """Add images side by side under the names of their columns: a caption and a PNG per column for each row."""
        self._add(
            "panel", columns, [(about, [None if one is None else embedded(one) for one in row]) for about, row in rows]
        )

    def legend(self, title: str, entries: Sequence[tuple[str, tuple[int, int, int]]]) -> None:
        """Add a line of colours `(red, green, blue)` in 0..255 and what each stands for; nothing without entries."""
        if entries:
            self._add(
                "legend", title, [(name, f"#{red:02x}{green:02x}{blue:02x}") for name, (red, green, blue) in entries]
            )

    def cells(self, cells: Sequence[tuple[bytes, str]]) -> None:
        """Add a grid of small images: PNG and caption."""
        self._add("cells", figures_of(cells))

    def group(self, strong: str, lines: Sequence[str], cells: Sequence[tuple[bytes, str]]) -> None:
        """Add small images that belong together, with a text beside them whose first words are bold."""
        self._add("group", strong, lines, figures_of(cells))

    def _add(self, part: str, *arguments: Any) -> None:
        self.sections[-1].parts.append(getattr(TEMPLATES.get_template("parts.html.j2").module, part)(*arguments))

    def write(self, name: str, content: bytes) -> None:
        """Write a file beside the page, at once."""
        if self.folder is not None:
            write_bytes(self.folder / name, content)

    def ordered(self) -> list[Finding]:
        """The findings, problems first."""
        return sorted(self.findings, key=lambda finding: list(LEVELS).index(finding.level))

    def html(self) -> str:
        """The whole page."""
        page = TEMPLATES.get_template("page.html.j2")
        return page.render(
            title=self.title, lead=self.lead, findings=self.ordered(), sections=self.sections, levels=LEVELS
        )

    def save(self, path: Path) -> None:
        """Write the page, at once."""
        write_text(path, self.html())


def anchor(title: str) -> str:
    """Title as an address within the page."""
    return re.sub(r"[^a-z0-9_]+", "-", title.lower()).strip("-")


def marked_up(text: str) -> Markup:
    """A plain text as HTML, with what is marked as code or strong."""
    return Markup(MARKS.sub(lambda mark: f"<code>{mark[1]}</code>" if mark[1] else f"<b>{mark[2]}</b>", escape(text)))


def unmarked(text: str) -> str:
    """A text without its marks, for the terminal."""
    return MARKS.sub(lambda mark: mark[1] or mark[2], text)


TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters |= {"anchor": anchor, "marked_up": marked_up}


def figures_of(cells: Sequence[tuple[bytes, str]]) -> list[tuple[str, list[str]]]:
    """Small images as addresses, their captions in lines."""
    return [(embedded(content), caption.split("\n")) for content, caption in cells]


def table_cells(
    frame: pd.DataFrame, marked: list[bool] | None = None
) -> tuple[list[tuple[str, str | None]], list[tuple[list[tuple[str, str | None]], bool]]]:
    """Columns and rows of a table as texts, each with its kind: `number` stands to the right, `long` may be broken."""
    numeric = {name: pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool for name in frame}
    texts = [
        number_texts(frame[name], str(name)) if numeric[name] else frame[name].astype(str).tolist() for name in frame
    ]
    columns = [(str(name), "number" if numeric[name] else None) for name in frame]
    rows = []
    for number, row in enumerate(zip(*texts, strict=True)):
        kinds = [
            "number" if numeric[name] else "long" if len(text) > 44 else None
            for name, text in zip(frame, row, strict=True)
        ]
        rows.append((list(zip(row, kinds, strict=True)), marked is not None and marked[number]))
    return columns, rows


def number_texts(values: pd.Series, name: str = "") -> list[str]:
    """A column of numbers as people write it.

    Whole numbers with separators; shares (the name begins with `share`, or ends with `: pixels`) in percent; `p` with
    three decimals; other columns with the decimals that give their largest value four digits. Where the largest is more
    than 100 times the smallest, each number has its own.
    """
    numbers = values.to_numpy(np.float64)
    finite = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    if name.startswith("share") or name.endswith(": pixels"):
        decimals = 1 if not len(finite) or finite.min() >= 0.001 else 3
        return [_text(100 * value, decimals, " %") for value in numbers]
    if name == "p":
        return [_text(value, 3) if not value < 0.001 else "< 0.001" for value in numbers]
    whole = not len(finite) or bool(np.all(finite == np.round(finite)))
    mixed = not whole and finite.max() > 100 * finite.min()
    if mixed:
        return [
            _text(value, 0 if float(value).is_integer() else _decimals(abs(value) if np.isfinite(value) else 1))
            for value in numbers.tolist()
        ]
    return [_text(value, 0 if whole else _decimals(finite.max())) for value in numbers]


def _decimals(largest: float) -> int:
    return int(np.clip(3 - np.floor(np.log10(max(largest, 1e-9))), 0, 6))


def _text(value: float, decimals: int, unit: str = "") -> str:
    if np.isnan(value):
        return "–"
    return ("∞" if value > 0 else "−∞") if np.isinf(value) else f"{value:,.{decimals}f}{unit}"
