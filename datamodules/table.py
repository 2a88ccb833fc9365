"""The table: one row per image."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from preprocessing.files import confined


def find_images(root: Path | str, pattern: str, source: str = "train") -> pd.DataFrame:
    """Table of the files that match a glob pattern under the root; the id is the file's name without its ending.

    Args:
        root: folder of the competition's files.
        pattern: such as `stage1_train/*/images/*.png`.
        source: where the rows come from; only `train` may enter validation.

    Returns:
        `image_id, path, weight, source`, sorted by id.

    Raises:
        FileNotFoundError: nothing matches.
        ValueError: two files with one id, or a pattern that leads out of the root.
    """
    confined(root, pattern)
    files = sorted(path for path in Path(root).glob(pattern) if path.is_file())
    if not files:
        what = "is not there" if not Path(root).is_dir() else f"has no file that matches {pattern!r}"
        raise FileNotFoundError(f"no images: {Path(root)} {what}; check data.root and data.images")
    table = pd.DataFrame({"image_id": [path.stem for path in files], "path": [str(path) for path in files]})
    table["weight"], table["source"] = 1.0, source
    twice = table[table["image_id"].duplicated(keep=False)]
    if len(twice):
        one, other = twice[twice["image_id"] == twice["image_id"].iloc[0]]["path"].tolist()[:2]
        raise ValueError(f"two files have the id {twice['image_id'].iloc[0]!r}: {one} and {other}")
    return table.sort_values("image_id", ignore_index=True)


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
    facts["image_id"] = ids.where(ids.isin(known), ids.str.replace(r"\.[A-Za-z0-9]{2,5}$", "", regex=True))
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


def read_csv(path: Path | str) -> pd.DataFrame:
    """A CSV as text: `001` stays `001`, `NA` is an id, header names without stray spaces or a byte-order mark."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no table {path}")
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig").rename(columns=str.strip)
