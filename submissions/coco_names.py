"""Ids of images and classes in COCO files."""

from pathlib import Path, PurePosixPath
from typing import Any

from files.texts import read_json


class CocoNames:
    """Ids of images by image id and of classes by label, from a COCO file or by rule; see `submissions.Coco`.

    Args:
        file: path of a COCO file with `images` and `categories`, or None.
        classes: class names by label, or None for those of the file.
        category_ids: id of each class, or None for those of the file or 1 … K.
    """

    def __init__(self, file: str | None, classes: list[str] | None, category_ids: list[int] | None = None) -> None:
        if category_ids is not None and len(set(category_ids)) != len(classes or category_ids):
            raise ValueError(
                f"Coco: category_ids are {category_ids}, expected a different one for each class of {classes}"
            )
        self.file, self.classes = file, classes
        self.adopted = False  # whether classes are those of the data, which may begin with the background
        self._paths: dict[str, str] = {}
        self._ids: dict[Any, str] | None = None  # image id of each id in COCO files
        self._numbers: dict[str, Any] = {}
        self._categories = category_ids
        self._content_of_file: Any = None
        self._listed: dict[str, list[dict[str, Any]]] | None = None

    def learn(self, paths: dict[str, str]) -> None:
        """Take the images of the table: path by image id."""
        self._paths, self._ids, self._numbers = paths, None, {}

    def number(self, image_id: str) -> int | str:
        """Id of an image in COCO files.

        Raises:
            ValueError: the file lists no such image, or several.
        """
        if image_id not in self._numbers:
            self._numbers[image_id] = self._found(image_id)
        return self._numbers[image_id]

    def image_id(self, number: Any) -> str:
        """Image id of an id in COCO files; the reverse of `number`.

        Raises:
            ValueError: the file lists no such image.
        """
        if self._ids is None:
            known = self._paths or [Path(item["file_name"]).stem for item in self._content("images")]
            self._ids = {}
            for image_id in known:
                other = self._ids.setdefault(self.number(image_id), image_id)
                if other != image_id:
                    raise ValueError(f"images {other!r} and {image_id!r} have the same COCO id; set `file` of Coco")
        if number not in self._ids and self.file is None and not self._paths:
            return str(number)
        if number not in self._ids:
            raise ValueError(f"image_id {number!r} is not among the {len(self._ids)} images")
        return self._ids[number]

    def category_ids(self) -> list[int]:
        """Category id of each label.

        Raises:
            ValueError: the file lacks a class.
        """
        if self._categories is None:
            if self.file is None:
                self._categories = list(range(1, len(self.classes or [""]) + 1))
            else:
                listed = {item["name"]: item["id"] for item in self._content("categories")}
                if self.adopted and self.classes and self.classes[0] not in listed:
                    self.classes = self.classes[1:]  # the background of class maps
                names = self.classes if self.classes is not None else sorted(listed, key=listed.__getitem__)
                lacking = [name for name in names if name not in listed]
                if lacking:
                    raise ValueError(f"{self.file} has no category {lacking[0]!r}, only {list(listed)[:12]}")
                self._categories = [listed[name] for name in names]
        return self._categories

    def _found(self, image_id: str) -> int | str:
        if self.file is None:
            return int(image_id) if image_id.isdecimal() else image_id
        if self._listed is None:
            self._listed = {}
            for item in self._content("images"):
                for key in {PurePosixPath(item["file_name"]).name, PurePosixPath(item["file_name"]).stem}:
                    self._listed.setdefault(key, []).append(item)
        path = Path(self._paths.get(image_id, image_id))
        candidates = self._listed.get(path.name, [])
        if len(candidates) > 1:  # folders tell them apart
            candidates = [
                item
                for item in candidates
                if PurePosixPath(item["file_name"]).parts == path.parts[-len(PurePosixPath(item["file_name"]).parts) :]
            ]
        if len(candidates) != 1:
            raise ValueError(f"{self.file} lists {len(candidates)} images with the file name {path.name!r}, expected 1")
        return candidates[0]["id"]

    def _content(self, key: str) -> list[dict[str, Any]]:
        if self.file is None:
            return []
        if self._content_of_file is None:
            self._content_of_file = read_json(self.file)
        content = self._content_of_file
        items = content.get(key) if isinstance(content, dict) else None
        name = "file_name" if key == "images" else "name"
        if not isinstance(items, list) or not all(isinstance(i, dict) and "id" in i and name in i for i in items):
            raise ValueError(f"{self.file} has no list {key!r} of COCO, whose items have `id` and `{name}`")
        return items
