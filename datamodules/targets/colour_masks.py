"""Masks whose classes are colours."""

from pathlib import Path

import numpy as np
import pandas as pd

from annotations.colours import read_colours
from datamodules.readers.images import read_picture
from datamodules.readers.lossy import lossy
from datamodules.row import Row
from datamodules.targets.base import FilePerImage
from datamodules.targets.mask_files import as_target
from files.paths import confined
from masks.colours import UNKNOWN, Colour, ColourTable, packed, unpacked
from masks.void import VOID

NEAR = 16  # difference of a channel that resizing or compression may have made


class ColourMasks(FilePerImage):
    """`mask` `(H, W)` int64, class numbers, from RGB images with a colour per class; `valid` if some pixels are void.

    Classes are numbered from 0 in the order of the colours. A colour that is neither a class nor void is an error.
    Palette and gray images are read as RGB.

    Args:
        pattern: path under `data.root` with `{image_id}`, `{split}`, `{column}` or `*`, as of `MaskFiles`:
            `labels/{image_id}_L.png`.
        colours: colour of each class, `{road: [128, 64, 128], tree: [128, 128, 0]}`, or several,
            `{road: [[128, 64, 128], [128, 0, 192]]}`; or the path under `data.root` of a list of them: a CSV with the
            columns `name`, `r`, `g`, `b`, or a text with a line `r g b name` per colour.
        void: names in `colours`, or colours, of pixels to ignore: `[Void]`, `[[0, 0, 0]]`.
        classes: names in the order of the class numbers (default: `data.classes`, else the order of the colours).
        name: name of the array.

    Raises:
        ValueError: if a mask has an unknown colour (names it and its share of pixels), or a colour has two classes.

    Example:
        >>> import numpy as np, pandas as pd
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from tempfile import TemporaryDirectory
        >>> from types import SimpleNamespace
        >>> target = ColourMasks("{image_id}.png", {"sky": [0, 0, 255], "road": [128, 64, 128]}, void=[[0, 0, 0]])
        >>> coloured = np.array([[[0, 0, 255], [128, 64, 128], [0, 0, 0]]], np.uint8)
        >>> with TemporaryDirectory() as folder:
        ...     Image.fromarray(coloured).save(f"{folder}/a.png")
        ...     target.prepare(pd.DataFrame({"image_id": ["a"]}), Path(folder))
        ...     arrays = target.read(SimpleNamespace(image_id="a"), (1, 3))
        >>> arrays["mask"].tolist(), arrays["valid"].tolist()
        ([[0, 1, 255]], [[True, True, False]])
    """

    def __init__(
        self,
        pattern: str,
        colours: dict[str, list[int] | list[list[int]]] | str,
        void: list[str | list[int]] | None = None,
        classes: list[str] | None = None,
        name: str = "mask",
    ) -> None:
        self.pattern, self.colours, self.void, self.classes, self.name = pattern, colours, void or [], classes, name
        self._table = ColourTable({})
        self._shown = ""

    def adopts_classes(self, count: int) -> bool:
        return True

    def class_names(self, root: Path) -> list[str] | None:
        void = {name for name in self.void if isinstance(name, str)}
        return super().class_names(root) or [name for name in self._by_name(root) if name not in void]

    def files(self, row: Row) -> list[Path]:
        listed = [confined(self.root, self.colours)] if isinstance(self.colours, str) else []
        return [*super().files(row), *listed]

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        colours, names = self._by_name(root), self.class_names(root) or []
        void = {name for name in self.void if isinstance(name, str)}
        odd = [name for name in (*names, *void) if name not in colours]
        if odd:
            raise ValueError(f"ColourMasks: {odd[0]!r} has no colour, only {', '.join(colours)}; set colours")
        left = [name for name in colours if name not in (*names, *void)]
        if left or void & set(names):
            what = f"neither in classes {names} nor in void" if left else f"both in classes {names} and in void"
            raise ValueError(f"ColourMasks: {(left or sorted(void & set(names)))[0]!r} of colours is {what}")
        if len(names) > UNKNOWN:
            raise ValueError(f"ColourMasks: {len(names)} classes, expected {UNKNOWN} at most")
        number_of = dict.fromkeys(void, VOID) | {name: number for number, name in enumerate(names)}
        pairs = [(colour, number_of[name], name) for name, found in colours.items() for colour in found]
        pairs += [(_colour(entry, "void"), VOID, "void") for entry in self.void if not isinstance(entry, str)]
        numbers: dict[Colour, int] = {}
        for colour, number, name in pairs:
            if numbers.setdefault(colour, number) != number:
                other = next(other for found, _, other in pairs if found == colour)
                raise ValueError(f"ColourMasks: {other!r} and {name!r} have the same colour {list(colour)}")
        self._table = ColourTable(numbers)
        self._shown = ", ".join(f"{name} {list(colour)}" for colour, _, name in pairs[:20])

    def _by_name(self, root: Path) -> dict[str, list[Colour]]:
        """Return the colours of each name, void ones too."""
        if isinstance(self.colours, str):
            return read_colours(confined(root, self.colours))
        found = {}
        for name, given in self.colours.items():
            several = bool(given) and all(isinstance(one, list) for one in given)
            found[name] = [_colour(one, name) for one in (given if several else [given])]
        return found

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        path = self.path(row.image_id)
        image = read_picture(path, "rgb")
        if image.shape[:2] != size:
            raise ValueError(
                f"mask {path} is {image.shape[:2]}, its image {row.image_id!r} is {size}; if one is rotated, check its "
                "EXIF orientation"
            )
        if image.dtype != np.uint8:
            raise ValueError(f"mask {path} is {image.dtype}, expected 8 bits per channel: colours of 0 to 255")
        numbers = self._table.read(image)
        if (numbers == UNKNOWN).any():
            self._refuse(path, packed(image)[numbers == UNKNOWN], numbers.size)
        return as_target(numbers, self.name, len(self._table.numbers))

    def _refuse(self, path: Path, unknown: np.ndarray, pixels: int) -> None:
        """Raise an error for pixels of unknown colours."""
        found, counts = np.unique(unknown, return_counts=True)
        most = unpacked(int(found[counts.argmax()]))
        text = f"mask {path}: {counts.max() / pixels:.2%} of its pixels have the colour {list(most)}"
        if len(found) > 1:
            text += f", {(counts.sum() - counts.max()) / pixels:.2%} another of {len(found) - 1} unknown colours"
        text += f", expected one of {self._shown}"
        distance = {colour: int(np.abs(np.subtract(colour, most)).max()) for colour in self._table.numbers}
        nearest = min(distance, key=lambda colour: distance[colour])
        compression = lossy(path)
        if compression is not None:
            raise ValueError(f"{text}; {compression} changed its values, save masks as PNG")
        if len(found) > 3 and distance[nearest] <= NEAR:
            raise ValueError(f"{text}; nearly {list(nearest)}: was it resized with interpolation, or saved as JPEG?")
        raise ValueError(f"{text}; add it to colours of the target, or to void if it is to be ignored")


def _colour(given: object, name: str) -> Colour:
    """Return a colour as three numbers of 0 to 255."""
    parts = given if isinstance(given, list) else []
    if len(parts) != 3 or not all(isinstance(part, int) and 0 <= part < 256 for part in parts):
        raise ValueError(f"ColourMasks: the colour of {name!r} is {given}, expected [red, green, blue] of 0 to 255")
    return parts[0], parts[1], parts[2]
