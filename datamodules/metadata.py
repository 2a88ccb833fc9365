"""What a list, an id or a CSV says about the images of a table."""

from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.matching import matched
from datamodules.table import join_columns
from files.paths import confined
from files.tables import comma_hint, read_csv


def listed(table: pd.DataFrame, root: str, csv: str | None, id_column: str, key: str) -> pd.DataFrame:
    """The rows that a list names; all without a list.

    Args:
        table: `image_id, …`.
        root: folder of the competition's files.
        csv: the list, under the root.
        id_column: its column of image ids.
        key: of the config that names the list.

    Raises:
        FileNotFoundError: no list.
        ValueError: no such column, or images in the list without a file; names the first.
    """
    if csv is None:
        return table
    path = confined(root, csv)
    rows = read_csv(path)
    if id_column not in rows:
        raise ValueError(f"{key}: {path} has no column {id_column!r}, only {list(rows.columns)}; set data.id_column")
    named = matched(rows[id_column], table, root, f"{key}: {path}, column {id_column}", others="refuse")
    return table[table["image_id"].isin(named)].reset_index(drop=True)


def described(
    table: pd.DataFrame, root: str, files: str | list[str] | None, id_column: str, id_pattern: str | None
) -> pd.DataFrame:
    """The table with the columns of CSVs, and those that an expression takes from the ids.

    Args:
        table: `image_id, …`.
        root: folder of the competition's files.
        files: CSVs under the root.
        id_column: their column of image ids.
        id_pattern: regular expression with named groups that fits every id.

    Raises:
        ValueError: an id that the expression does not fit, or a CSV that does not tell of every image.
    """
    if id_pattern is not None:
        parts = table["image_id"].str.extract(f"^{id_pattern}$")
        unlike = table["image_id"][parts.isna().all(axis=1)]
        if len(unlike):
            raise ValueError(f"data.id_pattern: {id_pattern!r} does not fit the id {unlike.iloc[0]!r}")
        table = table.assign(**{str(name): parts[name] for name in parts})
    for csv in [files] if isinstance(files, str) else files or []:
        table = join_columns(table, confined(root, csv), id_column, root)
    return table


def loss_weights(table: pd.DataFrame, root: str, csv: str) -> np.ndarray:
    """Factor `(N,)` of each row in the loss, from `data.weights`; 1 for rows that it does not list.

    It may list others: those of the validated fold.

    Args:
        table: `image_id, …`.
        root: folder of the competition's files.
        csv: a path, or one under the root.

    Raises:
        FileNotFoundError: no such file.
        ValueError: other columns, a weight below 0, two weights of an image, or none of these images.
    """
    path = Path(csv) if Path(csv).is_file() else confined(root, csv)
    if not path.is_file():
        raise FileNotFoundError(f"data.weights: no file {path}")
    given = read_csv(path)
    if not {"image_id", "weight"} <= set(given.columns):
        raise ValueError(f"data.weights: {path} has the columns {list(given.columns)}, expected image_id and weight")
    values = pd.to_numeric(given["weight"], errors="coerce")
    wrong = given[~(values >= 0) | np.isinf(values)]
    if len(wrong):
        image_id, text = wrong[["image_id", "weight"]].iloc[0]
        raise ValueError(
            f"data.weights: {path}, row {wrong.index[0] + 2}, gives {image_id!r} no weight of 0 or more but "
            f"{text!r}{comma_hint(text)}"
        )
    ids = matched(given["image_id"], table, root, f"data.weights: {path}", others="pass")
    pairs = pd.DataFrame({"image_id": ids, "weight": values}).dropna(subset="image_id").drop_duplicates()
    twice = pairs[pairs["image_id"].duplicated()]
    if len(twice):
        row, (image_id, weight) = twice.index[0], twice.iloc[0]
        raise ValueError(f"data.weights: {path}, row {row + 2}: {image_id!r} weighs {weight:g}, in an earlier row not")
    known = dict(zip(pairs["image_id"], pairs["weight"], strict=True))
    return np.array([known.get(image_id, 1.0) for image_id in table["image_id"]])
