"""Annotation rounds of images, kept in a CSV."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from datamodules.readers.images import read_picture
from files.tables import read_csv
from files.writing import write_frame

COLUMNS = ["image_id", "round"]


def read_rounds(path: Path | str) -> pd.DataFrame:
    """Read a table `image_id, round` (integers); empty if the file does not exist.

    Raises:
        ValueError: if columns are missing, a round is not an integer, or an image occurs twice.
    """
    if not Path(path).is_file():
        return pd.DataFrame({"image_id": pd.Series(dtype=str), "round": pd.Series(dtype=int)})
    table = read_csv(path)
    if not set(COLUMNS) <= set(table):
        raise ValueError(f"{path}: columns are {list(table)}, expected image_id and round")
    wrong = table[~table["round"].str.fullmatch(r"\d+")]
    if len(wrong):
        raise ValueError(f"{path}, row {wrong.index[0] + 2}: round is {wrong['round'].iloc[0]!r}, expected an integer")
    twice = table[table["image_id"].duplicated()]
    if len(twice):
        raise ValueError(
            f"{path}, row {twice.index[0] + 2}: image {twice['image_id'].iloc[0]!r} occurs twice, expected one row"
        )
    return table[COLUMNS].astype({"round": int})


def import_labels(
    folder: Path | str,
    number: int,
    path: Path | str,
    rows: dict[str, Any],
    size: Callable[[Any], tuple[int, ...]],
    labelled: list[str],
) -> pd.DataFrame:
    """Check new label files against their images and record them in the rounds file; no file is copied.

    Args:
        folder: folder of label images `<image_id>.png` (or another extension), one per image.
        number: number of the round, from 1. Images labelled before the first round have round 0.
        path: rounds file to create or extend, `image_id, round`, for `data.metadata`.
        rows: image id -> table row, for all images that may have been annotated.
        size: function that returns the size of a row's image, from its header.
        labelled: ids of images that already have labels; they get round 0 if they have no entry.

    Returns:
        New content of the rounds file.

    Raises:
        FileNotFoundError: if the folder does not exist or is empty.
        ValueError: if a label has no image, another size, cannot be read, occurs twice, or belongs to an earlier
            round. All problems are listed, and nothing is written.
    """
    folder, path = Path(folder), Path(path)
    if number < 1:
        raise ValueError(f"round is {number}, expected >= 1; round 0 is for images labelled at the start")
    if not folder.is_dir():
        raise FileNotFoundError(f"folder {folder} does not exist")
    files = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    if not files:
        raise FileNotFoundError(f"no label files in {folder}")
    known = read_rounds(path)
    before = dict(zip(known["image_id"], known["round"], strict=True))
    seen: dict[str, Path] = {}
    problems = []
    for file in files:
        problem = _problem(file, rows, size, before, seen, number)
        if problem is None:
            seen[file.stem] = file
        else:
            problems.append(f"{file}: {problem}")
    if problems:
        shown = "\n  ".join(problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise ValueError(
            f"{len(problems)} of {len(files)} label files are invalid, nothing was written\n  {shown}{more}"
        )
    rounds = {image_id: 0 for image_id in labelled} | before | dict.fromkeys(seen, number)
    table = pd.DataFrame(sorted(rounds.items()), columns=COLUMNS)
    write_frame(path, table)
    return table


def _problem(
    file: Path,
    rows: dict[str, Any],
    size: Callable[[Any], tuple[int, ...]],
    before: dict[str, int],
    seen: dict[str, Path],
    number: int,
) -> str | None:
    """Return what is wrong with a label file, or None."""
    image_id = file.stem
    if image_id not in rows:
        return "no image has this id"
    if image_id in seen:
        return f"the image has another label, {seen[image_id]}"
    if before.get(image_id, 0) not in (0, number):
        return f"was imported in round {before[image_id]}; remove it from the rounds file to import it again"
    try:
        label = read_picture(file, "unchanged")
        expected = tuple(size(rows[image_id]))
    except ValueError as error:
        return str(error)
    if label.shape[:2] != expected:
        return f"is {label.shape[0]} x {label.shape[1]}, its image {' x '.join(map(str, expected))}"
    return None
