"""What each image is predicted from, by which predictions of other files are told from those of today's."""

import pandas as pd

from datamodules.readers import ImageReadError, Reader
from datamodules.row import Row
from datamodules.table import numbers, rows_of
from preprocessing.sources import Inputs


def inputs_of(table: pd.DataFrame, reader: Reader, features: list[str]) -> dict[str, Inputs]:
    """The files that the reader opens for each row, and its values of the columns that the network is fed with.

    Args:
        table: with a row per image.
        reader: of the images.
        features: columns of numbers.
    """
    values = numbers(table, features).tolist()
    return {
        row.image_id: Inputs(_files(row, reader), str(own) if own else "")
        for row, own in zip(rows_of(table), values, strict=True)
    }


def _files(row: Row, reader: Reader) -> list:
    try:
        return reader.files(row)
    except (ImageReadError, OSError):  # `predict` says what is wrong with it, or takes it for a black picture
        return [row.path]
