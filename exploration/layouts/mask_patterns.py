"""The pattern of mask files that a glob of them stands for."""

import glob
import re
from collections import Counter
from pathlib import Path

import pandas as pd

from datamodules.table import ID, find_images
from datamodules.targets.patterns import SPLIT, located
from exploration.layouts.found import evenly
from exploration.layouts.images import TRAIN, ImagesFound, as_glob, under

SAMPLE = 6  # images from which patterns are drawn
SPLIT_KEY = "{" + SPLIT + "}"


def mask_pattern(masks: str, images: ImagesFound) -> tuple[str, str | None]:
    """Find the pattern that gives the mask files of each image.

    Args:
        masks: pattern with `{image_id}`, glob or folder of the masks, as given on the command line.
        images: images of the data set.

    Returns:
        The pattern under the root, and a new pattern of the images if their ids must be taken from another part of
        their names (`7_sat.jpg` and `7_mask.png`).

    Raises:
        FileNotFoundError: no mask file matches.
        ValueError: mask files that do not contain the ids of the images.
    """
    if "{" in masks:
        return under(images.root, masks), None
    given = under(images.root, as_glob(masks))
    files = sorted(
        Path(path).relative_to(images.root).as_posix()
        for path in glob.glob((images.root / given).as_posix(), recursive=True)
    )
    if not files:
        raise FileNotFoundError(f"no masks: nothing matches {masks!r}; check --masks")
    best = _best(files, given, images.table, images.root)
    if best is not None:
        return best, None
    shorter = common_part(images)
    if shorter is not None:
        best = _best(files, given, find_images(images.root, shorter), images.root)
        if best is not None:
            return best, shorter
    names, ids = [Path(file).name for file in files[:3]], images.table["image_id"].tolist()[:3]
    raise ValueError(
        f"--masks {masks!r} matches {len(files)} files ({', '.join(names)}, …), but none is named after an image "
        f"({', '.join(ids)}, …); give a pattern with {ID}: 'masks/{ID}_mask.png'"
    )


def _best(files: list[str], given: str, table: pd.DataFrame, root: Path) -> str | None:
    """The pattern that finds masks for most images; of those the one with the fewest wildcards."""
    drawn: Counter[str] = Counter()
    for row in evenly(table.to_dict("records"), SAMPLE):
        folders = set(Path(row["path"]).relative_to(root).parts[:-1])
        found = {_drawn(file, given, row["image_id"], folders) for file in files if row["image_id"] in file}
        drawn.update(pattern for pattern in found if pattern is not None)
    scored = []
    for pattern, _ in drawn.most_common(12):
        many = several(pattern)
        count = len(files_of_images(pattern, table, root)) if many else len(_one_each(pattern, table, root))
        scored.append((count, -pattern.count("*"), -len(pattern), pattern))
    best = max(scored, default=None)
    return best[-1] if best is not None and 2 * best[0] > len(table) else None


def _drawn(file: str, given: str, image_id: str, folders: set[str]) -> str | None:
    """A file of an image as a pattern: its id and split become keys, other text of wildcards stays a wildcard."""
    parts, wild = Path(file).parts, Path(given).parts
    if "**" in wild:
        begin = wild.index("**")
        wild = (*wild[:begin], *("*",) * (len(parts) - begin - 1), wild[-1])
    result, named = [], False
    for part, pattern in zip(parts, wild, strict=True):
        if "*" not in pattern and "?" not in pattern:
            result.append(part)
        elif _names(part, image_id):
            result.append(part.replace(image_id, ID, 1))
            named = True
        elif part in folders:
            result.append(SPLIT_KEY)
        else:
            result.append(pattern)
    return "/".join(result) if named else None


def _names(part: str, image_id: str) -> bool:
    """Whether a name contains the id as a whole: `10` is not in `110.png`."""
    return re.search(rf"(?<![0-9A-Za-z]){re.escape(image_id)}(?![0-9])", part) is not None


def several(pattern: str) -> bool:
    """Whether a pattern may find several files of an image."""
    return "*" in Path(pattern).name


def _one_each(pattern: str, table: pd.DataFrame, root: Path) -> dict[str, Path]:
    try:
        return located(root, pattern, table)
    except ValueError:  # two files of an image
        return {}


def files_of_images(pattern: str, table: pd.DataFrame, root: Path) -> dict[str, list[Path]]:
    """Files of each image that has some, of a pattern with a wildcard."""
    found = {}
    for row in table.to_dict("records"):
        text = pattern.replace(ID, glob.escape(row["image_id"]))
        own = [Path(path) for path in sorted(glob.glob((root / text.replace(SPLIT_KEY, "*")).as_posix()))]
        if own:
            found[row["image_id"]] = own
    return found


def common_part(images: ImagesFound) -> str | None:
    """The pattern of the images with `{image_id}` for the part of their names that differs; None if all of it does."""
    stems = images.table["image_id"].tolist()
    if ID in images.pattern or len(stems) < 2:
        return None
    before = _shared(stems)
    after = _shared([stem[::-1] for stem in stems])[::-1]
    before = re.sub(r"[0-9A-Za-z]+$", "", before)
    after = re.sub(r"^[0-9A-Za-z]+", "", after)
    if not before + after:
        return None
    path = Path(images.pattern)
    return (path.parent / f"{before}{ID}{after}{path.suffix}").as_posix()


def _shared(texts: list[str]) -> str:
    low, high = min(texts), max(texts)
    count = next((n for n, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))
    return low[:count]


def for_all_splits(pattern: str) -> str:
    """The pattern with `{split}` for a folder named after `train`."""
    parts = [SPLIT_KEY if TRAIN.fullmatch(part) else part for part in Path(pattern).parts]
    return "/".join(parts)
