"""The inputs of predictions (a checkpoint, the files of each image), recorded to detect changes."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from files.paths import file_hash, text_hash
from files.texts import read_json
from files.writing import write_json

LAST = ("last.ckpt", "last-1.ckpt")  # the newest checkpoint of a run, and the one before it
GONE = ""  # hash of a missing file


class FileMark(NamedTuple):
    """State of a file; while size and both times are unchanged, its contents need not be read again."""

    path: str
    size: int
    modified: int
    changed: int
    hash: str


class Inputs(NamedTuple):
    """Inputs of the prediction of one image: the files its reader opens, and the table values the network uses."""

    files: Sequence[Path | str]
    values: str = ""


class Seen(NamedTuple):
    """State of `Inputs` when the image was predicted."""

    files: list[FileMark]
    values: str

    def content(self) -> tuple[str, ...]:
        """Return what identifies these inputs: the contents of files, not their names or times."""
        return (*(file.hash for file in self.files), self.values)


class CheckpointMark(NamedTuple):
    """The checkpoint of predictions.

    Attributes:
        run: run folder, relative to the folder of the store.
        name: `best`, `last`, or the given path.
        file: state of the file.
    """

    run: str
    name: str
    file: FileMark


def mark(path: Path | str, known: FileMark | None = None) -> FileMark:
    """Return the current state of a file; reuses the hash of `known` if the file was not touched."""
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
    """Return the current state of images' inputs; files not touched since `known` are not read.

    Args:
        images: inputs by image id.
        known: earlier states by image id.
        threads: number of threads that read files; 1 reads in the calling thread.
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
    """Records the state of inputs in parallel to work that reads the same files, so that each is read from disk once.

    A daemon thread: it ends with the program, finished or not.
    """

    def __init__(self, images: Mapping[str, Inputs]) -> None:
        super().__init__(daemon=True)
        self.images, self.found = images, Future()
        self.start()

    def run(self) -> None:
        try:
            self.found.set_result(look(self.images, {}, threads=1))
        except Exception as error:
            self.found.set_exception(error)

    def result(self) -> dict[str, Seen]:
        """Wait for the thread and return the states, or raise its error."""
        return self.found.result()


def others(known: Mapping[str, Seen], now: Mapping[str, Seen]) -> list[str]:
    """Return the sorted ids of images in both mappings whose inputs differ."""
    return sorted(
        image_id for image_id in known.keys() & now.keys() if known[image_id].content() != now[image_id].content()
    )


def replaces(known: Seen, now: Seen) -> bool:
    """Return whether files with equal contents are the known files, touched or moved, rather than duplicates."""
    pairs = zip(known.files, now.files, strict=True)
    return all(one.path == other.path or not os.path.exists(one.path) for one, other in pairs)


def difference(known: Seen, now: Seen) -> str:
    """Return which input of an image has changed, for a message."""
    if len(known.files) != len(now.files):
        return f"{len(now.files)} files, predicted from {len(known.files)}"
    changed = [file.path for before, file in zip(known.files, now.files, strict=True) if before.hash != file.hash]
    return changed[0] if changed else f"its table columns are {now.values}, predicted with {known.values}"


def summary(images: Mapping[str, Seen]) -> str:
    """Return a hash of the inputs of all images; empty for no images."""
    return text_hash(repr(sorted((image_id, seen.content()) for image_id, seen in images.items()))) if images else ""


def checkpoint_mark(run: Path, name: str, file: Path, store: Path) -> CheckpointMark:
    """Return the state of a checkpoint for the manifest of a store.

    Args:
        run: run folder.
        name: `best`, `last`, or a path, as requested.
        file: checkpoint file.
        store: folder of the store.
    """
    return CheckpointMark(os.path.relpath(run, store), name, mark(file))


def find_checkpoint(run: Path, name: str) -> Path | None:
    """Return the file of `best`, `last` or a path in a run folder; None if it does not exist.

    `best` is the best checkpoint kept by `checkpoint.save_top_k`, under any name, or `last` if nothing was monitored
    (training on all rows).
    """
    folder, facts = run / "checkpoints", run / "run.json"
    best = (read_json(facts).get("best") if facts.is_file() else None) or "best.ckpt"
    candidates = {"best": ["best.ckpt", best, *LAST], "last": LAST}.get(name)
    paths: Iterable[Path] = [folder / candidate for candidate in candidates or [Path(name).name]]
    paths = paths if candidates is not None else [Path(name), *paths]
    return next((path for path in paths if path.is_file()), None)


def check_checkpoint(made_with: CheckpointMark, store: Path) -> None:
    """Raise an error for predictions of another checkpoint than the run's current one.

    Not an error if the run has no checkpoints any more.

    Raises:
        ValueError: if the checkpoint of that name has changed, or is missing while the run has others.
    """
    run = Path(os.path.normpath(store / made_with.run))
    file = find_checkpoint(run, made_with.name)
    if file is None and not any((run / "checkpoints").glob("*.ckpt")):
        return
    if file is not None and mark(file, made_with.file).hash == made_with.file.hash:
        return
    what = f"{made_with.file.path}, which is missing" if file is None else f"another checkpoint than the current {file}"
    raise ValueError(
        f"{store} was predicted with {what}; its results are outdated. Predict again: python cli.py predict {run}"
        + ("" if made_with.name == "best" else f" --ckpt_path {made_with.name}")
    )


def folders_of(images: Mapping[str, Seen]) -> dict[str, int]:
    """Return the modification times of all folders of the files, up to one level above their common folder."""
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
    """Return whether all files and folders are unchanged, judging by sizes and times only."""

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
    """Read images and folders written by `write_seen`; empty if the file does not exist."""
    if not path.is_file():
        return {}, {}
    content = read_json(path)
    images = {name: Seen([FileMark(*file) for file in files], values) for name, (files, values) in content["images"]}
    return images, content["folders"]


def write_seen(path: Path, images: Mapping[str, Seen], folders: Mapping[str, int]) -> None:
    """Write the states of all images' inputs, and their `folders_of`, atomically."""
    write_json(path, {"folders": folders, "images": list(images.items())}, indent=None)
