"""Objects from the XML of CVAT: images, and tracks of videos."""

import re
import warnings
from pathlib import Path
from typing import Literal

import pandas as pd

from annotations.cvat import CvatFile, CvatObject, read_cvat_file
from datamodules.matching import match_images
from datamodules.row import Row
from datamodules.targets.boxes_files import check_size
from datamodules.targets.objects import Objects, Output
from datamodules.targets.patterns import any_file, tables_by_file
from masks.shapes import Shape


class Cvat(Objects):
    """`mask`, `instances` or boxes from an XML of CVAT (`CVAT for images 1.1` or `CVAT for video 1.1`).

    Boxes and ellipses (also rotated), polygons, masks, and, with a `width`, polylines and points become areas by the
    rule "area only" of `masks.polygons.filled`; masks have their own pixels. Where objects overlap, the one with the
    higher `z_order` wins, then the later one. In boxes, an object is its bounding box. Shapes of one label and group
    (`group_id`) are one object of `instances` and `boxes`. Tags and attributes are not read.

    The images of a video are its frames: the last number in an image's name is that of the frame (`frame_000017`).
    Objects that are `outside` of a frame are left out.

    Image sizes declared in the file must match the images. Several targets may use one file; it is read once.

    Args:
        path: path of the XML under `data.root`; `labels/{split}.xml` is a file per folder of images, as of a video
            (`{split}`, `{column}` and `*` as of `MaskFiles`).
        output: `classes`: class numbers `(H, W)` int64, 0 for background; `channels`: a mask per class `(K, H, W)`
            uint8; `instances`: ids `(H, W)` int32; `boxes`: `boxes` `(n, 4)` float32 xyxy and `labels` `(n,)`.
        classes: names of the labels to use, in the order of their numbers, without the background; other objects are
            left out (default: those of `data.classes`, whose first is the background for `output: classes`;
            else all, in the order of the file).
        unlabelled: for `classes`, pixels without an object: `background` is class 0; `void` ignores them, and the first
            label is class 0.
        width: width of polylines and diameter of points, in pixels; None if there are none.
        frame: regular expression whose first group is the number of the frame in the image id (video).
        folders: whether folders in the names of the file must match those of the images; otherwise only file names are
            compared.
        name: name of the array (default: `instances` for ids, else `mask`).

    Raises:
        ValueError: if the file is not a CVAT file, none of its images is in the table, or an object is invalid; names
            the object.

    Example:
        >>> import pandas as pd
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from types import SimpleNamespace
        >>> target = Cvat("train.xml", output="instances")
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "train.xml").write_text(
        ...         '<annotations><image name="a.png" width="4" height="2">'
        ...         '<box label="car" xtl="1" ytl="0" xbr="3" ybr="2"/></image></annotations>'
        ...     )
        ...     target.prepare(pd.DataFrame({"image_id": ["a"]}), Path(folder))
        >>> target.read(SimpleNamespace(image_id="a"), (2, 4))["instances"].tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """

    def __init__(
        self,
        path: str,
        output: Output,
        classes: list[str] | None = None,
        unlabelled: Literal["background", "void"] = "background",
        width: float | None = None,
        frame: str = r"(\d+)\D*$",
        folders: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(output, classes, unlabelled, name)
        if width is not None and not width > 0:
            raise ValueError(f"Cvat: width is {width}, expected pixels above 0")
        if re.compile(frame).groups < 1:
            raise ValueError(f"Cvat: frame is {frame!r}, expected a regular expression with a group")
        self.path, self.width, self.frame, self.folders = path, width, frame, folders
        self._found: dict[str, list[CvatObject]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._files: dict[str, Path] = {}

    def where(self) -> str:
        return self.path

    def file_classes(self, root: Path) -> list[str]:
        return read_cvat_file(any_file(root, self.path)).names

    def files(self, row: Row) -> list[Path]:
        return [self._files[row.image_id]]

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        self._found, self._sizes, self._files = {}, {}, {}
        for file, part in tables_by_file(self.root, self.path, table, "CVAT file").items():
            cvat = read_cvat_file(file)
            if cvat.names != self._known:
                other = ", ".join(self._known)
                raise ValueError(f"{file} has the labels {', '.join(cvat.names)}, but another has {other}")
            self._files |= dict.fromkeys(part["image_id"], file)
            if cvat.frames is None:
                self._match_images(cvat, part)
            else:
                self._match_frames(cvat, cvat.frames, part["image_id"].tolist())
            unlisted = [image_id for image_id in part["image_id"] if image_id not in self._found]
            if unlisted:
                few = ", ".join(map(repr, unlisted[:3]))
                text = f"{file}: {len(unlisted)} of {len(part)} images are not in it (first: {few})"
                warnings.warn(f"{text}; they are treated as images without objects", stacklevel=3)
        for found in self._found.values():
            for one in found:
                if self._label_of[one.label] >= 0:
                    one.shape(self.width)  # raises

    def _match_images(self, cvat: CvatFile, table: pd.DataFrame) -> None:
        meant = match_images(cvat.images, table, self.root, f"{cvat.path}, image", folders=self.folders)
        self._found |= {image_id: cvat.images[name] for name, image_id in meant.items()}
        self._sizes |= {image_id: cvat.declared[name] for name, image_id in meant.items() if name in cvat.declared}

    def _match_frames(self, cvat: CvatFile, frames: dict[int, list[CvatObject]], ids: list[str]) -> None:
        numbers = {image_id: match[1] for image_id in ids if (match := re.search(self.frame, image_id))}
        odd = next((image_id for image_id, number in numbers.items() if not (number or "").isdigit()), None)
        if odd is not None:
            raise ValueError(f"Cvat: frame {self.frame!r} finds {numbers[odd]!r} in image {odd!r}, expected digits")
        image_of: dict[int, str] = {}
        for image_id, number in numbers.items():
            other = image_of.setdefault(int(number), image_id)
            if other != image_id:
                raise ValueError(
                    f"{cvat.path}: images {other!r} and {image_id!r} are both frame {int(number)}; set frame of the "
                    "target, or `{split}` in path for a file per folder of frames"
                )
        if frames and not set(frames) & set(image_of):
            few = ", ".join(map(repr, ids[:3]))
            raise ValueError(
                f"{cvat.path}: none of its frames {min(frames)} to {max(frames)} is an image; the images are {few}. "
                "Their last number is that of the frame, or what frame of the target finds"
            )
        for before, after, track in cvat.gaps:
            skipped = [image_id for number, image_id in image_of.items() if before < number < after]
            if skipped:
                warnings.warn(
                    f"{cvat.path}: {track} has frames {before} and {after}, but not the {len(skipped)} images between "
                    f"(first: {skipped[0]!r}); if the file has key frames alone, export it from CVAT, which adds the "
                    "others",
                    stacklevel=4,
                )
                break
        self._found |= {image_id: frames.get(number, []) for number, image_id in image_of.items()}
        self._sizes |= dict.fromkeys(image_of.values(), cvat.declared[""]) if "" in cvat.declared else {}

    def check(self, row: Row, size: tuple[int, ...]) -> None:
        check_size(self._sizes.get(row.image_id), size, row, self.files(row)[0])  # `prepare` has checked the objects

    def objects(self, row: Row, size: tuple[int, ...]) -> list[Shape]:
        self.check(row, size)
        found = self._found.get(row.image_id, [])
        return [one.shape(self.width) for one in found if self._label_of[one.label] >= 0]
