"""The images of a table in COCO files."""

import warnings
from pathlib import Path

import pandas as pd

from annotations.coco import CocoFile, Id, read_coco_file
from datamodules.matching import match_images
from datamodules.targets.patterns import tables_by_file


def image_ids(coco: CocoFile, table: pd.DataFrame, root: Path, folders: bool, what: str) -> dict[Id, str]:
    """Return the `image_id` of each image of a file that is in a table, by its id in the file.

    Args:
        coco: the file.
        table: table of images.
        root: folder of the competition's files.
        folders: whether folders of file names are compared with those of images.
        what: name of the objects, for messages.

    Raises:
        ValueError: if no image of the file is in the table.

    Warns:
        UserWarning: if images are not listed in the file.
    """
    meant = match_images(coco.files.values(), table, root, f"{coco.path}, file_name", folders=folders)
    unlisted = sorted(set(table["image_id"]) - set(meant.values()))
    if unlisted and len(meant) == len(coco.files):  # else `match_images` warns
        few = ", ".join(map(repr, unlisted[:3]))
        warnings.warn(
            f"{coco.path}: {len(unlisted)} of {len(table)} images are not in its list (first: {few}); they are "
            f"treated as images without {what}",
            stacklevel=4,
        )
    return {number: meant[name] for number, name in coco.files.items() if name in meant}


def coco_files(
    root: Path, path: str, table: pd.DataFrame, folders: bool, what: str
) -> list[tuple[CocoFile, list[str], dict[Id, str]]]:
    """Read the file of all images, or those of each split.

    Args:
        root: folder of the competition's files.
        path: path below it, or a pattern (`datamodules.targets.patterns`).
        table: table of images.
        folders: as of `image_ids`.
        what: likewise.

    Returns:
        Each file with the image ids of its split, and those that it lists by their ids in the file.

    Raises:
        ValueError: as `CocoFile` and `image_ids`, or if two files have different categories.
    """
    found: list[tuple[CocoFile, list[str], dict[Id, str]]] = []
    for file, part in tables_by_file(root, path, table, "COCO file").items():
        coco = read_coco_file(file)
        if found and coco.names != found[0][0].names:
            first = found[0][0]
            raise ValueError(
                f"{file} has the categories {', '.join(coco.names)}, but {first.path} has {', '.join(first.names)}; "
                "make them equal"
            )
        found.append((coco, part["image_id"].tolist(), image_ids(coco, part, root, folders, what)))
    return found
