"""The inputs of each image's prediction, to detect predictions of changed files."""

import pandas as pd

from datamodules.readers import ImageReadError, Reader
from datamodules.row import Row
from datamodules.table import numbers, rows_of
from preprocessing.sources import Inputs


def inputs_of(table: pd.DataFrame, reader: Reader, features: list[str]) -> dict[str, Inputs]:
    """Return the files that the reader opens for each row, and its feature values.

    Args:
        table: table with a row per image.
        reader: reader of the images.
        features: numeric columns.
    """
    values = numbers(table, features).tolist()
    return {
        row.image_id: Inputs(_files(row, reader), str(own) if own else "")
        for row, own in zip(rows_of(table), values, strict=True)
    }


def _files(row: Row, reader: Reader) -> list:
    try:
        return reader.files(row)
    except (ImageReadError, OSError):  # `predict` reports it, or predicts a black image
        return [row.path]
