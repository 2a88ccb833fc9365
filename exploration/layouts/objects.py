"""Labels from files of annotated objects: COCO, labelme, YOLO, CVAT, Pascal VOC."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.readers.images import picture_size
from datamodules.row import Row
from datamodules.table import ID, rows_of
from datamodules.targets import Boxes, CocoMasks, Cvat, LabelMe, Yolo
from datamodules.targets.boxes_files import read_voc
from datamodules.targets.objects import Objects, Output
from exploration.layouts.found import TARGETS, Entry, LabelsFound, Task, evenly, few
from exploration.layouts.images import ImagesFound, under
from files.texts import read_json

LOOKED_AT = 60  # images whose objects are looked at
Make = Callable[[Output], Objects]


def from_coco(file: str, images: ImagesFound, task: Task | None) -> LabelsFound:
    """Boxes or masks of a COCO file."""
    path = under(images.root, file)
    content = read_json(file)
    kinds = sorted(content.get("categories", []), key=lambda kind: kind["id"]) if isinstance(content, dict) else []
    drawn = isinstance(content, dict) and any(one.get("segmentation") for one in content.get("annotations", []))
    found = _objects(
        "CocoMasks", {"path": path}, lambda output: CocoMasks(path, output), images, task or _default(drawn)
    )
    ids = [kind["id"] for kind in kinds]
    if found.submission is not None and found.submission.class_path == "submissions.Coco":
        numbered = {} if ids == list(range(1, len(ids) + 1)) else {"category_ids": ids}
        found.submission.init_args |= {"classes": [kind["name"] for kind in kinds]} | numbered
    return found


def from_yolo(file: str, images: ImagesFound, task: Task | None) -> LabelsFound:
    """Boxes or polygons of YOLO label files; `file` is the `data.yaml` or a text of class names."""
    path = under(images.root, file)

    def make(output: Output) -> Yolo:
        return Yolo(output, path)

    drawn = task is None and _has_polygons(make("boxes"), images)
    return _objects("Yolo", {"data": path}, make, images, task or _default(drawn))


def from_cvat(file: str, images: ImagesFound, task: Task | None) -> LabelsFound:
    """Objects of the XML of CVAT: class maps if any has an area of its own, else boxes."""
    path = under(images.root, file)
    return _shapes("Cvat", {"path": path}, lambda output: Cvat(path, output), images, task)


def from_labelme(pattern: str, images: ImagesFound, task: Task | None) -> LabelsFound:
    """Shapes of labelme: class maps if any has an area of its own, else boxes."""
    path = under(images.root, _with_id(pattern, ".json"))
    return _shapes("LabelMe", {"pattern": path}, lambda output: LabelMe(path, output), images, task)


def from_voc(pattern: str, images: ImagesFound, task: Task | None) -> LabelsFound:
    """Boxes of Pascal VOC's XML files."""
    if task not in (None, "boxes"):
        raise ValueError(f"--task {task}: XML files of Pascal VOC have boxes only; for its PNG files use --masks")
    path = under(images.root, _with_id(pattern, ".xml"))
    names = _voc_names(path, images)
    target = Boxes(path, "voc", classes=names)
    target.prepare(images.table, images.root)
    arguments = {"path": path, "kind": "voc", "classes": names}
    return _boxes(Entry(f"{TARGETS}.Boxes", arguments), names, target, images)


def _with_id(pattern: str, ending: str) -> str:
    """A pattern with `{image_id}` from one with `*` or a folder."""
    if ID in pattern:
        return pattern
    return f"{Path(pattern).as_posix()}/{ID}{ending}" if Path(pattern).is_dir() else pattern.replace("*", ID, 1)


def _voc_names(path: str, images: ImagesFound) -> list[str]:
    files = {image_id: images.root / path.replace(ID, image_id) for image_id in images.table["image_id"]}
    return sorted(set(read_voc(files).names))


def _default(drawn: bool) -> Task:
    return "instances" if drawn else "boxes"


def _shapes(kind: str, arguments: dict[str, Any], make: Make, images: ImagesFound, task: Task | None) -> LabelsFound:
    """Entries of a file of shapes: class maps if any has an area of its own, else boxes."""
    if task is None:
        task = "boxes" if _all_boxes(make("instances"), images) else "classes"
    return _objects(kind, arguments, make, images, task)


def _objects(kind: str, arguments: dict[str, Any], make: Make, images: ImagesFound, task: Task) -> LabelsFound:
    """Entries of one file that serves several targets."""
    path = f"{TARGETS}.{kind}"
    names = make("boxes").file_classes(images.root)
    target = make("boxes" if task == "boxes" else "instances" if task == "instances" else "classes")
    target.prepare(images.table, images.root)
    if task == "boxes":
        return _boxes(Entry(path, arguments | {"output": "boxes"}), names, target, images)
    found = [f"{len(names)} classes: {few(names)}"]
    if task == "classes":
        return LabelsFound(
            "classes",
            [Entry(path, arguments | {"output": "classes"})],
            ["background", *names],
            Entry("submissions.ClassImages"),
            found=found,
            assumed=["the class of each pixel is learnt; for objects: --task instances, for boxes: --task boxes"],
        )
    if task not in ("instances", "classed_instances"):
        raise ValueError(f"--task {task} is not for files of objects; use boxes, instances or classes")
    targets = [Entry(path, arguments | {"output": "instances"})]
    if len(names) > 1:
        targets.append(Entry(path, arguments | {"output": "classes", "name": "kind"}))
    return LabelsFound(
        "classed_instances" if len(names) > 1 else "instances",
        [*targets, Entry(f"{TARGETS}.TouchingBorders")],
        names,
        Entry("submissions.Coco", {"kind": "masks"}),
        found=found,
        assumed=["objects are learnt; for boxes: --task boxes, for the class of each pixel: --task classes"],
    )


def _boxes(entry: Entry, names: list[str], target: Objects | Boxes, images: ImagesFound) -> LabelsFound:
    rows = evenly(rows_of(images.table), LOOKED_AT)
    count = sum(len(target.read(row, _size(row))["boxes"]) for row in rows)
    return LabelsFound(
        "boxes",
        [entry],
        names,
        Entry("submissions.Coco", {"classes": names}),
        found=[f"{len(names)} classes: {few(names)}; {count} boxes in {len(rows)} images that were looked at"],
    )


def _size(row: Row) -> tuple[int, int]:
    height, width = picture_size(row.path)
    return height, width


def _has_polygons(target: Objects, images: ImagesFound) -> bool:
    target.prepare(images.table, images.root)
    rows = evenly(rows_of(images.table), LOOKED_AT)
    shapes = (shape for row in rows for shape in target.objects(row, _size(row)))
    return any(len(ring) != 4 for shape in shapes for ring in shape.rings)


def _all_boxes(target: Objects, images: ImagesFound) -> bool:
    """Whether every object of some images fills its bounding box."""
    target.prepare(images.table, images.root)
    rows = evenly(rows_of(images.table), LOOKED_AT)
    return all(_is_box(shape.rings) for row in rows for shape in target.objects(row, _size(row)))


def _is_box(rings: tuple[np.ndarray, ...]) -> bool:
    """Whether an outline is an upright rectangle."""
    return len(rings) == 1 and len(rings[0]) in (4, 5) and all(len(np.unique(side)) == 2 for side in rings[0].T)
