"""Matching of image names in label files to the images of the table."""

import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import pandas as pd

ENDING = re.compile(r"(\.nii|\.ome)?\.(?=\d*[A-Za-z])[A-Za-z0-9]{2,5}$", re.IGNORECASE)


class Found(NamedTuple):
    """A candidate image for a name, and how the name differs from it.

    Attributes:
        image_id: image id.
        other_ending: whether the name and the image file have different endings.
        other_folder: whether the name has a folder that is not in the image's path.
    """

    image_id: str
    other_ending: bool = False
    other_folder: bool = False


def match_images(
    names: Iterable[str],
    table: pd.DataFrame,
    root: Path | str,
    where: str,
    every: bool = False,
    others: Literal["warn", "ignore", "raise"] = "warn",
    folders: bool = True,
) -> dict[str, str]:
    """Match each name of a file to an image.

    A name is an image id or a path: with or without ending and folders, with slashes or backslashes, absolute or
    relative to `data.root`, or a URL with `%20`. Folders are compared as far as both paths have some below the root, so
    `val/0001.jpg` does not match `train/0001.jpg`.

    Args:
        names: names as written in the file.
        table: table of images: `image_id`, and `path` if known.
        root: folder of the competition's files.
        where: file and column of the names, for messages.
        every: whether each image must have a name.
        others: handling of names that match no image: warn, ignore or raise.
        folders: whether folders are compared; False compares file names only.

    Returns:
        `image_id` by name, for the names that match an image.

    Raises:
        ValueError: if no name matches an image, an image has no name (`every`), a name matches no image (`others`) or
            two images, or two names match one image.

    Warns:
        UserWarning: if names match no image (`others`), or match only without their backslashes, endings or folders.
    """
    names, images = list(dict.fromkeys(names)), Images(table, root, folders)
    if len(names) == len(images.known) and all(name in images.known for name in names):
        return dict(zip(names, names, strict=True))
    found = {name: image for name in names if (image := images.find(name, where)) is not None}
    result = {name: image.image_id for name, image in _one_each(found, where).items()}
    lost = [name for name in names if name not in result]
    named = set(result.values())
    absent = [image_id for image_id in images.ids if image_id not in named]
    if every and absent:
        hint = images.hint(lost, absent)
        raise ValueError(
            f"{where} has no row for {len(absent)} of {len(images.ids)} images; the first is {_few(absent)}{hint}"
        )
    if not result and images.ids:
        hint = images.hint(lost, images.ids)
        what = f"none of its {len(names)} names matches an image: {_few(names)}" if names else "it has no rows"
        raise ValueError(f"{where}: {what}; the images are {_few(images.ids)}{hint}")
    if lost and others != "ignore":
        text = f"{where}: {len(lost)} of {len(names)} names match no image: {_few(lost)}"
        text += f"; {len(absent)} of {len(images.ids)} images have no name" if absent else ""
        text += images.hint(lost, absent)
        if others == "raise":
            raise ValueError(text)
        warnings.warn(text, stacklevel=3)
    _warn_of_differences(found, result, where)
    return result


def matched(
    names: pd.Series,
    table: pd.DataFrame,
    root: Path | str,
    where: str,
    every: bool = False,
    others: Literal["warn", "ignore", "raise"] = "warn",
    folders: bool = True,
) -> pd.Series:
    """Return the `image_id` of each row of a column of names, NaN for no match; otherwise like `match_images`."""
    return names.map(match_images(names.unique(), table, root, where, every, others, folders))


def _one_each(found: dict[str, Found], where: str) -> dict[str, Found]:
    """Drop each name if another name matches its image better."""
    by_image: dict[str, list[str]] = {}
    for name, image in found.items():
        by_image.setdefault(image.image_id, []).append(name)
    for image_id, names in by_image.items():
        if len(names) == 1:
            continue
        fewest = min(found[name][1:] for name in names)
        best = [name for name in names if found[name][1:] == fewest]
        if len(best) > 1:
            raise ValueError(
                f"{where}: {best[0]!r} and {best[1]!r} both match the image {image_id!r}; use only one of them"
            )
        for name in set(names) - set(best):
            del found[name]
    return found


def _warn_of_differences(found: dict[str, Found], result: dict[str, str], where: str) -> None:
    """Warn about names that match only without their backslashes, endings or folders."""
    endings = [name for name in result if found[name].other_ending]
    unknown = [name for name in result if found[name].other_folder]
    slashes = [name for name in result if "\\" in name]
    for some, what in (
        (slashes, "have backslashes, which are read as slashes of a path"),
        (endings, "have another ending than the image file"),
        (unknown, "have a folder that is not in the image's path; they are matched by file name"),
    ):
        if some:
            warnings.warn(f"{where}: {len(some)} of {len(result)} names {what}: {_few(some)}", stacklevel=4)


def _few(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:3]) + (", …" if len(names) > 3 else "")


class Images:
    """The images of a table, searchable by name.

    Args:
        table: table with `image_id`, and `path` if known.
        root: folder of the competition's files.
        folders: whether folders are compared.
    """

    def __init__(self, table: pd.DataFrame, root: Path | str, folders: bool = True) -> None:
        self.ids = table["image_id"].astype(str).tolist()
        self.known = dict.fromkeys(self.ids)
        self.paths = table["path"].astype(str).tolist() if "path" in table else self.ids
        self.root, self.folders, self.folder = Path(root), folders, Path(root).resolve().name
        self._as_written: dict[str, str] | None = None  # by path, which most names are if not ids
        self._index: dict[str, list[int]] | None = None  # built for the first name that is neither
        self._parts: list[tuple[list[str], str]] = []

    def find(self, name: str, where: str) -> Found | None:
        """Return the image of a name, or None.

        Raises:
            ValueError: if two images match.
        """
        if name in self.known:
            return Found(name)
        if self._as_written is None:
            self._as_written = self._paths()
        if name in self._as_written:
            return Found(self._as_written[name])
        self._build()
        plain = urlsplit(name).path if "://" in name else name
        for text in dict.fromkeys((plain, unquote(plain))):
            found = self._find(text)
            if len(found) > 1:
                raise ValueError(
                    f"{where}: {name!r} matches several images: {_few([image.image_id for image in found])}; use their "
                    "ids, or add their folders"
                )
            if found:
                return found[0]
        return None

    def _paths(self) -> dict[str, str]:
        """Return the images by their paths below the root, and by their file names if these are unique."""
        paths = [path.removeprefix(f"{self.root}/") for path in self.paths]
        files = [path.rpartition("/")[2] for path in paths]
        found = dict(zip(paths, self.ids, strict=True))
        return found if len(set(files)) < len(files) else found | dict(zip(files, self.ids, strict=True))

    def _build(self) -> None:
        if self._index is not None:
            return
        self._index, below = {}, parts_of(self.root / "file")[0]
        for number, (image_id, path) in enumerate(zip(self.ids, self.paths, strict=True)):
            folders, file = parts_of(path)
            folders = folders[len(below) :] if folders[: len(below)] == below else folders
            self._parts.append((folders, file))
            names = {parts_of(image_id)[1], *([] if "{" in file else [file, ENDING.sub("", file)])}
            for key in names:
                for place in {key, f"{folders[-1] if folders else ''}/{key}"}:
                    self._index.setdefault(place, []).append(number)

    def _find(self, text: str) -> list[Found]:
        folders, file = parts_of(text)
        folders = folders if self.folders else []
        for key in dict.fromkeys((file, ENDING.sub("", file))):
            places = [key] if not folders else [f"{folders[-1]}/{key}", f"/{key}"]
            numbers = dict.fromkeys(number for place in places for number in self._index.get(place, []))
            found = [one for number in numbers if (one := self._judge(number, folders, file)) is not None]
            if found:
                return found
        return []

    def _judge(self, number: int, folders: list[str], file: str) -> Found | None:
        """Return the image, or None if its folders differ from those of the name."""
        own, own_file = self._parts[number]
        pairs = list(zip(reversed(folders), reversed(own), strict=False))
        if any(one != other for one, other in pairs):
            return None
        endings = [match[0].lower() for name in (file, own_file) if (match := ENDING.search(name))]
        return Found(
            self.ids[number],
            other_ending=len(set(endings)) > 1 and file != self.ids[number],
            other_folder=bool(folders) and not pairs and folders[-1] != self.folder,
        )

    def hint(self, names: Sequence[str], ids: Sequence[str]) -> str:
        """Return a hint on how to make names match, as the end of a message; empty if none is found."""
        names = [ENDING.sub("", parts_of(name)[1]) for name in names[:1000]]
        wanted = set(ids)
        if self.folders and wanted & set(names):
            return ". Only their folders differ; file names alone would match (`folders: false` of the target)"
        for what, change in (
            ("with their leading zeros; spreadsheets drop them in numeric columns", lambda text: text.lstrip("0")),
            ("without the decimal point added by a conversion to numbers", lambda text: re.sub(r"\.0$", "", text)),
            ("except for upper and lower case", str.lower),
            ("except for spaces, dashes and underscores", lambda text: re.sub(r"[ _-]", "", text)),
        ):
            if ({change(name) for name in names} & {change(image_id) for image_id in wanted}) - {""}:
                return f". They would match {what}"
        for name in names[:10]:
            for image_id in list(wanted)[:20000]:
                for long, short, verb in ((name, image_id, "without"), (image_id, name, "with")):
                    for rest, place in ((long.removesuffix(short), "before"), (long.removeprefix(short), "after")):
                        change = _affix(rest, verb == "with", place == "before")
                        if short and rest != long and sum(change(one) in wanted for one in names) > len(names) / 2:
                            return f". They would match {verb} {rest!r} {place} them"
        return ""


def _affix(text: str, add: bool, before: bool) -> Callable[[str], str]:
    """Return a function that adds a text before or after a name, or removes it."""
    if add:
        return lambda name: text + name if before else name + text
    return lambda name: name.removeprefix(text) if before else name.removesuffix(text)


def parts_of(path: Path | str) -> tuple[list[str], str]:
    """Split a path of any system into folders and file, without `.` and `..`, with normalised accents."""
    given = _plain(str(path)).replace("\\", "/").split("/")
    parts: list[str] = []
    for part in given:
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return (parts[:-1], parts[-1]) if parts else ([], "")


def _plain(text: str) -> str:
    """Normalise accents: macOS writes é as two characters."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
