"""The table of images: one row per image."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.matching import matched
from datamodules.row import Row, row_with
from files.paths import confined
from files.tables import comma_hint, read_csv

ID = "{image_id}"
PARTS = re.compile(r"(\{[a-z_]+\}|\*\*/|\*|\?)")


def find_images(root: Path | str, pattern: str, source: str = "train") -> pd.DataFrame:
    """Return a table of the files that match a glob under the root.

    The id is the file name without its ending, or the part matched by `{image_id}` in the pattern
    (`img/tile_{image_id}.tif`).

    Args:
        root: folder of the competition's files.
        pattern: glob, such as `stage1_train/*/images/*.png`.
        source: value of the column `source`; only `train` may be validated.

    Returns:
        Table with `image_id, path, weight, source, folder` (its name), sorted by id.

    Raises:
        FileNotFoundError: if nothing matches.
        ValueError: if two files have the same id, or the pattern leads out of the root.
    """
    confined(root, pattern)
    files = sorted(path for path in Path(root).glob(pattern.replace(ID, "*")) if path.is_file())
    matches = (as_expression(pattern).fullmatch(path.relative_to(root).as_posix()) for path in files)
    # A second {image_id} must repeat the first, which a glob cannot express.
    found = [
        (match.group("id") if ID in pattern else path.stem, str(path))
        for path, match in zip(files, matches, strict=True)
        if match or ID not in pattern
    ]
    if not found:
        raise not_found(root, pattern)
    return _as_table(found, source)


def _as_table(found: list[tuple[str, str]], source: str) -> pd.DataFrame:
    table = pd.DataFrame(found, columns=["image_id", "path"])
    table["weight"], table["source"] = 1.0, source
    table["folder"] = [Path(path).parent.name for path in table["path"]]
    return sorted_by_id(table)


def not_found(root: Path | str, pattern: str, what: str = "images") -> FileNotFoundError:
    """Return the error for a pattern that matches nothing under the root."""
    cause = "does not exist" if not Path(root).is_dir() else f"has nothing that matches {pattern!r}"
    return FileNotFoundError(f"no {what}: {Path(root)} {cause}; check data.root and data.images")


def sorted_by_id(table: pd.DataFrame, what: str = "files", cure: str = "") -> pd.DataFrame:
    """Return the rows sorted by id.

    Args:
        table: `image_id`, `path` and other columns.
        what: name of what a path is, for the message.
        cure: what to do about two equal ids, for the message.

    Raises:
        ValueError: if two rows have the same id.
    """
    twice = table[table["image_id"].duplicated(keep=False)]
    if len(twice):
        one, other = twice[twice["image_id"] == twice["image_id"].iloc[0]]["path"].tolist()[:2]
        raise ValueError(f"two {what} have the id {twice['image_id'].iloc[0]!r}: {one} and {other}{cure}")
    return table.sort_values("image_id", ignore_index=True)


def pattern_in(folder: Path | str, pattern: str) -> str:
    """Return the last part of a pattern if files of the folder match it, else `*`."""
    name = Path(pattern).name
    return name if any(Path(folder).glob(re.sub(r"\{\w+\}", "*", name))) else "*"


def find_channels(root: Path | str, pattern: str, key: str, names: list[str], source: str = "train") -> pd.DataFrame:
    """Return a table of images with one file per channel.

    Args:
        root: folder of the competition's files.
        pattern: glob with `key` in place of the channel name: `train/*_{channel}.png`.
        key: `{channel}` or `{band}`.
        names: channel names; every image must have all of them.
        source: value of the column `source`.

    Returns:
        Table with `image_id, path, weight, source`; the path keeps the key. The id is the part matched by `{image_id}`,
        else the file name without its ending and the channel.

    Raises:
        FileNotFoundError: if nothing matches, or images lack a channel; names the first.
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
        raise FileNotFoundError(f"{len(lacking)} images lack a channel (first: {image_id!r}): missing {files}")
    return _as_table(list(found), source)


def as_expression(pattern: str, key: str | None = None, name: str = "") -> re.Pattern:
    """Return a glob as a regular expression with a group for each of its `PARTS`."""
    tokens = {ID: "[^/]+?", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"} | ({key: re.escape(name)} if key else {})
    text = "".join(f"({tokens.get(part, re.escape(part))})" for part in PARTS.split(pattern))
    first, repeat = f"({tokens[ID]})", "((?P=id))"
    head, mark, tail = text.partition(first)
    return re.compile(head + mark.replace("(", "(?P<id>", 1) + tail.replace(first, repeat))


def join_columns(table: pd.DataFrame, path: Path | str, id_column: str, root: Path | str = ".") -> pd.DataFrame:
    """Return the table with the columns of a CSV that are constant within each image: patient, site, age, class.

    A CSV with several rows per image (one per object) adds only columns whose values agree within each image. Existing
    columns of the table are kept.

    Args:
        table: table with `image_id`.
        path: CSV file.
        id_column: column of the image ids, or of the paths of the images.
        root: folder of the competition's files, to which paths are relative.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the column is missing, or images have no row.

    Warns:
        UserWarning: if names match no image, or columns are not constant within an image.
    """
    facts = read_csv(path)
    if id_column not in facts:
        raise ValueError(f"{path} has no column {id_column!r}, only {list(facts.columns)}; set data.id_column")
    facts["image_id"] = matched(facts[id_column], table, root, f"{path}, column {id_column}", every=True)
    new = [column for column in facts if column not in (*table.columns, id_column)]
    counts = facts.groupby("image_id")[new].nunique()
    agreeing = [column for column in new if (counts[column] <= 1).all()]
    other = [column for column in new if column not in agreeing]
    if other:
        image_id = counts[other[0]].idxmax()
        values = facts[other[0]][facts["image_id"] == image_id].unique()[:2].tolist()
        warnings.warn(
            f"{path}: columns {', '.join(other)} are ignored, as rows of one image differ: {other[0]} of {image_id!r} "
            f"is {' and '.join(map(repr, values))}",
            stacklevel=3,
        )
    return table.merge(facts.drop_duplicates("image_id")[["image_id", *agreeing]], on="image_id", how="left")


def numbers(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Return columns of the table as `(N, F)` float32, for side inputs of a network.

    Raises:
        ValueError: if a column is missing, or a value is not a number; names the image.
    """
    if not columns:
        return np.zeros((len(table), 0), np.float32)
    lacking = [column for column in columns if column not in table]
    if lacking:
        raise ValueError(
            f"data.features: {lacking} are not in the table's columns {list(table.columns)}; set data.metadata"
        )
    values = table[columns].apply(pd.to_numeric, errors="coerce")
    wrong = values.isna().to_numpy().nonzero()
    if len(wrong[0]):
        row, column = table.iloc[wrong[0][0]], columns[wrong[1][0]]
        raise ValueError(
            f"data.features: {column!r} of image {row['image_id']!r} is {row[column]!r}, expected a "
            f"number{comma_hint(str(row[column]))}"
        )
    return values.to_numpy(np.float32)


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Return the rows as objects with the columns as attributes."""
    return [row_with({str(name): value for name, value in record.items()}) for record in table.to_dict("records")]
