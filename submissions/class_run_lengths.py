"""One run-length row per image and class."""

import numpy as np

from masks import rle
from postprocessing.resize import nearest
from submissions.base import RowError, Submission, require_array
from submissions.class_maps import class_map
from submissions.labels import class_place


class ClassRunLengths(Submission):
    """A row per class with its mask: Understanding Clouds, UW-Madison.

    Args:
        classes: class names in the order of the mask channels, or of the numbers of a class map from `first_class`
            on (default: the class names of the data).
        first_class: number of the first of `classes` in class maps `(H, W)`, as `ArgMax` makes of a softmax: 1 if class
            0 is the background, which has no row; 0 if it has one. None: predictions are masks `(C, H, W)`.
        id_column: name of the id column.
        class_column: name of the class column: `class` in UW-Madison (`id,class,predicted`). None: the id column has
            the form `<image>_<class>`, as in Clouds (`Image_Label`).
        value_column: name of the run-length column.
        order: scan order: `column` (Clouds) or `row` (UW-Madison).
        base: number of the first pixel.
        empty: text for an empty mask.
        size: height and width of submitted masks, resized by nearest neighbour: [350, 525] in Clouds. None keeps the
            size of the image.
        suffix: suffix of ids in the file that image ids lack: `.jpg` (Clouds).
        output: name of the bool mask `(C, H, W)`, or of the class numbers `(H, W)`, in the post-processed prediction.
    """

    def __init__(
        self,
        classes: list[str] | None = None,
        id_column: str = "Image_Label",
        class_column: str | None = None,
        value_column: str = "EncodedPixels",
        order: rle.Order = "column",
        base: int = 1,
        empty: str = "",
        size: list[int] | None = None,
        suffix: str = "",
        output: str = "mask",
        first_class: int | None = None,
    ) -> None:
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"ClassRunLengths: size is {size}, expected [height, width] in pixels")
        if first_class not in (None, 0, 1):
            raise ValueError(f"ClassRunLengths: first_class is {first_class}, expected 0, 1 or null")
        self.first_class = first_class
        self.columns = tuple(name for name in (id_column, class_column, value_column) if name is not None)
        self.keys = len(self.columns) - 1
        self.classes, self.class_column = classes, class_column
        self.order, self.base, self.empty = order, base, empty
        self.size, self.suffix, self.output = size, suffix, output

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        mask = self._channels(require_array(prediction, self.output))
        if self.size is not None:
            mask = nearest(mask, (self.size[0], self.size[1]))
        rows: list[tuple[str, ...]] = []
        for name, channel in zip(self.classes, mask, strict=True):
            text = rle.encode(channel, order=self.order, base=self.base) or self.empty
            written = image_id + self.suffix
            rows.append((f"{written}_{name}", text) if self.class_column is None else (written, name, text))
        return rows

    def take_classes(self, names: list[str] | None) -> None:
        super().take_classes(names)
        if self.first_class == 1:
            self.classes = self.classes[1:]  # those of the data begin with the background

    def _channels(self, mask: np.ndarray) -> np.ndarray:
        """Masks `(C, H, W)` of masks or class numbers."""
        if self.first_class is not None:
            numbers = class_map(mask, self.first_class + len(self.classes), self.output)
            return numbers == np.arange(self.first_class, self.first_class + len(self.classes))[:, None, None]
        if mask.ndim == 2 and mask.dtype.kind in "iu":
            raise ValueError(
                f"{self.output!r} has class numbers; set first_class of ClassRunLengths to the number of "
                f"{self.classes[0]!r}: 1 if class 0 is the background, else 0"
            )
        if mask.ndim != 3 or len(mask) != len(self.classes):
            raise ValueError(
                f"{self.output!r} is {mask.shape}, expected a mask of {len(self.classes)} classes (C, H, W)"
            )
        return mask

    def image_id(self, key: tuple[str, ...]) -> str:
        return super().image_id(self._divided(key))

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        shape = size if self.size is None else (self.size[0], self.size[1])
        mask, seen = np.zeros((len(self.classes), *shape), bool), set()
        for number, row in enumerate(texts):
            _, name = self._divided(row[: self.keys])
            if name in seen:
                raise RowError(f"class {name!r} is repeated", number)
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
        if self.first_class is None:
            return {self.output: mask}
        counted = mask.sum(axis=0)
        if counted.max(initial=0) > 1:
            raise ValueError(f"{np.count_nonzero(counted > 1)} pixels have several classes, expected a class map")
        if self.first_class == 0 and not counted.all():
            raise ValueError(f"{np.count_nonzero(counted == 0)} pixels have no class, expected a class map")
        return {self.output: np.where(counted > 0, mask.argmax(axis=0) + self.first_class, 0)}

    def _divided(self, key: tuple[str, ...]) -> tuple[str, str]:
        """Split a key into id and class."""
        if self.class_column is not None:
            return key[0], key[1]
        fitting = [name for name in self.classes if key[0].endswith(f"_{name}")]
        if not fitting:
            raise ValueError(f"id {key[0]!r} does not end in a class, expected _{', _'.join(self.classes)}")
        name = max(fitting, key=len)
        return key[0].removesuffix(f"_{name}"), name
