"""Which training images are validated, by the folds file or the author's own split, and what tells equal ones."""

import warnings
from collections.abc import Callable

import pandas as pd

from datamodules.readers import Reader
from datamodules.table import rows_of
from evaluation.divide import TRAIN_ONLY
from evaluation.folds import read_folds
from preprocessing.hashes import pixel_hash


def with_given(table: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """The training images of the author's own split and then those it validates; `given` tells them apart.

    Raises:
        ValueError: an id on both sides.
    """
    both = sorted(set(table["image_id"]) & set(given["image_id"]))
    if both:
        raise ValueError(
            f"data.images and data.val_images share {len(both)} ids, {both[0]!r} first; give the "
            "files ids of their own with {image_id} in the patterns"
        )
    return pd.concat([table.assign(given=False), given.assign(given=True)], ignore_index=True)


def held_by_author(table: pd.DataFrame, images: str | None, leaks: Callable[[pd.DataFrame], list[str]]) -> pd.Series:
    """Which rows the author's own split validates; what leaks between its sides is warned about.

    Args:
        table: of `with_given`.
        images: `data.val_images`.
        leaks: names what leaks, a sentence each.

    Raises:
        ValueError: there is no such split.
    """
    if images is None:
        raise ValueError("data.fold is given, but data.val_images does not say which images the author validates")
    for leak in leaks(table):
        warnings.warn(f"data.fold given: {leak}; the score will be too good", stacklevel=3)
    return table["given"]


def held_by_folds(table: pd.DataFrame, path: str | None, fold: int, reader: Reader | None) -> pd.Series:
    """Which rows are in a fold of the folds file, once that is checked against the table.

    Args:
        table: all training images.
        path: the file.
        fold: the fold that is wanted of it.
        reader: of these, to look for equal pixels in two folds where nobody has: a file of another origin, without
            groups. None looks for none.

    Raises:
        FileNotFoundError: says how to make it.
        ValueError: other ids than the table's, equal pixels in two folds, or a fold that is not in it.
    """
    if path is None:
        raise ValueError("data.folds is not set; name the folds file, or train on everything with data.fold: all")
    folds = read_folds(path)
    known, present = set(folds["image_id"]), set(table["image_id"])
    if known != present:
        raise ValueError(
            f"{path} and the images disagree: {len(present - known)} images are in no fold "
            f"{sorted(present - known)[:3]}, {len(known - present)} ids have no image "
            f"{sorted(known - present)[:3]}; "
            "make the folds again: python cli.py folds --config … --overwrite true"
        )
    if not folds.attrs["grouped"] and reader is not None:
        _check_duplicates(folds, path, table, reader)
    numbers = sorted(set(folds["fold"]) - {TRAIN_ONLY})
    if fold not in numbers:
        raise ValueError(
            f"data.fold is {fold}, {path} has folds {numbers}; take one of these, or make more: "
            "python cli.py folds --config … --cv.k N --overwrite true"
        )
    return table["image_id"].map(folds.set_index("image_id")["fold"]) == fold


def _check_duplicates(folds: pd.DataFrame, path: str, table: pd.DataFrame, reader: Reader) -> None:
    fold = dict(zip(folds["image_id"], folds["fold"], strict=True))
    seen: dict[str, str] = {}
    for row in rows_of(table):
        first = seen.setdefault(pixel_hash(reader.read(row)), row.image_id)
        if fold[first] != fold[row.image_id]:
            raise ValueError(
                f"{path}: images {first!r} (fold {fold[first]}) and {row.image_id!r} (fold "
                f"{fold[row.image_id]}) have equal pixels, so validation would see what was trained on. Put them "
                "into one fold, or say that you mean it with a `group` column"
            )


def with_pixels(table: pd.DataFrame, reader: Reader) -> pd.DataFrame:
    """The table with `size` (`HxW`) and `pixels` (their hash, by which duplicates are found) of every image."""
    images = (reader.read(row) for row in rows_of(table))
    facts = [(f"{image.shape[0]}x{image.shape[1]}", pixel_hash(image)) for image in images]
    table["size"], table["pixels"] = zip(*facts, strict=True)
    return table


def shared_pixels(table: pd.DataFrame, reader: Reader) -> list[str]:
    """What the author's own split shares between its sides: a sentence where images have equal pixels, else none."""
    sides: dict[str, set[bool]] = {}
    for row in rows_of(table):
        sides.setdefault(pixel_hash(reader.read(row)), set()).add(row.given)
    shared = sum(len(both) > 1 for both in sides.values())
    return [f"{shared} images have equal pixels on both sides"] if shared else []
