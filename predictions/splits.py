"""Folder names of the splits of a run's predictions."""

from pathlib import Path


def split_folder(split: str) -> str:
    """Folder name of a split: `val`, `test`, or the last part of an image folder's path."""
    return Path(split).name
