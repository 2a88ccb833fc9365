"""Journal of `prepare`: one line per finished image, to resume from."""

import json
from pathlib import Path
from typing import Any

from files.paths import confined
from files.writing import write_text

Entries = dict[str, dict[str, Any]]


class Journal:
    """`<prefix>prepared.jsonl`, one line per finished image.

    A line has a key (a hash of the settings and the path, size and modification time of every input file) and the
    output files. An image is finished if the key is unchanged and its output files exist with their full size.

    Args:
        output: output folder.
        prefix: prefix of the folders of the split.
    """

    def __init__(self, output: Path, prefix: str) -> None:
        self.output, self.prefix = output, prefix
        self.path = output / f"{prefix}prepared.jsonl"

    def is_complete(self, entry: dict[str, Any]) -> bool:
        """Whether the files of an image exist with their full size."""
        files = ((self.output / name, size) for name, size in entry["files"].items())
        return all(path.is_file() and path.stat().st_size == size for path, size in files)

    def read(self) -> Entries:
        """Entries by image id; temporary files of a killed call are deleted."""
        entries: Entries = {}
        for line in self.path.read_text().splitlines() if self.path.is_file() else []:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # incomplete last line of a killed call
                continue
            entries[entry["image_id"]] = entry
        for folder in (f"{self.prefix}images", "val_images", f"{self.prefix}masks"):
            for left in (self.output / folder).rglob("*.tmp"):
                left.unlink(missing_ok=True)
        return entries

    def write(self, entries: Entries) -> None:
        """Rewrite the journal."""
        write_text(self.path, "".join(json.dumps(entry) + "\n" for entry in entries.values()))

    def remove(self, stale: Entries, present: Entries) -> None:
        """Delete stale files of earlier calls: images that were removed or have failed."""
        current = {name for entry in present.values() for name in entry["files"]}
        for entry in stale.values():
            for name in set(entry["files"]) - current:
                confined(self.output, name).unlink(missing_ok=True)
