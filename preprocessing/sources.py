"""What predictions were made from, and whether it is the same still: a checkpoint, the files of each image."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from files.paths import file_hash, text_hash
from files.texts import read_json
from files.writing import write_json

GONE = ""  # hash of a file that is not there


class FileMark(NamedTuple):
    """A file as it was: while size and both times are those of the file, its bytes need not be read again."""

    path: str
    size: int
    modified: int
    changed: int
    hash: str


class Inputs(NamedTuple):
    """What one image is predicted from: the files that its reader opens, and what the table tells the network."""

    files: Sequence[Path | str]
    values: str = ""


class Seen(NamedTuple):
    """`Inputs` as they were when the image was predicted."""

    files: list[FileMark]
    values: str

    def content(self) -> tuple[str, ...]:
        """What tells other inputs from these: contents of files, not their names or times."""
        return (*(file.hash for file in self.files), self.values)


class CheckpointMark(NamedTuple):
    """The checkpoint that predictions were made with.

    Attributes:
        run: its run folder, relative to the folder of the store.
        name: `best`, `last`, or the path that was given.
        file: the file it was.
    """

    run: str
    name: str
    file: FileMark


def mark(path: Path | str, known: FileMark | None = None) -> FileMark:
    """A file as it is now; `known` spares reading it while nothing has touched it."""
    path = os.path.abspath(path)
    try:
        facts = os.stat(path)
        state = path, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
        if known is not None and known[:4] == state:
            return known
        return FileMark(*state, file_hash(path))
    except OSError:
        return FileMark(path, -1, 0, 0, GONE)


def look(images: Mapping[str, Inputs], known: Mapping[str, Seen], threads: int = 8) -> dict[str, Seen]:
    """The inputs of images as they are now; files that nothing has touched since `known` are not read.

    Args:
        images: to look at.
        known: what is known of them.
        threads: that read, which waits for the disk; 1 is the caller's own.
    """
    before = {file.path: file for seen in known.values() for file in seen.files}
    paths = {os.path.abspath(file): None for inputs in images.values() for file in inputs.files}

    def now(path: str) -> FileMark:
        return mark(path, before.get(path))

    if threads == 1:
        marks = {path: now(path) for path in paths}
    else:
        with ThreadPoolExecutor(threads) as pool:
            marks = dict(zip(paths, pool.map(now, paths), strict=True))
    return {
        image_id: Seen([marks[os.path.abspath(file)] for file in inputs.files], inputs.values)
        for image_id, inputs in images.items()
    }


class Looking(Thread):
    """Looks at images beside the work that reads the same files, so that these come from the disk once.

    It ends with the program, whatever is left to look at.
    """

    def __init__(self, images: Mapping[str, Inputs]) -> None:
        super().__init__(daemon=True)
        self.images, self.found = images, {}
        self.start()

    def run(self) -> None:
        self.found = look(self.images, {}, threads=1)

    def result(self) -> dict[str, Seen]:
        """What it saw, once it has seen everything."""
        self.join()
        return self.found


def others(known: Mapping[str, Seen], now: Mapping[str, Seen]) -> list[str]:
    """The images that have other inputs now, of those that both know, sorted."""
    return sorted(
        image_id for image_id in known.keys() & now.keys() if known[image_id].content() != now[image_id].content()
    )


def replaces(known: Seen, now: Seen) -> bool:
    """Whether files of the same contents are the known ones, touched or moved, and not copies beside them."""
    pairs = zip(known.files, now.files, strict=True)
    return all(one.path == other.path or not os.path.exists(one.path) for one, other in pairs)


def difference(known: Seen, now: Seen) -> str:
    """Which file of an image is another one, for a message."""
    if len(known.files) != len(now.files):
        return f"{len(now.files)} files, it was predicted from {len(known.files)}"
    changed = [file.path for before, file in zip(known.files, now.files, strict=True) if before.hash != file.hash]
    return changed[0] if changed else f"its columns of the table are {now.values}, they were {known.values}"


def summary(images: Mapping[str, Seen]) -> str:
    """A hash of what all images are made from; empty for none."""
    return text_hash(repr(sorted((image_id, seen.content()) for image_id, seen in images.items()))) if images else ""


def checkpoint_mark(run: Path, name: str, file: Path, store: Path) -> CheckpointMark:
    """The mark of a checkpoint for a store's manifest.

    Args:
        run: its run folder.
        name: `best`, `last`, or a path, as it was asked for.
        file: the checkpoint.
        store: folder of the store.
    """
    return CheckpointMark(os.path.relpath(run, store), name, mark(file))


def find_checkpoint(run: Path, name: str) -> Path | None:
    """The file of `best`, `last` or a path in a run folder; None where it is not there.

    `best` is the best of those that `checkpoint.save_top_k` kept, under whatever name, and `last` where nothing was
    monitored (training on all rows).
    """
    folder, facts = run / "checkpoints", run / "run.json"
    best = (read_json(facts).get("best") if facts.is_file() else None) or "best.ckpt"
    candidates = {"best": ["best.ckpt", best, "last.ckpt"], "last": ["last.ckpt"]}.get(name)
    paths: Iterable[Path] = [folder / candidate for candidate in candidates or [Path(name).name]]
    paths = paths if candidates is not None else [Path(name), *paths]
    return next((path for path in paths if path.is_file()), None)


def check_checkpoint(made_with: CheckpointMark, store: Path) -> None:
    """Refuse predictions of another checkpoint than the run has now.

    Where the run has no checkpoint any more there is none to take instead.

    Raises:
        ValueError: the checkpoint of that name is another one now, or it is gone and the run has others.
    """
    run = Path(os.path.normpath(store / made_with.run))
    file = find_checkpoint(run, made_with.name)
    if file is None and not any((run / "checkpoints").glob("*.ckpt")):
        return
    if file is not None and mark(file, made_with.file).hash == made_with.file.hash:
        return
    what = f"{made_with.file.path}, which is gone" if file is None else f"another checkpoint than {file} is now"
    raise ValueError(
        f"{store} was predicted with {what}: these are old results. Predict again: python cli.py predict {run}"
        + ("" if made_with.name == "best" else f" --ckpt_path {made_with.name}")
    )


def folders_of(images: Mapping[str, Seen]) -> dict[str, int]:
    """When something was last added to, or taken from, the folders that hold the files: all up to one above them."""
    files = [file.path for seen in images.values() for file in seen.files]
    if not files:
        return {}
    top = Path(os.path.commonpath(map(os.path.dirname, files))).parent
    folders: set[Path] = set()
    for folder in {Path(file).parent for file in files}:
        while folder not in folders and folder != top.parent:
            folders.add(folder)
            folder = folder.parent
    return {str(folder): os.stat(folder).st_mtime_ns for folder in sorted(folders) if folder.is_dir()}


def untouched(images: Mapping[str, Seen], folders: Mapping[str, int]) -> bool:
    """Whether all files and folders are as they were, by their sizes and times alone."""

    def state(path: str) -> tuple[int, int, int]:
        try:
            facts = os.stat(path)
        except OSError:
            return -1, 0, 0
        return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns

    files = (file for seen in images.values() for file in seen.files)
    return all(state(folder)[1] == time for folder, time in folders.items()) and all(
        state(file.path) == file[1:4] for file in files
    )


def read_seen(path: Path) -> tuple[dict[str, Seen], dict[str, int]]:
    """Images and folders as `write_seen` wrote them; nothing where there is no such file."""
    if not path.is_file():
        return {}, {}
    content = read_json(path)
    images = {name: Seen([FileMark(*file) for file in files], values) for name, (files, values) in content["images"]}
    return images, content["folders"]


def write_seen(path: Path, images: Mapping[str, Seen], folders: Mapping[str, int]) -> None:
    """Write the inputs of all images, and `folders_of` them, at once."""
    write_json(path, {"folders": folders, "images": list(images.items())}, indent=None)
