"""One row per image and class: a mask as run lengths."""

import numpy as np

from masks import rle
from postprocessing.resize import nearest
from submissions.base import RowError, Submission, named
from submissions.labels import class_place


class ClassRunLengths(Submission):
    """A mask of each class in a row of its own: Understanding Clouds, UW-Madison.

    Args:
        classes: names of the classes in the order of the mask's channels.
        id_column: name of the id column.
        class_column: name of the class column: `class` in UW-Madison (`id,class,predicted`). None: the id column holds
            `<image>_<class>`, as in Clouds (`Image_Label`).
        value_column: name of the run-length column.
        order: `column` (Clouds) or `row` (UW-Madison).
        base: number of the first pixel.
        empty: what an empty mask is written as.
        size: height and width that masks are submitted in, by nearest neighbour: [350, 525] in Clouds. None keeps the
            image's size.
        suffix: ending of the ids in the file that the images' ids lack: `.jpg` (Clouds).
        output: name of the bool mask `(C, H, W)` in the post-processed prediction.
    """

    def __init__(
        self,
        classes: list[str],
        id_column: str = "Image_Label",
        class_column: str | None = None,
        value_column: str = "EncodedPixels",
        order: rle.Order = "column",
        base: int = 1,
        empty: str = "",
        size: list[int] | None = None,
        suffix: str = "",
        output: str = "mask",
    ) -> None:
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"ClassRunLengths: size is {size}, expected [height, width] in pixels")
        self.columns = tuple(name for name in (id_column, class_column, value_column) if name is not None)
        self.keys = len(self.columns) - 1
        self.classes, self.class_column = classes, class_column
        self.order, self.base, self.empty = order, base, empty
        self.size, self.suffix, self.output = size, suffix, output

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        mask = named(prediction, self.output)
        if mask.ndim != 3 or len(mask) != len(self.classes):
            raise ValueError(
                f"{self.output!r} is {mask.shape}, expected a mask of {len(self.classes)} classes (C, H, W)"
            )
        if self.size is not None:
            mask = nearest(mask, (self.size[0], self.size[1]))
        rows: list[tuple[str, ...]] = []
        for name, channel in zip(self.classes, mask, strict=True):
            text = rle.encode(channel, order=self.order, base=self.base) or self.empty
            written = image_id + self.suffix
            rows.append((f"{written}_{name}", text) if self.class_column is None else (written, name, text))
        return rows

    def image_id(self, key: tuple[str, ...]) -> str:
        return super().image_id(self._divided(key))

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        shape = size if self.size is None else (self.size[0], self.size[1])
        mask, seen = np.zeros((len(self.classes), *shape), bool), set()
        for number, row in enumerate(texts):
            _, name = self._divided(row[: self.keys])
            if name in seen:
                raise RowError(f"the class {name!r} comes twice", number)
            seen.add(name)
            try:
                place = class_place(name, self.classes)
                if row[-1] != self.empty:
                    mask[place] = rle.decode(row[-1], shape, order=self.order, base=self.base)
            except ValueError as error:
                raise RowError(str(error), number) from error
        lacking = [name for name in self.classes if name not in seen]
        if lacking:
            raise RowError(f"{len(lacking)} classes have no row: {', '.join(lacking)}")
        return {self.output: mask}

    def _divided(self, key: tuple[str, ...]) -> tuple[str, str]:
        """Id in the file, and class."""
        if self.class_column is not None:
            return key[0], key[1]
        fitting = [name for name in self.classes if key[0].endswith(f"_{name}")]
        if not fitting:
            raise ValueError(f"the id {key[0]!r} ends in no class, expected _{', _'.join(self.classes)}")
        name = max(fitting, key=len)
        return key[0].removesuffix(f"_{name}"), name
