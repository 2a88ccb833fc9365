"""Splits into training and validation images, by the folds file or the author's own split, and checks for leaks."""

import warnings
from collections.abc import Callable

import pandas as pd

from datamodules.readers import Reader
from datamodules.table import rows_of
from evaluation.folds import read_folds
from evaluation.splits import TRAIN_ONLY
from preprocessing.hashes import pixel_hash


def with_given(table: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """Append the validation images of the author's own split to its training images; the column `given` marks them.

    Raises:
        ValueError: if both sides have the same id.
    """
    both = sorted(set(table["image_id"]) & set(given["image_id"]))
    if both:
        raise ValueError(
            f"data.images and data.val_images share {len(both)} ids (first: {both[0]!r}); make the ids unique with "
            "{image_id} in the patterns"
        )
    return pd.concat([table.assign(given=False), given.assign(given=True)], ignore_index=True)


def held_by_author(table: pd.DataFrame, images: str | None, leaks: Callable[[pd.DataFrame], list[str]]) -> pd.Series:
    """Return which rows the author's own split validates, with a warning for each leak between its sides.

    Args:
        table: table from `with_given`.
        images: `data.val_images`.
        leaks: function that returns a sentence for each leak.

    Raises:
        ValueError: if there is no such split.
    """
    if images is None:
        raise ValueError("data.fold is given, but data.val_images is not set; set it to the author's validation images")
    for leak in leaks(table):
        warnings.warn(f"data.fold given: {leak}; the score will be optimistic", stacklevel=3)
    return table["given"]


def held_by_folds(table: pd.DataFrame, path: str | None, fold: int, reader: Reader | None) -> pd.Series:
    """Return which rows are in a fold of the folds file, after checking the file against the table.

    Args:
        table: all training images.
        path: folds file.
        fold: fold to select.
        reader: reader of the images, to check for equal pixels in different folds if the file has no groups, such as
            a file from elsewhere. None skips the check.

    Raises:
        FileNotFoundError: if the file does not exist; says how to make it.
        ValueError: if ids differ from those of the table, images in different folds have equal pixels, or the fold is
            not in the file.
    """
    if path is None:
        raise ValueError("data.folds is not set; set it to a folds file, or train on all images with data.fold: all")
    folds = read_folds(path)
    known, present = set(folds["image_id"]), set(table["image_id"])
    if known != present:
        raise ValueError(
            f"{path} and the images do not match: {len(present - known)} images are in no fold "
            f"{sorted(present - known)[:3]}, {len(known - present)} ids have no image "
            f"{sorted(known - present)[:3]}; "
            "make new folds: python cli.py folds --config … --overwrite true"
        )
    if not folds.attrs["grouped"] and reader is not None:
        _check_duplicates(folds, path, table, reader)
    numbers = sorted(set(folds["fold"]) - {TRAIN_ONLY})
    if fold not in numbers:
        raise ValueError(
            f"data.fold is {fold}, but {path} has folds {numbers}; choose one of these, or make more: "
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
                f"{fold[row.image_id]}) have equal pixels, which leaks training images into validation; put "
                "them into one fold, or add a `group` column to accept it"
            )


def with_pixels(table: pd.DataFrame, reader: Reader) -> pd.DataFrame:
    """Add columns for every image: `size` (`HxW`), and `pixels` (hash of its pixels, to find duplicates)."""
    images = (reader.read(row) for row in rows_of(table))
    facts = [(f"{image.shape[0]}x{image.shape[1]}", pixel_hash(image)) for image in images]
    table["size"], table["pixels"] = zip(*facts, strict=True)
    return table


def shared_pixels(table: pd.DataFrame, reader: Reader) -> list[str]:
    """Return a sentence if images on both sides of the author's own split have equal pixels, else an empty list."""
    sides: dict[str, set[bool]] = {}
    for row in rows_of(table):
        sides.setdefault(pixel_hash(reader.read(row)), set()).add(row.given)
    shared = sum(len(both) > 1 for both in sides.values())
    return [f"{shared} images have equal pixels on both sides"] if shared else []
