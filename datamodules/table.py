"""The table: one row per image."""

import logging
import mmap
import multiprocessing
import os
import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, get_args

import numpy as np
import pandas as pd

from preprocessing.files import confined

ID = "{image_id}"
LARGE = 8 << 20  # bytes; below it every engine takes less than half a second
CsvEngine = Literal["auto", "pandas", "polars", "cudf"]
REGULAR = re.compile(rb'(?:[^"]*+(?<![^,\n])"(?:[^"]++|"")*+"(?=[,\r\n]|\Z))*+[^"]*+')  # a CSV and its quotes
LOG = logging.getLogger(__name__)
PARTS = re.compile(r"(\{[a-z_]+\}|\*\*/|\*|\?)")


def find_images(root: Path | str, pattern: str, source: str = "train") -> pd.DataFrame:
    """Table of the files that match a glob pattern under the root.

    The id is the file's name without its ending, or what stands for `{image_id}` where the pattern has it
    (`img/tile_{image_id}.tif`).

    Args:
        root: folder of the competition's files.
        pattern: such as `stage1_train/*/images/*.png`.
        source: where the rows come from; only `train` may enter validation.

    Returns:
        `image_id, path, weight, source, folder` (its name), sorted by id.

    Raises:
        FileNotFoundError: nothing matches.
        ValueError: two files with one id, or a pattern that leads out of the root.
    """
    confined(root, pattern)
    files = sorted(path for path in Path(root).glob(pattern.replace(ID, "*")) if path.is_file())
    matches = (as_expression(pattern).fullmatch(path.relative_to(root).as_posix()) for path in files)
    # A second {image_id} must repeat the first, which a glob cannot say.
    found = [
        (match.group("id") if ID in pattern else path.stem, str(path))
        for path, match in zip(files, matches, strict=True)
        if match or ID not in pattern
    ]
    if not found:
        what = "is not there" if not Path(root).is_dir() else f"has no file that matches {pattern!r}"
        raise FileNotFoundError(f"no images: {Path(root)} {what}; check data.root and data.images")
    return _as_table(found, source)


def _as_table(found: list[tuple[str, str]], source: str) -> pd.DataFrame:
    table = pd.DataFrame(found, columns=["image_id", "path"])
    table["weight"], table["source"] = 1.0, source
    table["folder"] = [Path(path).parent.name for path in table["path"]]
    twice = table[table["image_id"].duplicated(keep=False)]
    if len(twice):
        one, other = twice[twice["image_id"] == twice["image_id"].iloc[0]]["path"].tolist()[:2]
        raise ValueError(f"two files have the id {twice['image_id'].iloc[0]!r}: {one} and {other}")
    return table.sort_values("image_id", ignore_index=True)


def pattern_in(folder: Path | str, pattern: str) -> str:
    """The last part of a pattern where files of a folder match it, else `*`."""
    name = Path(pattern).name
    return name if any(Path(folder).glob(re.sub(r"\{\w+\}", "*", name))) else "*"


def find_channels(root: Path | str, pattern: str, key: str, names: list[str], source: str = "train") -> pd.DataFrame:
    """Table of images that lie in one file per channel.

    Args:
        root: folder of the competition's files.
        pattern: glob with `key` where the channel's name stands: `train/*_{channel}.png`.
        key: `{channel}` or `{band}`.
        names: what may stand there; every image must have all of them.
        source: where the rows come from.

    Returns:
        `image_id, path, weight, source`; the path keeps the key. The id is what stands for `{image_id}`, else the
        file's name without its ending and the channel.

    Raises:
        FileNotFoundError: nothing matches, or images lack a channel; names the first.
    """
    confined(root, pattern)
    found: dict[tuple[str, str], set[str]] = {}
    for name in names:
        expression = as_expression(pattern, key, name)
        for path in sorted(Path(root).glob(pattern.replace(key, name).replace(ID, "*"))):
            match = expression.fullmatch(path.relative_to(root).as_posix())
            if match is None:
                continue
            parts = zip(PARTS.split(pattern), match.groups(), strict=True)
            template = "".join(key if part == key else text for part, text in parts)
            stem = Path(template).stem.replace(key, "").strip("_-. ")
            image_id = match.groupdict().get("id", stem)
            found.setdefault((image_id, str(Path(root) / template)), set()).add(name)
    if not found:
        raise FileNotFoundError(
            f"no images: {Path(root)} has no file that matches {pattern!r} with {key} one of {names}"
        )
    lacking = [
        (image_id, path, sorted(set(names) - has)) for (image_id, path), has in found.items() if len(has) < len(names)
    ]
    if lacking:
        image_id, path, missing = lacking[0]
        files = ", ".join(path.replace(key, name) for name in missing)
        raise FileNotFoundError(f"{len(lacking)} images lack a channel; the first is {image_id!r}: missing {files}")
    return _as_table(list(found), source)


def as_expression(pattern: str, key: str | None = None, name: str = "") -> re.Pattern:
    """A glob as a regular expression with a group for each of its `PARTS`."""
    tokens = {ID: "[^/]+?", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"} | ({key: re.escape(name)} if key else {})
    text = "".join(f"({tokens.get(part, re.escape(part))})" for part in PARTS.split(pattern))
    first, repeat = f"({tokens[ID]})", "((?P=id))"
    head, mark, tail = text.partition(first)
    return re.compile(head + mark.replace("(", "(?P<id>", 1) + tail.replace(first, repeat))


def ids_of(path: Path | str, id_column: str, known: set[str]) -> list[str]:
    """The image ids of a CSV column; an ending such as `.jpg` is dropped where the id without it is known.

    Raises:
        ValueError: no such column.
    """
    facts = read_csv(path)
    if id_column not in facts:
        raise ValueError(f"{path} has no column {id_column!r}, only {list(facts.columns)}; set the id_column")
    return without_endings(facts[id_column], known).tolist()


def without_endings(ids: pd.Series, known: set[str]) -> pd.Series:
    """Ids without the file's ending, unless they are known with it."""
    return ids.where(ids.isin(known), ids.str.replace(r"\.[A-Za-z0-9]{2,5}$", "", regex=True))


def join_columns(table: pd.DataFrame, path: Path | str, id_column: str) -> pd.DataFrame:
    """The table with the columns of a CSV that say something about an image: patient, site, age, class.

    A CSV with several rows per image (one per object) gives the columns that agree within each image. Columns that
    the table has already stay as they are.

    Args:
        table: `image_id, …`.
        path: the CSV.
        id_column: its column of image ids; an ending such as `.jpg` may be there.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such column, or images without a row.
    """
    facts = read_csv(path)
    if id_column not in facts:
        raise ValueError(f"{path} has no column {id_column!r}, only {list(facts.columns)}; set data.id_column")
    known = set(table["image_id"])
    ids = facts[id_column]
    facts["image_id"] = without_endings(ids, known)
    missing = sorted(known - set(facts["image_id"]))
    if missing:
        raise ValueError(f"{path} has no row for {len(missing)} of {len(known)} images; the first is {missing[0]!r}")
    new = [column for column in facts if column not in (*table.columns, id_column)]
    counts = facts.groupby("image_id")[new].nunique()
    agreeing = [column for column in new if (counts[column] <= 1).all()]
    return table.merge(facts.drop_duplicates("image_id")[["image_id", *agreeing]], on="image_id", how="left")


def numbers(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Columns of the table as `(N, F)` float32, for side inputs of a network.

    Raises:
        ValueError: a column that is not there, or a value that is no number; names the image.
    """
    if not columns:
        return np.zeros((len(table), 0), np.float32)
    lacking = [column for column in columns if column not in table]
    if lacking:
        raise ValueError(f"data.features names {lacking}, the table has {list(table.columns)}; set data.metadata")
    values = table[columns].apply(pd.to_numeric, errors="coerce")
    wrong = values.isna().to_numpy().nonzero()
    if len(wrong[0]):
        row, column = table.iloc[wrong[0][0]], columns[wrong[1][0]]
        raise ValueError(f"data.features: {column!r} of image {row['image_id']!r} is {row[column]!r}, no number")
    return values.to_numpy(np.float32)


def rows_of(table: pd.DataFrame) -> list[SimpleNamespace]:
    """The rows as plain objects with the columns as attributes, which every start method can hand to a worker."""
    return [SimpleNamespace(**record) for record in table.to_dict("records")]


def read_csv(path: Path | str, engine: CsvEngine | None = None) -> pd.DataFrame:
    """A CSV as text: `001` stays `001`, `NA` is an id, header names without stray spaces or a byte-order mark.

    All engines give equal frames. Where a file leaves room for differences (blank lines, stray quotes, rows of unequal
    length) pandas reads it after all.

    Args:
        path: the file, UTF-8.
        engine: `pandas`; `polars`, up to twice as fast (`pip install -e ".[polars]"`); `cudf` on an NVIDIA GPU; `auto`
            takes polars for files from 8 MB on where it is installed. (Never cudf: it would open the GPU in every
            process that reads a table.) The environment variable `CSV_ENGINE` unless given, else `auto`.

    Raises:
        FileNotFoundError: no such file.
        ImportError: an engine that is asked for by name and not installed; says how to install it.
        ValueError: an unknown engine, or a row with more fields than the header.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no table {path}")
    engine = engine or os.environ.get("CSV_ENGINE") or "auto"
    if engine not in get_args(CsvEngine):
        raise ValueError(f"CSV engine {engine!r} (CSV_ENGINE) is none of {', '.join(get_args(CsvEngine))}")
    if engine == "auto":
        engine = _fastest(path)
    frame = None
    if engine == "polars":
        frame = _read_polars(path)
    elif engine == "cudf":
        frame = _read_cudf(path)
    if frame is None:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        if not isinstance(frame.index, pd.RangeIndex):  # pandas would take the first column for an index, silently
            raise ValueError(f"{path}: rows have more fields than the header {list(frame.columns)}; quote commas in it")
    return frame.rename(columns=str.strip)


def _fastest(path: Path | str) -> str:
    """The engine for a file, said in the log where it matters."""
    # A forked process must not use the threads of a polars that its parent has used.
    if Path(path).stat().st_size < LARGE or multiprocessing.parent_process() is not None:
        return "pandas"
    if find_spec("polars") is None:
        LOG.info('%s: read by pandas; polars would be faster: pip install -e ".[polars]"', path)
        return "pandas"
    LOG.info("%s: read by polars", path)
    return "polars"


def _read_polars(path: Path | str) -> pd.DataFrame | None:
    """The file as pandas would read it, or None where that is not certain."""
    try:
        import polars
    except ImportError:
        raise ImportError('the CSV engine polars needs polars: pip install -e ".[polars]"') from None

    if not _is_regular(path):
        LOG.info("%s: read by pandas, for quotes or blank lines that polars takes otherwise", path)
        return None
    try:
        frame = polars.read_csv(path, infer_schema=False, glob=False).fill_null("")
        names = list(pd.read_csv(path, dtype=str, nrows=0, encoding="utf-8-sig").columns)
    except (polars.exceptions.PolarsError, ValueError) as error:
        LOG.info("%s: read by pandas, polars says: %s", path, str(error).partition("\n")[0])
        return None
    blank = polars.all_horizontal(polars.all().str.strip_chars() == "")  # a blank line, which pandas leaves out
    unclear = polars.any_horizontal(polars.all().str.contains("\r", literal=True))
    if frame.width != len(names) or frame.select((blank | unclear).any()).item():
        LOG.info("%s: read by pandas, for line ends that polars takes otherwise", path)
        return None
    columns = {name: pd.array(frame[:, index].to_numpy(), dtype="str") for index, name in enumerate(names)}
    return pd.DataFrame(columns, columns=names)


def _is_regular(path: Path | str) -> bool:
    """Whether a CSV begins with its header, ends with a whole row, and quotes fields from end to end (RFC 4180)."""
    if Path(path).stat().st_size == 0:
        return False
    with open(path, "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if not content.readline().strip() or content[-1:] == b",":
            return False
        return content.find(b'"', 0) < 0 or REGULAR.fullmatch(content) is not None


def _read_cudf(path: Path | str) -> pd.DataFrame:
    try:
        import cudf
    except ImportError:
        raise ImportError(
            "the CSV engine cudf needs an NVIDIA GPU and cudf: pip install cudf-cu12 (or cudf-cu13, by the CUDA "
            "version nvidia-smi shows); CSV_ENGINE=auto does without"
        ) from None
    frame = cudf.read_csv(str(path), dtype=str, na_filter=False).to_pandas().astype("str")
    names = list(pd.read_csv(path, dtype=str, nrows=0, encoding="utf-8-sig").columns)
    if len(names) != frame.shape[1]:
        raise ValueError(
            f"{path}: cudf finds {frame.shape[1]} columns, the header has {len(names)}; take another engine"
        )
    return frame.set_axis(names, axis=1)
