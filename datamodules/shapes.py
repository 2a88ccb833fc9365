"""Small generated data sets of coloured shapes in three classes, in the layouts of class masks, COCO and YOLO."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from datamodules.quickstart import Generator
from files.atomic import atomic_folder
from files.png import write_png
from files.writing import write_json, write_text, write_yaml
from masks import coco_rle
from masks.run_length_masks import area, runs_of
from masks.void import VOID

CLASSES = ["disc", "square", "triangle"]
COLOURS = np.array([[205, 80, 60], [70, 150, 90], [80, 100, 200]])


class Drawing(NamedTuple):
    """An image of shapes.

    Attributes:
        image: `(H, W, 3)` uint8.
        labels: ids of the shapes `(H, W)` int32, 0 for background.
        kinds: class number of each shape, 0 … 2, in the order of ids.
    """

    image: np.ndarray
    labels: np.ndarray
    kinds: list[int]

    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Corner and size of each shape: x, y, width, height."""
        found = []
        for number in range(1, len(self.kinds) + 1):
            x, y, width, height = cv2.boundingRect((self.labels == number).astype(np.uint8))
            found.append((x, y, width, height))
        return found

    def classes(self) -> np.ndarray:
        """Class of each pixel `(H, W)` uint8: 0 for background, 1 … 3; 255 (void) along the outlines."""
        numbers = np.array([0, *(kind + 1 for kind in self.kinds)], np.uint8)[self.labels]
        kernel = np.ones((3, 3), np.uint8)
        ids = self.labels.astype(np.uint16)
        return np.where(cv2.dilate(ids, kernel) != cv2.erode(ids, kernel), np.uint8(VOID), numbers)


class Shapes(Generator):
    """Discs, squares and triangles of varying colour on noise, some of them touching.

    Args:
        layout: `classes`: `images/`, `masks/` of class numbers 1 … 3 with 255 (void) along outlines; `coco`: `images/`
            and `train.json`; `yolo`: `images/`, `labels/` and `data.yaml`. All have test images in `test/` and their
            targets in `test.json` (COCO); `classes` also in `solution/`, a mask per image.
        train: number of training images.
        test: number of test images.
        side: smallest side of an image in pixels; the largest is half as long again.
        seed: seed of the random generator.
    """

    def __init__(
        self,
        layout: Literal["classes", "coco", "yolo"] = "classes",
        train: int = 60,
        test: int = 20,
        side: int = 96,
        seed: int = 0,
    ) -> None:
        if layout not in ("classes", "coco", "yolo"):
            raise ValueError(f"Shapes: layout is {layout!r}, expected classes, coco or yolo")
        self.layout, self.train, self.test, self.side, self.seed = layout, train, test, side, seed

    def write(self, root: Path) -> None:
        with atomic_folder(root) as temporary:  # an incomplete data set would look like a small one
            self._write(temporary)

    def _write(self, root: Path) -> None:
        for split, count in (("images", self.train), ("test", self.test)):
            drawings = {}
            for number in range(count):
                rng = np.random.default_rng([self.seed, split == "test", number])
                drawings[f"{split[:2]}{number:04d}"] = draw_shapes(rng, self.side)
            for name, drawing in drawings.items():
                write_png(root / split / f"{name}.png", drawing.image, durable=False)
            if self.layout == "classes":
                for name, drawing in drawings.items():
                    folder = "masks" if split == "images" else "solution"
                    write_png(root / folder / f"{name}.png", drawing.classes(), durable=False)
            if self.layout == "coco" or split == "test":
                write_json(root / ("train.json" if split == "images" else "test.json"), coco_content(drawings))
            elif self.layout == "yolo":
                for name, drawing in drawings.items():
                    write_text(root / "labels" / f"{name}.txt", yolo_text(drawing), durable=False)
        if self.layout == "yolo":
            write_yaml(root / "data.yaml", {"train": "images", "test": "test", "names": dict(enumerate(CLASSES))})


def draw_shapes(rng: np.random.Generator, side: int = 96) -> Drawing:
    """Draw shapes that do not overlap, each of at least 30 pixels."""
    height, width = (int(length) for length in rng.integers(side, side * 3 // 2 + 1, 2))
    image = rng.normal(120, 18, (height, width, 3)) + rng.normal(0, 25, 3)
    labels, kinds = np.zeros((height, width), np.int32), []
    for _ in range(int(rng.integers(3, 9))):
        kind, radius = int(rng.integers(0, 3)), int(rng.integers(side // 12, side // 5))
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        shape = np.zeros((height, width), np.uint8)
        if kind == 0:
            cv2.circle(shape, (x, y), radius, 1, -1)
        elif kind == 1:
            cv2.rectangle(shape, (x - radius, y - radius), (x + radius, y + radius), 1, -1)
        else:
            corners = np.array([[x, y - radius], [x - radius, y + radius], [x + radius, y + radius]])
            cv2.fillPoly(shape, [corners], 1)
        inside = shape > 0
        if inside.sum() < 30 or labels[inside].any():
            continue
        kinds.append(kind)
        labels[inside] = len(kinds)
        colour = COLOURS[kind] + rng.normal(0, 20, 3)
        image[inside] = colour + rng.normal(0, 14, (int(inside.sum()), 3))
    return Drawing(np.clip(image, 0, 255).astype(np.uint8), labels, kinds)


def coco_content(drawings: dict[str, Drawing]) -> dict[str, Any]:
    """Content of a COCO file, with compressed run lengths; category ids have a gap."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (name, drawing) in enumerate(drawings.items(), 1):
        height, width = drawing.labels.shape
        images.append({"id": number, "file_name": f"{name}.png", "height": height, "width": width})
        pairs = zip(drawing.kinds, runs_of(drawing.labels), drawing.boxes(), strict=True)
        for kind, runs, box in pairs:
            counts = coco_rle.encode(runs, drawing.labels.size).decode()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category_id(kind),
                    "bbox": list(box),
                    "area": area(runs),
                    "iscrowd": 0,
                    "segmentation": {"size": [height, width], "counts": counts},
                }
            )
    categories = [{"id": category_id(kind), "name": name} for kind, name in enumerate(CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def category_id(kind: int) -> int:
    """Category id of a class: 1, 3, 5."""
    return 2 * kind + 1


def yolo_text(drawing: Drawing) -> str:
    """Lines of a YOLO file: class, centre and size as shares of the image."""
    height, width = drawing.labels.shape
    lines = [
        f"{kind} {(x + w / 2) / width:.6f} {(y + h / 2) / height:.6f} {w / width:.6f} {h / height:.6f}"
        for kind, (x, y, w, h) in zip(drawing.kinds, drawing.boxes(), strict=True)
    ]
    return "".join(f"{line}\n" for line in lines)
