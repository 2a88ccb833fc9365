"""Labels from files of annotated objects: COCO, labelme, YOLO, CVAT, Pascal VOC."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.row import Row
from datamodules.table import ID, rows_of
from datamodules.targets import Boxes, CocoMasks, Cvat, LabelMe, Yolo
from datamodules.targets.objects import Objects, Output
from exploration.layouts.found import Entry, LabelsFound, Task, evenly, few
from exploration.layouts.images import ImagesFound, under
from files.texts import read_json

TARGETS = "datamodules.targets"
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

    def make(output: Output) -> Cvat:
        return Cvat(path, output)

    drawn = task is None and not _all_boxes(make, images)
    return _objects("Cvat", {"path": path}, make, images, task or ("classes" if drawn else "boxes"))


def from_labelme(pattern: str, images: ImagesFound, task: Task | None) -> LabelsFound:
    """Shapes of labelme: class maps if any has an area of its own, else boxes."""
    if ID not in pattern:
        pattern = f"{Path(pattern).as_posix()}/{ID}.json" if Path(pattern).is_dir() else pattern.replace("*", ID, 1)
    path = under(images.root, pattern)

    def make(output: Output) -> LabelMe:
        return LabelMe(path, output)

    drawn = task is None and not _all_boxes(make, images)
    return _objects("LabelMe", {"pattern": path}, make, images, task or ("classes" if drawn else "boxes"))


def from_voc(pattern: str, images: ImagesFound, task: Task | None) -> LabelsFound:
    """Boxes of Pascal VOC's XML files."""
    if task not in (None, "boxes"):
        raise ValueError(f"--task {task}: XML files of Pascal VOC have boxes only; for its PNG files use --masks")
    if ID not in pattern:
        pattern = f"{Path(pattern).as_posix()}/{ID}.xml" if Path(pattern).is_dir() else pattern.replace("*", ID, 1)
    path = under(images.root, pattern)
    names = _voc_names(path, images)
    target = Boxes(path, "voc", classes=names)
    target.prepare(images.table, images.root)
    arguments = {"path": path, "kind": "voc", "classes": names}
    return _boxes(Entry(f"{TARGETS}.Boxes", arguments), names, _count(target, images))


def _voc_names(path: str, images: ImagesFound) -> list[str]:
    from datamodules.targets.boxes_files import read_voc

    files = {image_id: images.root / path.replace(ID, image_id) for image_id in images.table["image_id"]}
    return sorted(set(read_voc(files).names))


def _default(drawn: bool) -> Task:
    return "instances" if drawn else "boxes"


def _objects(kind: str, arguments: dict[str, Any], make: Make, images: ImagesFound, task: Task) -> LabelsFound:
    """Entries of one file that serves several targets."""
    path = f"{TARGETS}.{kind}"
    names = make("boxes").file_classes(images.root)
    target = make("boxes" if task == "boxes" else "instances" if task == "instances" else "classes")
    target.prepare(images.table, images.root)
    if task == "boxes":
        return _boxes(Entry(path, arguments | {"output": "boxes"}), names, _count(target, images))
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


def _boxes(entry: Entry, names: list[str], count: int) -> LabelsFound:
    return LabelsFound(
        "boxes",
        [entry],
        names,
        Entry("submissions.Coco", {"classes": names}),
        found=[f"{len(names)} classes: {few(names)}; {count} boxes in the first {LOOKED_AT} images at most"],
    )


def _count(target: Objects | Boxes, images: ImagesFound) -> int:
    sizes = {row.image_id: None for row in evenly(rows_of(images.table), LOOKED_AT)}
    rows = [row for row in rows_of(images.table) if row.image_id in sizes]
    return sum(len(target.read(row, _size(row))["boxes"]) for row in rows)


def _size(row: Row) -> tuple[int, int]:
    from datamodules.readers.images import picture_size

    height, width = picture_size(row.path)
    return height, width


def _has_polygons(target: Objects, images: ImagesFound) -> bool:
    target.prepare(images.table, images.root)
    rows = evenly(rows_of(images.table), LOOKED_AT)
    return any(len(ring) != 4 for row in rows for shape in target.objects(row, _size(row)) for ring in shape.rings)


def _all_boxes(make: Make, images: ImagesFound) -> bool:
    """Whether every object of some images fills its bounding box."""
    boxes, areas = make("boxes"), make("instances")
    for target in (boxes, areas):
        target.prepare(images.table, images.root)
    for row in evenly(rows_of(images.table), LOOKED_AT):
        size = _size(row)
        for shape in areas.objects(row, size):
            if not _is_box(shape.rings):
                return False
    return True


def _is_box(rings: tuple[np.ndarray, ...]) -> bool:
    """Whether an outline is an upright rectangle."""
    return len(rings) == 1 and len(rings[0]) in (4, 5) and all(len(np.unique(side)) == 2 for side in rings[0].T)
