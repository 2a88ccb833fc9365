"""CSV files as tables of text, with errors that name file and line."""

import csv
import logging
import mmap
import multiprocessing
import os
import re
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from files.texts import read_text

if TYPE_CHECKING:
    import pandas as pd

LARGE = 8 << 20  # bytes; below, every engine takes less than half a second
LONGEST = 2**31 - 1  # characters of a field: run lengths of a scene are megabytes
CsvEngine = Literal["auto", "pandas", "polars", "cudf"]
REGULAR = re.compile(rb'(?:[^"]*+(?<![^,\n])"(?:[^"]++|"")*+"(?=[,\r\n]|\Z))*+[^"]*+')  # a CSV and its quotes
LOG = logging.getLogger(__name__)


def read_csv(path: Path | str, engine: CsvEngine | None = None) -> "pd.DataFrame":
    """Read a CSV as text: `001` stays `001`, `NA` is an id; header and fields are stripped.

    All engines give equal frames. Files that engines might read differently (blank lines, stray quotes) are read by
    pandas. Row 2 of an error message is the first below the header.

    Args:
        path: path of the file, UTF-8 with or without a byte-order mark, comma-separated.
        engine: `pandas`; `polars`, up to twice as fast (`pip install -e ".[polars]"`); `cudf` on an NVIDIA GPU; `auto`
            uses polars, if installed, for files from 8 MB on (never cudf, which would open the GPU in every process
            that reads a table) (default: the environment variable `CSV_ENGINE`, else `auto`).

    Raises:
        FileNotFoundError: no such file.
        ImportError: the requested engine is not installed; says how to install it.
        ValueError: an unknown engine, a file that is empty, not UTF-8 or not comma-separated, a row with more or fewer
            fields than the header, an unclosed quote, or a repeated column name; names the line.

    Warns:
        UserWarning: values that differ only in surrounding spaces, and become equal.
    """
    import pandas as pd  # takes half a second, not needed without a table

    if not Path(path).is_file():
        raise FileNotFoundError(f"table {path} does not exist")
    chosen: str = engine or os.environ.get("CSV_ENGINE") or "auto"
    if chosen not in get_args(CsvEngine):
        raise ValueError(
            f"CSV engine {chosen!r} (CSV_ENGINE) is unknown, expected one of {', '.join(get_args(CsvEngine))}"
        )
    names = _names(path, check=False)
    if chosen == "auto":
        chosen = _fastest(path)
    frame = _read_polars(path, len(names)) if chosen == "polars" else None
    if frame is None:
        _names(path)
        if chosen == "cudf":
            frame = _read_cudf(path, len(names))
        else:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    return _stripped(frame.set_axis(names, axis=1), path)


def numbers_of(texts: "pd.Series", where: str, empty: bool = False) -> "pd.Series":
    """Convert a column of text to finite float64.

    Args:
        texts: column of text, indexed by rows from 0.
        where: file and column, for the error message.
        empty: whether empty fields are allowed; they become NaN.

    Raises:
        ValueError: a field is not a number; names the row, with a hint on decimal commas.
    """
    import pandas as pd

    numbers = pd.to_numeric(texts, errors="coerce").astype(float)
    wrong = ~np.isfinite(numbers) & ~((texts == "") & empty)
    if wrong.any():
        place = int(np.asarray(wrong).argmax())
        row, text = int(texts.index[place]), texts.iloc[place]
        raise ValueError(f"{where}, row {row + 2}: {text!r} is not a number{comma_hint(text)}")
    return numbers


def comma_hint(text: str) -> str:
    """Hint for an error message about a number with a decimal comma; empty for other texts."""
    return "; numbers have a point, not a comma" if re.fullmatch(r"\s*[+-]?\d*,\d+\s*", text) else ""


# --- the grammar -----------------------------------------------------------------------------------------------------


def _names(path: Path | str, check: bool = True) -> list[str]:
    """Column names of a file, after checking that all rows have equally many fields.

    Engines accept faulty files silently: they fill short rows, number repeated names, and read from an unclosed quote
    to the end of the file.

    Args:
        path: path of the file.
        check: whether to check the rows too.
    """
    if _holds_zero(path):
        read_text(path)  # raises with the line
    try:
        with open(path, encoding="utf-8-sig") as handle:
            rows = _rows(handle)
            _, header = next(rows, (0, []))
            names = _header(header, path)
            for line, fields in rows if check else ():
                if len(fields) != len(names):
                    raise _uneven(path, line, fields, names)
    except UnicodeDecodeError:
        read_text(path)
        raise
    except csv.Error as error:
        raise _broken(path, error) from None
    return names


def _holds_zero(path: Path | str) -> bool:
    if Path(path).stat().st_size == 0:
        return False
    with open(path, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"\0") >= 0


def _rows(handle: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """First line and fields of each row; blank lines are skipped."""
    csv.field_size_limit(LONGEST)
    reader, line = csv.reader(handle, strict=True), 1
    for fields in reader:
        if fields and not (len(fields) == 1 and fields[0].isspace()):
            yield line, fields
        line = reader.line_num + 1


def _header(fields: list[str], path: Path | str) -> list[str]:
    """Names of the columns; unnamed ones are numbered as in pandas."""
    if not fields:
        raise ValueError(f"{path} is empty, expected a header and rows")
    other = re.search(r"[;\t]", fields[0])
    if len(fields) == 1 and other:
        what = "tabs" if other[0] == "\t" else "semicolons"
        raise ValueError(
            f"{path}, line 1: fields are separated by {what}, expected commas; save it again with commas (and decimal "
            "points)"
        )
    names = [name.strip() or f"Unnamed: {number}" for number, name in enumerate(fields)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path}, line 1: column {twice!r} is repeated; rename one of them")
    return names


def _uneven(path: Path | str, line: int, fields: list[str], names: list[str]) -> ValueError:
    count = f"{len(fields)} field{'s' * (len(fields) != 1)}, the header has {len(names)}: {names[:12]}"
    more = "quote fields that contain commas, and use decimal points"
    fewer = "is the row cut off, or a quote not closed?"
    return ValueError(f"{path}, line {line}: {count}; {more if len(fields) > len(names) else fewer}")


def _broken(path: Path | str, error: csv.Error) -> ValueError:
    """Error for faulty quotes, with the first line of the faulty row."""
    with open(path, encoding="utf-8-sig") as handle:
        line, rows = 1, csv.reader(handle, strict=True)
        try:
            for _ in rows:
                line = rows.line_num + 1
        except csv.Error:
            pass
    if "unexpected end" in str(error):
        return ValueError(f"{path}, line {line}: a quote opens here and is never closed")
    return ValueError(f"{path}, line {line}: text after a closing quote; double quotes inside a field")


def _stripped(frame: "pd.DataFrame", path: Path | str) -> "pd.DataFrame":
    """Strip the values of a frame: `p1` and `p1 ` are the same patient."""
    import pandas as pd

    for name in frame:
        given = frame[name].tolist()
        values = [value.strip() for value in given]
        if values == given:
            continue
        frame[name] = pd.array(values, dtype="str")
        spellings: dict[str, str] = {}
        for value, text in zip(values, given, strict=True):
            if spellings.setdefault(value, text) != text and value:
                warnings.warn(
                    f"{path}: {spellings[value]!r} and {text!r} in column {name!r} are treated as equal: surrounding "
                    "spaces are ignored",
                    stacklevel=3,
                )
                break
    return frame


# --- engines ---------------------------------------------------------------------------------------------------------


def _fastest(path: Path | str) -> str:
    """Fastest engine for a file, logged for large ones."""
    # A forked process must not use polars threads that its parent has started.
    if Path(path).stat().st_size < LARGE or multiprocessing.parent_process() is not None:
        return "pandas"
    if find_spec("polars") is None:
        LOG.info('%s: read by pandas; polars would be faster: pip install -e ".[polars]"', path)
        return "pandas"
    LOG.info("%s: read by polars", path)
    return "polars"


def _read_polars(path: Path | str, columns: int) -> "pd.DataFrame | None":
    """Read a file as pandas would, or return None if that is uncertain."""
    import pandas as pd

    try:
        import polars
    except ImportError:
        raise ImportError('CSV engine polars is not installed: pip install -e ".[polars]"') from None

    if not _is_regular(path):
        LOG.info("%s: read by pandas, as polars treats its quotes or blank lines differently", path)
        return None
    try:
        frame = polars.read_csv(path, infer_schema=False, glob=False)
        if frame[:, -1].null_count():  # empty fields or short rows; polars reports all other faults itself
            _names(path)
        frame = frame.fill_null("")
    except (polars.exceptions.PolarsError, ValueError) as error:
        LOG.info("%s: read by pandas, polars reports: %s", path, str(error).partition("\n")[0])
        return None
    blank = polars.all_horizontal(polars.all().str.strip_chars() == "")  # a blank line, which pandas skips
    unclear = polars.any_horizontal(polars.all().str.contains("\r", literal=True))
    if frame.width != columns or frame.select((blank | unclear).any()).item():
        LOG.info("%s: read by pandas, as polars treats its line ends differently", path)
        return None
    return pd.DataFrame({n: pd.array(frame[:, n].to_numpy(), dtype="str") for n in range(columns)})


def _is_regular(path: Path | str) -> bool:
    """Whether a CSV starts with its header, ends with a complete row, and quotes entire fields (RFC 4180)."""
    with open(path, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if not content.readline().strip() or content[-1:] == b",":
            return False
        return content.find(b'"', 0) < 0 or REGULAR.fullmatch(content) is not None


def _read_cudf(path: Path | str, columns: int) -> "pd.DataFrame":
    try:
        import cudf
    except ImportError:
        raise ImportError(
            "CSV engine cudf requires an NVIDIA GPU and cudf: pip install cudf-cu12 (or cudf-cu13, by the CUDA version "
            "nvidia-smi shows); CSV_ENGINE=auto does not need it"
        ) from None
    frame = cudf.read_csv(str(path), dtype=str, na_filter=False).to_pandas().astype("str")
    if columns != frame.shape[1]:
        raise ValueError(f"{path}: cudf finds {frame.shape[1]} columns, the header has {columns}; use another engine")
    return frame
