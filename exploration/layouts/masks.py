"""Labels from mask files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datamodules.table import find_images
from datamodules.targets.patterns import located
from exploration.layouts.found import TARGETS, Entry, LabelsFound, Task, few
from exploration.layouts.images import ImagesFound
from exploration.layouts.mask_patterns import SPLIT_KEY, files_of_images, for_all_splits, mask_pattern, several
from exploration.layouts.mask_values import MaskValues, class_file, colour_list, mask_values

VOID_NAMES = ("void", "unlabelled", "unlabeled", "ignore", "ignored")


def from_masks(masks: str, images: ImagesFound, task: Task | None) -> LabelsFound:
    """Find out what mask files hold.

    Args:
        masks: pattern, glob or folder, as given on the command line.
        images: images of the data set.
        task: what to learn from them, or None to decide by their values.

    Raises:
        FileNotFoundError: no masks, or images without one.
        ValueError: masks that are not named after images, or whose values mean nothing.
    """
    pattern, shorter = mask_pattern(masks, images)
    table = images.table if shorter is None else find_images(images.root, shorter)
    if several(pattern):
        found = _folders(pattern, len(files_of_images(pattern, table, images.root)), len(table))
    else:
        files = located(images.root, pattern, table, what="mask")
        found = _files(pattern, list(files.values()), images.root, task)
        found.found.insert(0, f"{len(files)} masks for {len(table)} images: {pattern}")
    if shorter is not None:
        found.images = shorter
        found.assumed.append(f"ids are the part of image names that differs: {shorter}")
    general = for_all_splits(pattern)
    if images.val is not None and SPLIT_KEY in general and _complete(general, images, images.val):
        found.split = True
        for entry in found.targets:
            if entry.init_args.get("pattern") == pattern:
                entry.init_args["pattern"] = general
    return found


def _complete(pattern: str, images: ImagesFound, other: str) -> bool:
    """Whether all images of a split have masks."""
    table = find_images(images.root, other)
    return len(located(images.root, pattern, table)) == len(table)


def _folders(pattern: str, having: int, total: int) -> LabelsFound:
    if having < total:
        raise FileNotFoundError(f"{total - having} of {total} images have no file that matches {pattern!r}")
    return LabelsFound(
        "instances",
        [Entry(f"{TARGETS}.InstanceFolders", {"pattern": pattern}), Entry(f"{TARGETS}.TouchingBorders")],
        [],
        Entry("submissions.InstanceRunLengths"),
        found=[f"a folder of masks for each of {total} images, a file per object: {pattern}"],
    )


def _files(pattern: str, files: list[Path], root: Path, task: Task | None) -> LabelsFound:
    values = mask_values(files)
    kind = {"mask": "binary", "classes": "classes", "instances": "instances"}.get(task or "", values.kind)
    if values.kind == "colours":
        kind = "colours"
    make = {"binary": _binary, "classes": _classes, "instances": _instances, "colours": _colours}[kind]
    found = make(pattern, values, root)
    found.found.append(f"{values.why}, in {values.read} of {len(files)} files")
    return found


def _binary(pattern: str, values: MaskValues, root: Path) -> LabelsFound:
    ignore = {"ignore": 255} if values.void else {}
    return LabelsFound(
        "mask", [Entry(f"{TARGETS}.MaskFiles", {"pattern": pattern} | ignore)], [], Entry("submissions.RunLengths")
    )


def _instances(pattern: str, values: MaskValues, root: Path) -> LabelsFound:
    return LabelsFound(
        "instances",
        [Entry(f"{TARGETS}.LabelImages", {"pattern": pattern}), Entry(f"{TARGETS}.TouchingBorders")],
        [],
        Entry("submissions.InstanceImages", {} if max(values.values) < 65536 else {"ending": ".tif", "bits": 32}),
        assumed=["values are object numbers; if they are classes: --task classes"],
    )


def _classes(pattern: str, values: MaskValues, root: Path) -> LabelsFound:
    count = len(values.listed) + 1 if values.listed else max(v for v in values.values if not values.void or v < 255) + 1
    names = class_file(root, count)
    found = LabelsFound("classes", [], names or _numbered(range(count)), None)
    arguments: dict[str, Any] = {"pattern": pattern}
    if values.listed:
        arguments["values"] = values.listed
        found.assumed.append(f"values {few(values.listed)} are classes 1 to {count - 1}; others are class 0")
        if values.void:
            arguments["ignore"] = 255
    if names is None:
        found.assumed.append("classes are named after their numbers; write their names in data.classes")
    if values.void:
        found.assumed.append("value 255 is void: not trained on, not scored")
    submitted = {"values": [0, *values.listed]} if values.listed and max(values.listed) < 256 else {}
    found.targets = [Entry(f"{TARGETS}.MaskFiles", arguments)]
    found.submission = Entry("submissions.ClassImages", submitted | ({"ignore": 255} if values.void else {}))
    found.data = {"classes": found.classes}
    return found


def _numbered(numbers: Iterable[int]) -> list[str]:
    return ["background" if number == 0 else f"class_{number}" for number in numbers]


def _colours(pattern: str, values: MaskValues, root: Path) -> LabelsFound:
    # Without a list black comes first, then the most frequent: class 0 is what metrics call empty.
    order = sorted(values.values, key=lambda colour: (colour != 0, -values.counts[colour]))
    listed = colour_list(root, values.values) or {}
    known = {colour for own in listed.values() for colour in own}
    unnamed = [colour for colour in order if colour not in known]
    named = listed | {f"colour_{colour:06x}": [colour] for colour in unnamed}
    void = [name for name in listed if name.lower() in VOID_NAMES]
    colours = {name: [_sides(colour) for colour in own] for name, own in named.items()}
    plain = {name: own[0] if len(own) == 1 else own for name, own in colours.items()}
    classes = [name for name in named if name not in void]
    arguments: dict[str, Any] = {"pattern": pattern, "colours": plain}
    submission: dict[str, Any] = {"kind": "rgb", "colours": {name: colours[name][0] for name in classes}}
    if void:
        arguments["void"] = void
        submission["ignore"] = colours[void[0]][0]
    found = LabelsFound(
        "classes",
        [Entry(f"{TARGETS}.ColourMasks", arguments)],
        classes,
        Entry("submissions.ClassImages", submission),
        found=[f"{len(values.values)} colours: {few(classes)}" + (f"; void: {few(void)}" if void else "")],
    )
    if unnamed:
        found.assumed.append("colours without a name are classes named after them; write the names in `colours`")
    return found


def _sides(colour: int) -> list[int]:
    """Red, green and blue of a packed colour."""
    return [colour >> 16, colour >> 8 & 255, colour & 255]
