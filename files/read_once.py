"""Files that are parsed once as long as they do not change."""

from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar

Content = TypeVar("Content")


def read_once(keep: int) -> Callable[[Callable[[Path], Content]], Callable[[Path], Content]]:
    """Decorate a function that reads a file: it returns the same object until time or size of the file change.

    Args:
        keep: number of files to remember, in each process.
    """

    def decorated(read: Callable[[Path], Content]) -> Callable[[Path], Content]:
        @lru_cache(maxsize=keep)
        def kept(path: Path, changed: int, size: int) -> Content:
            return read(path)

        @wraps(read)
        def reader(path: Path) -> Content:
            found = path.stat()
            return kept(path, found.st_mtime_ns, found.st_size)

        return reader

    return decorated
