"""Metadata of the images of a table, from lists, CSVs and the image ids."""

from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.matching import matched
from datamodules.table import join_columns
from files.paths import confined
from files.tables import comma_hint, read_csv
from files.texts import read_text


def listed(table: pd.DataFrame, root: str, csv: str | None, id_column: str, key: str) -> pd.DataFrame:
    """Return the rows named in a list; all rows if there is no list.

    Args:
        table: table with `image_id`.
        root: folder of the competition's files.
        csv: path of the list under the root, a CSV or a text (`.txt`) with a name per line; None if there is none.
        id_column: column of the image ids in the list.
        key: config key of the list, for messages.

    Raises:
        FileNotFoundError: if the list does not exist.
        ValueError: if the column is missing, or listed images have no file; names the first.
    """
    if csv is None:
        return table
    path = confined(root, csv)
    if path.suffix.lower() == ".txt":
        names, where = pd.Series([line.strip() for line in read_text(path).splitlines() if line.strip()]), str(path)
    else:
        rows, where = read_csv(path), f"{path}, column {id_column}"
        if id_column not in rows:
            raise ValueError(
                f"{key}: {path} has no column {id_column!r}, only {list(rows.columns)}; set data.id_column"
            )
        names = rows[id_column]
    named = matched(names, table, root, f"{key}: {where}", others="raise")
    return table[table["image_id"].isin(named)].reset_index(drop=True)


def described(
    table: pd.DataFrame, root: str, files: str | list[str] | None, id_column: str, id_pattern: str | None
) -> pd.DataFrame:
    """Return the table with the columns of CSVs, and those extracted from the ids by a regular expression.

    Args:
        table: table with `image_id`.
        root: folder of the competition's files.
        files: CSVs under the root.
        id_column: column of the image ids in these CSVs.
        id_pattern: regular expression with named groups that matches every id.

    Raises:
        ValueError: if the expression does not match an id, or a CSV has no row for an image.
    """
    if id_pattern is not None:
        parts = table["image_id"].str.extract(f"^{id_pattern}$")
        unlike = table["image_id"][parts.isna().all(axis=1)]
        if len(unlike):
            raise ValueError(f"data.id_pattern {id_pattern!r} does not match the id {unlike.iloc[0]!r}")
        table = table.assign(**{str(name): parts[name] for name in parts})
    for csv in [files] if isinstance(files, str) else files or []:
        table = join_columns(table, confined(root, csv), id_column, root)
    return table


def loss_weights(table: pd.DataFrame, root: str, csv: str) -> np.ndarray:
    """Return the factor `(N,)` of each row in the loss, from `data.weights`; 1 for rows not listed.

    The file may list other images too, such as those of the validated fold.

    Args:
        table: table with `image_id`.
        root: folder of the competition's files.
        csv: path of the file, also relative to the root.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the columns differ, a weight is negative, an image has two weights, or no image is listed.
    """
    path = Path(csv) if Path(csv).is_file() else confined(root, csv)
    if not path.is_file():
        raise FileNotFoundError(f"data.weights: file {path} does not exist")
    given = read_csv(path)
    if not {"image_id", "weight"} <= set(given.columns):
        raise ValueError(f"data.weights: {path} has the columns {list(given.columns)}, expected image_id and weight")
    values = pd.to_numeric(given["weight"], errors="coerce")
    wrong = given[~(values >= 0) | np.isinf(values)]
    if len(wrong):
        image_id, text = wrong[["image_id", "weight"]].iloc[0]
        raise ValueError(
            f"data.weights: {path}, row {wrong.index[0] + 2}: weight of {image_id!r} is {text!r}, expected a number "
            f">= 0{comma_hint(text)}"
        )
    ids = matched(given["image_id"], table, root, f"data.weights: {path}", others="ignore")
    pairs = pd.DataFrame({"image_id": ids, "weight": values}).dropna(subset="image_id").drop_duplicates()
    twice = pairs[pairs["image_id"].duplicated()]
    if len(twice):
        row, (image_id, weight) = twice.index[0], twice.iloc[0]
        raise ValueError(f"data.weights: {path}, row {row + 2}: {image_id!r} has weight {weight:g}, but another above")
    known = dict(zip(pairs["image_id"], pairs["weight"], strict=True))
    return np.array([known.get(image_id, 1.0) for image_id in table["image_id"]])
