"""An image of class numbers or class colours per image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from masks.colours import packed
from submissions.base import require_array
from submissions.class_maps import class_map
from submissions.image_files import ImageFiles, check_shape
from submissions.labels import class_names

Kind = Literal["numbers", "palette", "rgb"]


class ClassImages(ImageFiles):
    """A PNG per image whose pixels are classes: Cityscapes, ADE20K, VOC, LoveDA.

    `submission.zip` has `<image_id>.png`; `submit --output name` writes a folder, `--output name.csv` a folder and a
    list of its files.

    Args:
        classes: class names by number; a number K means 0 … K - 1 (default: those of `colours`, else the class names
            of the data).
        kind: content of the files. `numbers`: 8 bits, a class number or entry of `values` per pixel. `palette`: the
            same with the colours of the classes, so that viewers show them. `rgb`: the colours.
        values: number of each class in the files (default: 0 … K - 1): Cityscapes [7, 8, 11, …].
        colours: red, green and blue in 0..255 of each class, by name; needed for `palette` and `rgb`.
        ignore: number, or colour, of void pixels in the files of a solution, which are not scored.
        output: name of the class numbers `(H, W)` in the prediction, or of softmax probabilities `(K, H, W)`, of which
            the most probable class is written.
    """

    ending = ".png"
    file_name = "submission.zip"

    def __init__(
        self,
        classes: int | list[str] | None = None,
        kind: Kind = "numbers",
        values: list[int] | None = None,
        colours: dict[str, list[int]] | None = None,
        ignore: int | list[int] | None = None,
        output: str = "mask",
    ) -> None:
        super().__init__()
        self.classes = list(colours) if classes is None and colours is not None else classes
        self.kind, self.values, self.colours, self.ignore, self.output = kind, values, colours, ignore, output
        if ignore is not None and not (_is_colour(ignore) if kind == "rgb" else np.size(ignore) == 1):
            raise ValueError(f"ClassImages: ignore is {ignore}, expected a colour for kind rgb, else a number")
        self._numbers, self._colours = np.zeros(0, np.int64), np.zeros((0, 3), np.uint8)
        if self.classes is not None:
            self._make_tables()

    def take_classes(self, names: list[str] | None) -> None:
        super().take_classes(names)
        self._make_tables()

    def _make_tables(self) -> None:
        """Number and colour in the files of each class."""
        names = class_names(self.classes)
        if self.values is not None and (
            len({number for number in self.values if 0 <= number < 256}) != len(self.values)
            or len(self.values) != len(names)
        ):
            raise ValueError(
                f"ClassImages: values are {self.values}, expected {len(names)} different numbers of 0 to 255"
            )
        self._numbers = np.array(self.values if self.values is not None else range(len(names)))
        if self._numbers.max() > 255:
            raise ValueError(f"ClassImages: {len(names)} classes do not fit into 8 bits, expected 256 or fewer")
        if self.kind != "numbers":
            self._colours = _checked(self.colours or {}, names)

    def write_file(self, path: Path, image_id: str, prediction: dict[str, np.ndarray]) -> None:
        numbers = class_map(require_array(prediction, self.output), len(self._numbers), self.output)
        if self.kind == "rgb":
            image = Image.fromarray(self._colours[numbers])
        else:
            image = Image.fromarray(self._numbers[numbers].astype(np.uint8))
            if self.kind == "palette":
                palette = np.zeros((256, 3), np.uint8)
                palette[self._numbers] = self._colours
                image.putpalette(palette.ravel().tolist())
        image.save(path, "PNG")

    def read_file(self, path: Path, size: tuple[int, int]) -> dict[str, np.ndarray]:
        with Image.open(path) as image:
            modes = ("RGB",) if self.kind == "rgb" else ("L", "P", "1")
            if image.mode not in modes:
                raise ValueError(f"its mode is {image.mode}, expected {' or '.join(modes[:2])}")
            pixels = np.asarray(image)
        check_shape(pixels.shape, size)
        found, codes, ignore = pixels, self._numbers, None if self.ignore is None else np.array(self.ignore)
        if self.kind == "rgb":
            found, codes = packed(pixels), packed(self._colours)
            ignore = None if ignore is None else packed(ignore)
        order = np.argsort(codes)
        place = order[np.minimum(np.searchsorted(codes[order], found), len(codes) - 1)]
        wrong = codes[place] != found
        valid = None if ignore is None else found != ignore
        wrong = wrong if valid is None else wrong & valid
        if wrong.any():
            first = pixels[wrong][0].tolist()
            what = "colour" if self.kind == "rgb" else "value"
            raise ValueError(
                f"{what} {first} of {np.count_nonzero(wrong)} pixels is not one of the {len(codes)} classes"
            )
        if valid is None or valid.all():
            return {self.output: place}
        return {self.output: np.where(valid, place, 0), "valid": valid}


def _is_colour(given: object) -> bool:
    """Whether this is red, green and blue in 0..255."""
    return isinstance(given, list) and len(given) == 3 and 0 <= min(given) <= max(given) <= 255


def _checked(colours: Mapping[str, list[int]], names: list[str]) -> np.ndarray:
    """Colours by class number, uint8 `(K, 3)`."""
    if set(colours) != set(names):
        lacking, unknown = sorted(set(names) - set(colours)), sorted(set(colours) - set(names))
        raise ValueError(
            f"ClassImages: colours lack the classes {lacking[:5]} and have the unknown {unknown[:5]}, expected "
            "red, green and blue for each class"
        )
    wrong = next((name for name, colour in colours.items() if not _is_colour(colour)), None)
    if wrong is not None:
        raise ValueError(
            f"ClassImages: the colour of {wrong!r} is {colours[wrong]}, expected three numbers of 0 to 255"
        )
    table = np.array([colours[name] for name in names], np.uint8)
    if len(np.unique(table, axis=0)) < len(table):
        raise ValueError(f"ClassImages: two classes have the same colour, expected {len(names)} different ones")
    return table
