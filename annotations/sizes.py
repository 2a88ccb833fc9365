"""Sizes of images, as annotation files declare them."""

from typing import Any


def declared_size(height: Any, width: Any) -> tuple[int, int] | None:
    """Return the size `(H, W)`; None unless both sides are numbers above 0: some tools leave them out, or write 0."""
    try:
        sides = int(float(height)), int(float(width))
    except (TypeError, ValueError, OverflowError):
        return None
    return sides if min(sides) > 0 else None
