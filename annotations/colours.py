"""Lists of class colours: the `class_dict.csv` and `label_colors.txt` of CamVid and others."""

import re
from pathlib import Path

from files.tables import read_csv
from files.texts import read_text
from masks.colours import Colour

SIDES = ("r", "g", "b")
LINE = re.compile(r"(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*)")


def read_colours(path: Path) -> dict[str, list[Colour]]:
    """Read the colours of each class, in the order of the file.

    Args:
        path: CSV with the columns `name`, `r`, `g` and `b`, in any case and order, or a text with a line `r g b name`
            per colour. Several colours of one name are one class.

    Raises:
        FileNotFoundError: no such file.
        ValueError: if columns are missing, or a line is not a colour; names it.
    """
    lines = _from_csv(path) if path.suffix.lower() == ".csv" else _from_text(path)
    found: dict[str, list[Colour]] = {}
    for number, (name, texts) in lines.items():
        if not name or not all(text.isascii() and text.isdigit() and int(text) < 256 for text in texts):
            raise ValueError(
                f"{path}, row {number}: {name!r} {', '.join(texts)}, expected a name and r, g, b of 0 to 255"
            )
        found.setdefault(name, []).append((int(texts[0]), int(texts[1]), int(texts[2])))
    if not found:
        raise ValueError(f"{path} has no colours")
    return found


def _from_csv(path: Path) -> dict[int, tuple[str, list[str]]]:
    table = read_csv(path)
    columns = {str(column).strip().lower(): column for column in table}
    lacking = [column for column in ("name", *SIDES) if column not in columns]
    if lacking:
        raise ValueError(f"{path} has no column {lacking[0]!r}, only {list(table.columns)}")
    fields = table[[columns[column] for column in ("name", *SIDES)]].to_numpy().tolist()
    return {number: (name, texts) for number, (name, *texts) in enumerate(fields, 2)}


def _from_text(path: Path) -> dict[int, tuple[str, list[str]]]:
    found = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"{path}, row {number}: {line.strip()[:60]!r}, expected r g b name")
        found[number] = match[4].strip(), [match[1], match[2], match[3]]
    return found
