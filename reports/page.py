"""One HTML page without outside resources: sections, tables, charts, pictures, findings."""

import re
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from files.writing import write_bytes, write_text
from reports.pictures import embedded

STYLE = """
:root{color-scheme:light dark;--ink:#23262b;--soft:#656c76;--line:#e4e6ea;--page:#fff;--tint:#f6f7f8;--link:#00598c;
--problem:#b3261e;--look:#8a5a00;--note:#5f6670}
@media(prefers-color-scheme:dark){:root{--ink:#d9dce1;--soft:#969ca6;--line:#2c3138;--page:#16181c;--tint:#1d2025;
--link:#7cc4f0;--problem:#ff8a80;--look:#f0b84d;--note:#a3a9b3}}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Liberation Sans",sans-serif;-webkit-text-size-adjust:100%}
.frame{max-width:1240px;margin:0 auto;padding:40px 28px 80px;display:grid;grid-template-columns:190px minmax(0,1fr);
gap:48px}
nav{position:sticky;top:32px;align-self:start;font-size:14px}
nav a{display:block;padding:3px 0;color:var(--soft);text-decoration:none}
nav a:hover{color:var(--ink)}
h1{font-size:27px;line-height:1.2;margin:0 0 6px;font-weight:640;letter-spacing:-.01em}
h2{font-size:20px;margin:52px 0 8px;font-weight:640;letter-spacing:-.005em;scroll-margin-top:20px}
h3{font-size:15px;margin:28px 0 6px;font-weight:640}
p{margin:8px 0;max-width:72ch}
a{color:var(--link)}
code{font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;background:var(--tint);
padding:1px 4px;border-radius:4px;overflow-wrap:anywhere}
.lead,.remark,figcaption{color:var(--soft)}
.remark{font-size:14px}
ul.findings{list-style:none;margin:16px 0 0;padding:0;border-top:1px solid var(--line)}
ul.findings li{display:grid;grid-template-columns:84px minmax(0,1fr);gap:12px;padding:11px 0;
border-bottom:1px solid var(--line)}
ul.findings .level{font-size:13px;font-weight:640;padding-top:2px}
.problem .level{color:var(--problem)}.look .level{color:var(--look)}.note .level{color:var(--note)}
.scroll{overflow-x:auto;margin:14px 0}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:5px 18px 5px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
th{color:var(--soft);font-weight:500}
th.number,td.number{text-align:right}
td.long{white-space:normal;overflow-wrap:anywhere;min-width:220px;max-width:560px}
tr.marked td{font-weight:640}
img{display:block;max-width:100%;height:auto}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:22px 28px;margin:16px 0}
figure{margin:0}
figcaption{font-size:13px;line-height:1.4;margin-top:5px;overflow-wrap:anywhere}
.cells{display:grid;grid-template-columns:repeat(auto-fill,minmax(160px,1fr));gap:18px 14px;
align-items:start;margin:16px 0}
.cells img{width:100%;border-radius:3px}
.group{display:flex;flex-wrap:wrap;gap:14px;padding:14px 0;border-bottom:1px solid var(--line)}
.group figure{width:150px}.group .about{width:120px;font-size:13px;color:var(--soft)}
.group .about b{display:block;color:var(--ink);font-weight:640}
.group img{border-radius:3px}
@media(max-width:860px){.frame{display:block;padding:24px 18px 60px}nav{position:static;margin:0 0 30px;columns:2}}
@media print{nav{display:none}.frame{display:block}figure,.group,tr{break-inside:avoid}}
"""

LEVELS = {"problem": "Problem", "look": "Look at", "note": "Note"}


@dataclass
class Finding:
    """Something a person should know before the first training.

    Args:
        level: `problem` will spoil a training or its score, `look` may, `note` is good to know.
        text: HTML, a sentence or two with what to do.
        section: title of the section that shows it.
    """

    level: Literal["problem", "look", "note"]
    text: str
    section: str | None = None


@dataclass
class Report:
    """A page that grows section by section.

    Args:
        title: of the page.
        lead: HTML below the title: what was looked at.
        folder: pictures are written here as well; None embeds them only.
    """

    title: str
    lead: str
    folder: Path | None = None
    findings: list[Finding] = field(default_factory=list)
    sections: list[tuple[str, list[str]]] = field(default_factory=list)

    def section(self, title: str) -> None:
        """Begin a section."""
        self.sections.append((title, []))

    def add(self, html: str) -> None:
        """Add HTML to the section."""
        self.sections[-1][1].append(html)

    def text(self, html: str, quiet: bool = False) -> None:
        """Add a paragraph."""
        self.add(f'<p class="remark">{html}</p>' if quiet else f"<p>{html}</p>")

    def heading(self, text: str) -> None:
        """Add a smaller heading."""
        self.add(f"<h3>{escape(text)}</h3>")

    def table(self, frame: pd.DataFrame, marked: list[bool] | None = None, most: int = 40) -> None:
        """Add a table; numbers stand to the right, shares (columns that begin with `share`) as percent."""
        self.add(table_html(frame.head(most), marked))
        if len(frame) > most:
            self.text(f"The first {most} of {len(frame):,} rows.", quiet=True)

    def charts(self, charts: list[tuple[str, tuple[bytes, bytes], str]]) -> None:
        """Add charts side by side: file name without ending, the light and the dark PNG, what one sees."""
        figures = []
        for name, (light, dark), caption in charts:
            self.write(f"{anchor(name)}.png", light)
            figures.append(
                f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{embedded(dark)}">'
                f'<img src="{embedded(light)}" alt="{escape(caption)}"></picture>'
                f"<figcaption>{escape(caption)}</figcaption></figure>"
            )
        if figures:
            self.add(f'<div class="charts">{"".join(figures)}</div>')

    def cells(self, cells: list[tuple[bytes, str]]) -> None:
        """Add a grid of small pictures: PNG and caption."""
        self.add(f'<div class="cells">{"".join(figure_html(content, caption) for content, caption in cells)}</div>')

    def write(self, name: str, content: bytes) -> None:
        """Write a file beside the page, at once."""
        if self.folder is not None:
            write_bytes(self.folder / name, content)

    def html(self) -> str:
        """The whole page."""
        links = [("What to look at first", "first"), *((title, anchor(title)) for title, _ in self.sections)]
        navigation = "".join(f'<a href="#{target}">{escape(title)}</a>' for title, target in links)
        body = "".join(
            f'<h2 id="{anchor(title)}">{escape(title)}</h2>{"".join(parts)}' for title, parts in self.sections
        )
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style></head><body>"
            f'<div class="frame"><nav aria-label="Contents">{navigation}</nav><main>'
            f'<h1>{escape(self.title)}</h1><p class="lead">{self.lead}</p>'
            f'<h2 id="first">What to look at first</h2>{self._findings()}{body}</main></div></body></html>\n'
        )

    def _findings(self) -> str:
        order = sorted(self.findings, key=lambda finding: list(LEVELS).index(finding.level))
        if not order:
            return "<p>Nothing stands out.</p>"
        items = []
        for finding in order:
            link = f' <a href="#{anchor(finding.section)}">{escape(finding.section)}</a>' if finding.section else ""
            items.append(
                f'<li class="{finding.level}"><span class="level">{LEVELS[finding.level]}</span>'
                f"<span>{finding.text}{link}</span></li>"
            )
        return f'<ul class="findings">{"".join(items)}</ul>'

    def save(self, path: Path) -> None:
        """Write the page, at once."""
        write_text(path, self.html())


def anchor(title: str) -> str:
    """Title as an address within the page."""
    return re.sub(r"[^a-z0-9_]+", "-", title.lower()).strip("-")


def figure_html(content: bytes, caption: str) -> str:
    """A small picture with its caption."""
    text = escape(caption)
    alternative, lines = text.replace("\n", ", "), text.replace("\n", "<br>")
    return f'<figure><img src="{embedded(content)}" alt="{alternative}"><figcaption>{lines}</figcaption></figure>'


def table_html(frame: pd.DataFrame, marked: list[bool] | None = None) -> str:
    """A table; columns of numbers to the right, with as many decimals in every row."""
    numeric = {name: pd.api.types.is_numeric_dtype(frame[name]) and frame[name].dtype != bool for name in frame}
    texts = [
        number_texts(frame[name], str(name)) if numeric[name] else frame[name].astype(str).tolist() for name in frame
    ]
    head = "".join(f"<th{_class('number' if numeric[name] else '')}>{escape(str(name))}</th>" for name in frame)
    rows = []
    for number, row in enumerate(zip(*texts, strict=True)):
        kinds = [
            "number" if numeric[name] else "long" if len(text) > 44 else ""
            for name, text in zip(frame, row, strict=True)
        ]
        cells = "".join(f"<td{_class(kind)}>{escape(text)}</td>" for kind, text in zip(kinds, row, strict=True))
        rows.append(f"<tr{_class('marked' if marked is not None and marked[number] else '')}>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


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
