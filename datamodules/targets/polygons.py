"""Masks from polygons: GeoJSON or WKT, in pixels or on the map."""

import glob
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from datamodules.targets.base import Target
from datamodules.targets.rasters import georeference
from preprocessing.csv_files import read_csv
from preprocessing.files import confined

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry


class Polygons(Target):
    """A mask per class, or instances, rasterised from polygons; only what lies in the window is drawn.

    Pixels belong to a polygon when their centre lies inside (GDAL's rule). Where instances overlap, the later one wins.

    Args:
        geojson: path under `data.root` with `{image_id}` in it, one file per image; `*` may stand for a folder. A
            missing or empty file means no polygons unless `required`. Its reference system is the file's `crs` member,
            else longitude and latitude, or the image's own where the numbers are none.
        csv: table under `data.root` with a polygon per row as WKT; instead of `geojson`.
        id_column: column of the image id in the CSV.
        wkt_column: column of the polygon or multipolygon; a third coordinate is dropped (SpaceNet writes 0).
        coordinates: of the WKT: `pixel`, `map` (the image's own reference system), or `grid` (DSTL: `grid_sizes`).
        grid_sizes: CSV of DSTL with an unnamed id column, Xmax and Ymin.
        class_key: property (GeoJSON) or column (CSV) that names the class; None for one class.
        classes: values of it, in the order of the mask's channels.
        instances: give `instances` `(H, W)` uint16 in place of `mask` `(K, H, W)` uint8.
        buffer: grow (or, negative, shrink) every polygon by that many units of its coordinates: lines become roads.
        required: an image without a file is an error.
        crs: reference system of GeoJSON files without a `crs` member, such as `EPSG:32616`.
        name: name of the array; `mask` or `instances` unless given.
    """

    windowed = True

    def __init__(
        self,
        geojson: str | None = None,
        csv: str | None = None,
        id_column: str = "ImageId",
        wkt_column: str = "PolygonWKT_Pix",
        coordinates: Literal["pixel", "map", "grid"] = "pixel",
        grid_sizes: str | None = None,
        class_key: str | None = None,
        classes: list[str] | None = None,
        instances: bool = False,
        buffer: float = 0.0,
        required: bool = False,
        crs: str | None = None,
        name: str | None = None,
    ) -> None:
        if (geojson is None) == (csv is None):
            raise ValueError("Polygons: give either geojson or csv")
        if (class_key is None) != (classes is None):
            raise ValueError("Polygons: class_key and classes go together")
        self.geojson, self.csv, self.id_column, self.wkt_column = geojson, csv, id_column, wkt_column
        self.coordinates, self.grid_sizes = coordinates, grid_sizes
        self.class_key, self.classes, self.instances, self.buffer = class_key, classes, instances, buffer
        self.required, self.crs = required, crs
        self.name = name or ("instances" if instances else "mask")
        self._rows: dict[str, list[tuple[str, str]]] = {}
        self._grid: dict[str, tuple[float, float]] = {}
        self._kept: tuple[str, list] | None = None  # polygons of the image that was read last

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        import_shapely()
        if self.csv is not None:
            self._prepare_csv(table)
        elif self.required:
            missing = [i for i in table["image_id"] if not self._path(i).is_file()]
            if missing:
                raise FileNotFoundError(
                    f"{len(missing)} images have no polygons; the first is {missing[0]!r}: {self._path(missing[0])}"
                )

    def _prepare_csv(self, table: pd.DataFrame) -> None:
        path = confined(self.root, self.csv)
        rows = read_csv(path)
        wanted = [self.id_column, self.wkt_column, *([self.class_key] if self.class_key else [])]
        lacking = [column for column in wanted if column not in rows]
        if lacking:
            raise ValueError(f"{path} has no column {lacking[0]!r}, only {list(rows.columns)}")
        kinds = rows[self.class_key] if self.class_key else [""] * len(rows)
        for image_id, kind, wkt in zip(rows[self.id_column], kinds, rows[self.wkt_column], strict=True):
            self._rows.setdefault(image_id, []).append((kind, wkt))
        missing = [image_id for image_id in table["image_id"] if image_id not in self._rows]
        if missing and self.required:
            raise ValueError(f"{path} has no row for {len(missing)} images; the first is {missing[0]!r}")
        if self.coordinates == "grid":
            if self.grid_sizes is None:
                raise ValueError("Polygons: coordinates grid needs grid_sizes")
            sizes = read_csv(confined(self.root, self.grid_sizes))
            self._grid = {row[0]: (float(row[1]), float(row[2])) for row in sizes.itertuples(index=False, name=None)}

    def _path(self, image_id: str) -> Path:
        path = confined(self.root, self.geojson.replace("{image_id}", image_id))
        if "*" not in self.geojson:
            return path
        pattern = self.geojson.replace("{image_id}", glob.escape(image_id))
        return next(iter(sorted(self.root.glob(pattern))), path)

    def files(self, row: Any) -> list[Path]:
        if self.csv is not None:
            return [confined(self.root, self.csv)]
        return [path for path in [self._path(row.image_id)] if path.is_file()]

    def read(self, row: Any, size: tuple[int, int]) -> dict[str, np.ndarray]:
        from rasterio.features import rasterize

        if self._kept is None or self._kept[0] != row.image_id:
            self._kept = row.image_id, self.polygons(row)
        window = getattr(row, "window", (0, 0, *size))
        top, left, height, width = window
        inside = [
            (kind, number, polygon)
            for number, (kind, polygon) in enumerate(self._kept[1], 1)
            if _touches(polygon.bounds, window)
        ]
        shift = (1.0, 0.0, float(left), 0.0, 1.0, float(top))
        transform = _affine(shift)
        if self.instances:
            labels = np.zeros((height, width), np.uint16)
            if inside:
                shapes = [(polygon, number) for _, number, polygon in inside]
                rasterize(shapes, out=labels, transform=transform)
            return {self.name: labels}
        kinds = self.classes or [""]
        mask = np.zeros((len(kinds), height, width), np.uint8)
        for channel, wanted in enumerate(kinds):
            shapes = [(polygon, 1) for kind, _, polygon in inside if kind == wanted]
            if shapes:
                rasterize(shapes, out=mask[channel], transform=transform)
        return {self.name: mask}

    def polygons(self, row: Any) -> list[tuple[str, "BaseGeometry"]]:
        """Class and polygon of an image, in its pixels (x = column, y = row), empty ones left out.

        Raises:
            ValueError: names the file and what is wrong with it.
        """
        shapely = import_shapely()
        found = self._from_csv(row) if self.csv is not None else self._from_geojson(row)
        result = []
        for kind, polygon in found:
            if self.classes is not None and kind not in self.classes:
                continue
            polygon = polygon.buffer(self.buffer) if self.buffer else polygon
            polygon = polygon if polygon.is_valid else shapely.make_valid(polygon)
            if not polygon.is_empty:
                result.append((kind, polygon))
        return [(kind, self._to_pixels(row, polygon)) for kind, polygon in result]

    def _from_csv(self, row: Any) -> list[tuple[str, "BaseGeometry"]]:
        shapely = import_shapely()
        found = []
        for kind, wkt in self._rows.get(row.image_id, []):
            try:
                polygon = shapely.force_2d(shapely.from_wkt(wkt))
            except shapely.errors.ShapelyError as error:
                raise ValueError(f"{self.csv}, image {row.image_id!r}: {wkt[:60]!r} is no WKT: {error}") from None
            found += [(kind, part) for part in ([polygon] if not self.instances else _parts(polygon))]
        return found

    def _from_geojson(self, row: Any) -> list[tuple[str, "BaseGeometry"]]:
        from rasterio.warp import transform_geom
        from shapely.geometry import shape

        path = self._path(row.image_id)
        text = path.read_text(encoding="utf-8-sig").strip() if path.is_file() else ""
        if not text:
            return []  # SpaceNet writes chips without buildings as files of 0 bytes
        try:
            content = json.loads(text)
            features = content["features"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no GeoJSON feature collection: {error}") from None
        target = georeference(row).crs
        crs = (content.get("crs") or {}).get("properties", {}).get("name") or self.crs
        crs = crs or ("OGC:CRS84" if _degrees(features) else target)
        if target is None:
            raise ValueError(f"image {row.image_id!r} has no reference system, {path} cannot be laid upon it")
        found = []
        for number, feature in enumerate(features):
            geometry = feature.get("geometry")
            if geometry is None or not geometry.get("coordinates"):
                continue
            kind = str((feature.get("properties") or {}).get(self.class_key)) if self.class_key else ""
            try:
                moved = shape(transform_geom(crs, target, geometry))
            except Exception as error:
                raise ValueError(f"{path}, feature {number}: {error}") from error
            found += [(kind, part) for part in ([moved] if not self.instances else _parts(moved))]
        return found

    def _to_pixels(self, row: Any, polygon: "BaseGeometry") -> "BaseGeometry":
        from shapely import affinity

        if self.csv is not None and self.coordinates == "pixel":
            return polygon
        image = georeference(row)
        if self.csv is not None and self.coordinates == "grid":
            xmax, ymin = self._grid[grid_key(self._grid, row.image_id)]
            # DSTL: x / Xmax * W', W' = W * W / (W + 1); y / Ymin * H' (the competition's data page).
            across = image.width * image.width / (image.width + 1) / xmax
            down = image.height * image.height / (image.height + 1) / ymin
            return affinity.affine_transform(polygon, [across, 0, 0, down, 0, 0])
        a, b, c, d, e, f = (~image.transform)[:6]
        return affinity.affine_transform(polygon, [a, b, d, e, c, f])


def _degrees(features: list[dict]) -> bool:
    """Whether all coordinates may be longitude and latitude."""

    def numbers(part: Any) -> Any:
        is_point = part and isinstance(part[0], int | float)
        return [part[:2]] if is_point else [point for inner in part for point in numbers(inner)]

    points = [p for feature in features for p in numbers((feature.get("geometry") or {}).get("coordinates") or [])]
    return all(abs(x) <= 180 and abs(y) <= 90 for x, y in points)


def grid_key(grid: dict[str, tuple[float, float]], image_id: str) -> str:
    """The image's key in the table of grid sizes, or an error."""
    if image_id not in grid:
        raise ValueError(f"image {image_id!r} has no row in grid_sizes")
    return image_id


def import_shapely() -> Any:
    """The shapely module, or an error that says how to get it."""
    try:
        import shapely
    except ImportError as error:
        raise ImportError('polygons need shapely: pip install -e ".[satellite]"') from error
    return shapely


def _parts(polygon: "BaseGeometry") -> list["BaseGeometry"]:
    return list(getattr(polygon, "geoms", [polygon]))


def _touches(bounds: tuple[float, float, float, float], window: tuple[int, int, int, int]) -> bool:
    top, left, height, width = window
    return bounds[0] <= left + width and bounds[2] >= left and bounds[1] <= top + height and bounds[3] >= top


def _affine(numbers: tuple[float, ...]) -> Any:
    from affine import Affine

    return Affine(*numbers)
