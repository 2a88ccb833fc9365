"""One multipolygon row per image and class: DSTL."""

from pathlib import Path

import numpy as np

from files.tables import numbers_of
from masks.outlines import from_wkt, inside, outlines, rasterised
from masks.polygons import areas, import_shapely
from submissions.base import RowError, Submission, SubmissionError, read_table, require_array
from submissions.labels import class_place


class ClassPolygons(Submission):
    """`ImageId,ClassType,MultipolygonWKT` with a row per class of an image (DSTL satellite imagery).

    An absent class is `MULTIPOLYGON EMPTY`. Coordinates are those of the competition's grid: x = column · Xmax / W' and
    y = row · Ymin / H', with W' = W · W / (W + 1) and H' alike (the competition's data page).

    Args:
        classes: class names in the order of the mask channels (default: 1 … 10).
        grid_sizes: path of the competition's CSV of Xmax and Ymin, with the image id in its first column. None writes
            pixels.
        tolerance: tolerance in pixels up to which outlines are simplified; 0 keeps the exact outline.
        id_column: name of the id column.
        class_column: name of the class column.
        polygon_column: name of the multipolygon column.
        suffix: suffix of ids in the file that image ids lack.
        output: name of the bool mask `(C, H, W)` in the post-processed prediction.
    """

    keys = 2

    def __init__(
        self,
        classes: list[str] | None = None,
        grid_sizes: str | None = None,
        tolerance: float = 0.0,
        id_column: str = "ImageId",
        class_column: str = "ClassType",
        polygon_column: str = "MultipolygonWKT",
        suffix: str = "",
        output: str = "mask",
    ) -> None:
        self.columns = (id_column, class_column, polygon_column)
        self.classes = classes if classes is not None else [str(number) for number in range(1, 11)]
        self.grid_sizes, self.tolerance, self.suffix, self.output = grid_sizes, tolerance, suffix, output
        self._grid: dict[str, tuple[float, float]] | None = None

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        shapely, mask = import_shapely(), require_array(prediction, self.output)
        if mask.ndim != 3 or len(mask) != len(self.classes) or mask.dtype != bool:
            raise ValueError(
                f"{self.output!r} is {mask.dtype} {mask.shape}, expected a bool mask of {len(self.classes)} classes "
                "(C, H, W)"
            )
        written = image_id + self.suffix
        across, down = self._scale(written, mask.shape[1:])
        rows: list[tuple[str, ...]] = []
        for name, channel in zip(self.classes, mask, strict=True):
            found = shapely.MultiPolygon([polygon for _, polygon in outlines(channel, self.tolerance)])
            if not found.is_valid:  # simplified outlines of neighbours may cross
                found = shapely.MultiPolygon(areas(found))
            found = shapely.transform(found, lambda points: points * [across, down])
            # A pixel is a few millionths of a grid unit: nine digits keep its corners distinct.
            rows.append((written, name, shapely.to_wkt(found, rounding_precision=9, trim=True)))
        return rows

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        shapely = import_shapely()
        mask, seen = np.zeros((len(self.classes), *size), bool), set()
        for number, (written, name, text) in enumerate(texts):
            try:
                place = class_place(name, self.classes)
                if name in seen:
                    raise ValueError(f"class {name!r} is repeated")
                seen.add(name)
                polygons = from_wkt(text, ("MultiPolygon", "Polygon"))
                across, down = self._scale(written, size)
                if not inside(polygons, size[1] * across, size[0] * down):
                    raise ValueError(f"class {name!r} exceeds the image of {size[1]} x {size[0]} pixels")
            except ValueError as error:
                raise RowError(str(error), number) from error
            pixels = shapely.transform(polygons, lambda points, scale=(across, down): points / scale)
            mask[place] = rasterised([pixels], size) > 0
        lacking = [name for name in self.classes if name not in seen]
        if lacking:
            raise RowError(f"{len(lacking)} classes have no row: {', '.join(lacking)}")
        return {self.output: mask}

    def _scale(self, written: str, size: tuple[int, int]) -> tuple[float, float]:
        """Grid units per pixel along x and along y."""
        if self.grid_sizes is None:
            return 1.0, 1.0
        if self._grid is None:
            self._grid = read_grid(Path(self.grid_sizes))
        if written not in self._grid:
            raise ValueError(f"image {written!r} has no row in {self.grid_sizes}")
        (xmax, ymin), (height, width) = self._grid[written], size
        return xmax * (width + 1) / width**2, ymin * (height + 1) / height**2


def read_grid(path: Path) -> dict[str, tuple[float, float]]:
    """Read Xmax and Ymin of every image."""
    if not path.is_file():
        raise SubmissionError(f"table of grid sizes {path} does not exist; check submission.grid_sizes")
    table = read_table(path)
    lacking = [column for column in ("Xmax", "Ymin") if column not in table.columns]
    if lacking:
        raise SubmissionError(f"{path}: column {lacking} is missing, found {list(table.columns)}")
    try:
        sides = [numbers_of(table[name], f"{path}, column {name}") for name in ("Xmax", "Ymin")]
    except ValueError as error:
        raise SubmissionError(str(error)) from None
    return {image_id: (xmax, ymin) for image_id, xmax, ymin in zip(table.iloc[:, 0], *sides, strict=True)}
