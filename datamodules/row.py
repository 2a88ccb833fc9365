"""A row of the table of images, as passed to readers, targets and windows."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Protocol, cast


class Row(Protocol):
    """One image. Every other column of its table (targets, metadata, features) is an attribute named like the column.

    Attributes:
        image_id: image id, the only join key.
        path: file of the image; a pattern if an image has several files.
        weight: weight of the image in training losses and metrics.
        source: origin of the row; only `train` may be validated.
    """

    image_id: str
    path: str
    weight: float
    source: str

    def __getattr__(self, column: str) -> Any:
        """Return another column."""


def columns_of(row: Row) -> dict[str, Any]:
    """Return the columns of a row by name; also of the named tuples that `DataFrame.itertuples` makes."""
    return row._asdict() if isinstance(row, tuple) else dict(vars(row))


def row_with(columns: Mapping[str, Any]) -> Row:
    """Return a plain object with the columns as attributes, which can be pickled for any worker start method."""
    return cast(Row, SimpleNamespace(**columns))
