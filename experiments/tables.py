"""Tables for the terminal."""

from collections.abc import Sequence


def as_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format a table with right-aligned columns; cells are converted by `str`."""
    texts = [list(header), *([str(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(header))]
    return "\n".join("  ".join(value.rjust(width) for value, width in zip(row, widths, strict=True)) for row in texts)
