"""A row of the table of images, as readers, targets and windows take it."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Protocol, cast


class Row(Protocol):
    """One image. Every other column of its table (targets, metadata, features) is an attribute by the column's name.

    Attributes:
        image_id: the only join key.
        path: the image's file; a pattern where an image is several files.
        weight: of the image in losses and metrics of the training.
        source: where the row comes from; only `train` may enter validation.
    """

    image_id: str
    path: str
    weight: float
    source: str

    def __getattr__(self, column: str) -> Any:
        """Another column."""


def row_with(columns: Mapping[str, Any]) -> Row:
    """A plain object with the columns as attributes, which every start method can hand to a worker."""
    return cast(Row, SimpleNamespace(**columns))
