"""Hashes of files and texts, and confined paths."""

import hashlib
from pathlib import Path


def file_hash(path: Path | str) -> str:
    """Short SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:16]


def text_hash(text: str) -> str:
    """Short SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def confined(root: Path | str, name: str) -> Path:
    """Join `root / name` if the result is inside the root; ids and paths come from untrusted files.

    Raises:
        ValueError: the name is absolute or contains `..`.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} is outside {root}; ids and paths must be relative, without '..'")
    return Path(root) / path
