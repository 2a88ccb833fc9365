"""Files of each image, found by a pattern of their paths.

A pattern is a path under `data.root` in which

- `{image_id}`, and any other column of the table of images in braces, is replaced by the row's value: columns come from
  `data.metadata` and from the groups of `data.id_pattern`, so `data.id_pattern: "(?P<tile>.*)_sat"` and
  `masks/{tile}_mask.png` find `masks/7_mask.png` for the image `images/7_sat.jpg`;
- `{split}` is the name of one of the image's folders, the one for which a file exists: `masks/{split}/{image_id}.png`
  finds `masks/train/7.png` for the image `images/train/7.jpg`. A column `split` comes first;
- `*` is any text within a name, `**/` any folders, `?` any character and `[ab]` any of these. Images of the table never
  match such a pattern.
"""

import glob
import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from files.paths import confined

ID, SPLIT = "image_id", "split"
KEY = re.compile(r"\{(\w+)\}")
WILD = re.compile(r"(\*\*/|\*|\?|\[[^\]/]+\])")
TOKEN = re.compile(rf"(\{{\w+\}}|{WILD.pattern[1:-1]})")
EXPRESSIONS = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}


def one_file_each(
    root: Path, pattern: str, table: pd.DataFrame, what: str, there: Callable[[Path], bool] = Path.is_file
) -> dict[str, Path]:
    """Return the file of each image.

    Args:
        root: folder of the files.
        pattern: pattern of their paths under the root.
        table: table of images.
        what: name of such a file, for messages.
        there: whether a path is what is looked for.

    Raises:
        FileNotFoundError: if images have no file; names the first twenty.
        ValueError: if an image has two files, or the table lacks a column of the pattern.
    """
    found = located(root, pattern, table, there, what)
    missing = [image_id for image_id in table["image_id"] if image_id not in found]
    if missing:
        others = ", ".join(map(repr, missing[1:20])) + (", …" if len(missing) > 20 else "")
        raise FileNotFoundError(
            f"{len(missing)} images have no {what}; the first is {missing[0]!r}: file "
            f"{sought(root, pattern, table, missing[0])} does not exist. Check the target's pattern, or list the "
            "images that have one in data.train_ids" + (f"\n  and {others}" if others else "")
        )
    return found


def tables_by_file(root: Path, pattern: str, table: pd.DataFrame, what: str) -> dict[Path, pd.DataFrame]:
    """Return the images of each file that describes several: of one file all, of a pattern those of its split.

    Arguments and errors are those of `one_file_each`; a path without keys and wildcards is not looked up.
    """
    if _is_path(pattern):
        return {confined(root, pattern): table}
    files = table[ID].map(one_file_each(root, pattern, table, what))
    return {path: table[files == path] for path in dict.fromkeys(files)}


def any_file(root: Path, pattern: str) -> Path:
    """Return the first file that a pattern may find for some image; a path without keys and wildcards is itself.

    Raises:
        FileNotFoundError: if there is none.
    """
    path = confined(root, pattern)
    if _is_path(pattern):
        return path
    found = every_file(root, pattern)
    if not found:
        raise FileNotFoundError(f"{path}: no file has such a path; check the target's path")
    return found[0]


def tell_missing(
    table: pd.DataFrame,
    found: Mapping[str, Path],
    what: str,
    place: Callable[[str], str | Path],
    cure: str,
    required: bool = False,
    objects: str = "objects",
) -> None:
    """Warn about images without a file, which have no objects.

    Args:
        table: table of images.
        found: file of each image that has one.
        what: name of such a file, for messages.
        place: function that returns where the file of an image was looked for.
        cure: what to do if it is an error.
        required: whether every image needs a file.
        objects: name of what the files have.

    Raises:
        FileNotFoundError: if no image has a file, or one has none and it is `required`.
    """
    missing = [image_id for image_id in table[ID] if image_id not in found]
    if not missing:
        return
    text = f"{len(missing)} of {len(table)} images have no {what}; the first is {missing[0]!r}: no file "
    text += str(place(missing[0]))
    if required or len(missing) == len(table):
        raise FileNotFoundError(f"{text}. {cure}")
    warnings.warn(f"{text}; they are treated as images without {objects}", stacklevel=3)


def by_id_alone(pattern: str) -> bool:
    """Return whether a pattern gives the path of an image from its id."""
    return set(KEY.findall(pattern)) <= {ID} and WILD.search(pattern) is None


def located(
    root: Path, pattern: str, table: pd.DataFrame, there: Callable[[Path], bool] = Path.is_file, what: str = "file"
) -> dict[str, Path]:
    """Return the file of each image that has one; arguments and errors are those of `one_file_each`.

    The folders are listed once for all images.
    """
    root, keys = Path(root), _keys(pattern, list(table.columns))
    rows = table[[name for name in dict.fromkeys((ID, "path", *keys)) if name in table]].to_dict("records")
    find = _by_name if WILD.search(pattern) is None else _by_listing
    found = find(root, pattern, rows, there) if rows else {}
    twice = next((row[ID] for row in rows if len(found.get(row[ID], ())) > 1), None)
    if twice is not None:
        one, other = found[twice][:2]
        raise ValueError(f"image {twice!r} has {len(found[twice])} files for its {what}, expected 1: {one}, {other}")
    return {image_id: paths[0] for image_id, paths in found.items()}


def every_file(root: Path, pattern: str) -> list[Path]:
    """Return all files that match a pattern for any values of its keys, sorted."""
    confined(root, pattern)
    return sorted(path for path in Path(root).glob(_listing(pattern)) if path.is_file())


def expansions(root: Path, pattern: str, row: Mapping[str, Any], escape: bool = False) -> list[str]:
    """Return the pattern with the values of a row for its keys; several if `{split}` may be several folders.

    Args:
        root: folder of the files.
        pattern: pattern of paths.
        row: values by column.
        escape: whether values are escaped for `glob`.

    Raises:
        ValueError: if the row lacks a column.
    """
    keys, texts = _keys(pattern, list(row)), []
    for chosen in itertools.product(*(_values(root, key, row) for key in keys)):
        values = dict(zip(keys, map(glob.escape, chosen) if escape else chosen, strict=True))
        texts.append("".join(values[part] if place % 2 else part for place, part in enumerate(KEY.split(pattern))))
    return texts


def sought(root: Path, pattern: str, table: pd.DataFrame, image_id: str) -> str:
    """Return the path that was looked for, and what was tried for `{split}`, for messages about an image."""
    row = {str(name): value for name, value in table[table[ID] == image_id].to_dict("records")[0].items()}
    text = KEY.sub(lambda match: match[0] if match[1] == SPLIT and SPLIT not in row else str(row[match[1]]), pattern)
    folders = ", ".join(_values(root, SPLIT, row)) if "{split}" in text else ""
    return f"{Path(root) / text}" + (f" ({{split}}: any of {folders})" if folders else "")


def _is_path(pattern: str) -> bool:
    """Return whether a pattern has neither keys nor wildcards."""
    return KEY.search(pattern) is None and WILD.search(pattern) is None


def _keys(pattern: str, columns: list[str]) -> list[str]:
    """Return the keys of a pattern, each once.

    Raises:
        ValueError: if one is not a column; `{split}` may come from the path of the image instead.
    """
    keys = list(dict.fromkeys(KEY.findall(pattern)))
    lacking = [key for key in keys if key not in columns and (key != SPLIT or "path" not in columns)]
    if lacking:
        raise ValueError(
            f"{pattern!r}: the table of images has no column {lacking[0]!r}, only {columns}; columns come from "
            "data.id_pattern and data.metadata"
        )
    return keys


def _values(root: Path, key: str, row: Mapping[str, Any]) -> list[str]:
    """Return what may stand for a key: the row's value, or, for `{split}`, the folders of its image under the root."""
    if key in row:
        return [str(row[key])]
    folder = Path(row["path"]).parent
    return list(
        dict.fromkeys(reversed(folder.relative_to(root).parts if folder.is_relative_to(root) else folder.parts))
    )


def _by_name(root: Path, pattern: str, rows: list[dict], there: Callable[[Path], bool]) -> dict[str, list[Path]]:
    """Return the files of each image for a pattern without wildcards."""
    found: dict[str, list[Path]] = {}
    for row in rows:
        paths = [path for text in expansions(root, pattern, row) if there(path := confined(root, text))]
        if paths:
            found[row[ID]] = paths
    return found


def _by_listing(root: Path, pattern: str, rows: list[dict], there: Callable[[Path], bool]) -> dict[str, list[Path]]:
    """Return the files of each image for a pattern with wildcards, from one listing of the folders."""
    confined(root, pattern)
    images = {row.get("path") for row in rows}
    paths = [path for path in sorted(root.glob(_listing(pattern))) if str(path) not in images and there(path)]
    names = [path.relative_to(root).as_posix() for path in paths]
    alone = all(len(KEY.findall(part)) + len(WILD.findall(part)) < 2 for part in pattern.split("/"))
    found: dict[str, list[Path]] = {}
    for image_id, number in (_by_groups if alone else _by_parts)(root, pattern, rows, names):
        found.setdefault(image_id, []).append(paths[number])
    return found


def _listing(pattern: str) -> str:
    """Return a glob for the files of all images."""
    return re.sub(r"\*{2,}(?!/)", "*", KEY.sub("*", pattern))


def _by_groups(root: Path, pattern: str, rows: list[dict], names: list[str]) -> Iterator[tuple[str, int]]:
    """Yield image id and number of the name of each match, for at most one key or wildcard in a part of the path."""
    keys = list(dict.fromkeys(KEY.findall(pattern)))
    by_values: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        for values in itertools.product(*(_values(root, key, row) for key in keys)):
            by_values.setdefault(values, []).append(row[ID])
    expression = _as_expression(pattern, dict.fromkeys(keys, "[^/]+"))
    for number, name in enumerate(names):
        if match := expression.fullmatch(name):
            yield from ((image_id, number) for image_id in by_values.get(tuple(match[key] for key in keys), []))


def _by_parts(root: Path, pattern: str, rows: list[dict], names: list[str]) -> Iterator[tuple[str, int]]:
    """Yield image id and number of the name of each match: beside a wildcard, any text may be the value of a key."""
    keys = list(dict.fromkeys(KEY.findall(pattern)))
    by_value: dict[str, list[tuple[str, re.Pattern]]] = {}
    for row in rows:
        values = {key: _values(root, key, row) for key in keys}
        own = _as_expression(pattern, {key: "|".join(map(re.escape, texts)) for key, texts in values.items()})
        for value in values[ID if ID in keys else keys[0]] if keys else [""]:
            by_value.setdefault(value, []).append((row[ID], own))
    for number, name in enumerate(names):
        ends = range(1, len(name) + 1)
        parts = {name[first:last] for last in ends for first in range(last)} | {""}
        candidates = dict(pair for value in parts & by_value.keys() for pair in by_value[value])
        yield from ((image_id, number) for image_id, own in candidates.items() if own.fullmatch(name))


def _as_expression(pattern: str, values: Mapping[str, str]) -> re.Pattern:
    """Return a pattern as a regular expression with a group for each key, which matches its expression in `values`."""
    text, seen = "", set()
    for part in TOKEN.split(pattern):
        if key := KEY.fullmatch(part):
            text += f"(?P={key[1]})" if key[1] in seen else f"(?P<{key[1]}>{values[key[1]]})"
            seen.add(key[1])
        elif WILD.fullmatch(part):
            text += EXPRESSIONS.get(part) or part.replace("[!", "[^", 1)
        else:
            text += re.escape(part)
    return re.compile(text)
