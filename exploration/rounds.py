"""Which image was annotated in which round: a CSV that grows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from datamodules.readers.images import read_picture
from files.tables import read_csv
from files.writing import write_frame

COLUMNS = ["image_id", "round"]


def read_rounds(path: Path | str) -> pd.DataFrame:
    """`image_id, round` (whole numbers); empty where there is no file.

    Raises:
        ValueError: other columns, a round that is no number, an image twice.
    """
    if not Path(path).is_file():
        return pd.DataFrame({"image_id": pd.Series(dtype=str), "round": pd.Series(dtype=int)})
    table = read_csv(path)
    if not set(COLUMNS) <= set(table):
        raise ValueError(f"{path}: columns are {list(table)}, expected image_id and round")
    wrong = table[~table["round"].str.fullmatch(r"\d+")]
    if len(wrong):
        raise ValueError(f"{path}, row {wrong.index[0] + 2}: round {wrong['round'].iloc[0]!r} is no number")
    twice = table[table["image_id"].duplicated()]
    if len(twice):
        raise ValueError(f"{path}, row {twice.index[0] + 2}: image {twice['image_id'].iloc[0]!r} comes twice")
    return table[COLUMNS].astype({"round": int})


def import_labels(
    folder: Path | str,
    number: int,
    path: Path | str,
    rows: dict[str, Any],
    size: Callable[[Any], tuple[int, ...]],
    labelled: list[str],
) -> pd.DataFrame:
    """Check new label files against their images and note them in the rounds file; nothing is copied.

    Args:
        folder: label pictures `<image_id>.png` (or another ending), a file per image.
        number: the round, from 1. Images that had labels before any round are round 0.
        path: the rounds file, made or extended: `image_id, round`, for `data.metadata`.
        rows: image id -> table row of every image that may have been annotated.
        size: the size of a row's image, from its header.
        labelled: ids of the images that are labelled already: without an entry they get round 0.

    Returns:
        The rounds file's new content.

    Raises:
        FileNotFoundError: no such folder, or no file in it.
        ValueError: a label without image, of another size, unreadable, twice, or of an earlier round; all of them are
            listed, and nothing is written.
    """
    folder, path = Path(folder), Path(path)
    if number < 1:
        raise ValueError(f"round is {number}, expected 1 or more; round 0 is what was labelled at the start")
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
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
            f"{len(problems)} of {len(files)} label files do not fit, nothing was written\n  {shown}{more}"
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
    """What is wrong with a label file; None where nothing is."""
    image_id = file.stem
    if image_id not in rows:
        return "no image has this id"
    if image_id in seen:
        return f"the image has another label, {seen[image_id]}"
    if before.get(image_id, 0) not in (0, number):
        return f"was imported in round {before[image_id]}; take it out of the rounds file to import it again"
    try:
        label = read_picture(file, "unchanged")
        expected = tuple(size(rows[image_id]))
    except ValueError as error:
        return str(error)
    if label.shape[:2] != expected:
        return f"is {label.shape[0]} x {label.shape[1]}, its image {' x '.join(map(str, expected))}"
    return None
