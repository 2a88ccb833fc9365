"""What `prepare` has finished: a line for each image, from which a later call goes on."""

import json
from pathlib import Path
from typing import Any

from files.paths import confined
from files.writing import write_text

Entries = dict[str, dict[str, Any]]


class Journal:
    """`<prefix>prepared.jsonl`, a line per finished image.

    A line has a key (a hash of settings, path, size and time of every file that was read) and the files that were
    written. An image is done while the key is the same and its files are there in their full size.

    Args:
        output: folder that was written to.
        prefix: of the split's folders.
    """

    def __init__(self, output: Path, prefix: str) -> None:
        self.output, self.prefix = output, prefix
        self.path = output / f"{prefix}prepared.jsonl"

    def is_complete(self, entry: dict[str, Any]) -> bool:
        """Whether the files of an image are there in their full size."""
        files = ((self.output / name, size) for name, size in entry["files"].items())
        return all(path.is_file() and path.stat().st_size == size for path, size in files)

    def read(self) -> Entries:
        """The entries by image id; files of a call that was killed are deleted."""
        entries: Entries = {}
        for line in self.path.read_text().splitlines() if self.path.is_file() else []:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # the last line of a run that was killed
                continue
            entries[entry["image_id"]] = entry
        for folder in (f"{self.prefix}images", "val_images", f"{self.prefix}masks"):
            for left in (self.output / folder).rglob("*.tmp"):
                left.unlink(missing_ok=True)
        return entries

    def write(self, entries: Entries) -> None:
        """Replace all lines."""
        write_text(self.path, "".join(json.dumps(entry) + "\n" for entry in entries.values()))

    def remove(self, stale: Entries, present: Entries) -> None:
        """Delete what earlier calls wrote and this one does not stand for: images that are gone, or have failed."""
        current = {name for entry in present.values() for name in entry["files"]}
        for entry in stale.values():
            for name in set(entry["files"]) - current:
                confined(self.output, name).unlink(missing_ok=True)
