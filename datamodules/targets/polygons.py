"""Masks from polygons: GeoJSON or WKT, in pixels or on the map."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from datamodules.matching import matched
from datamodules.row import Row
from datamodules.targets.base import Target
from datamodules.targets.patterns import located, sought, tell_missing
from datamodules.targets.rasters import georeference
from files.paths import confined
from files.tables import numbers_of, read_csv
from files.texts import read_json, read_text
from masks.polygons import areas, filled, import_shapely, rings_of

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

POLYGON = 3  # shapely's number of the type


class Polygons(Target):
    """A mask per class, or instances, rasterised from polygons; only the part in the window is drawn.

    Pixels belong to a polygon if their centre is inside (GDAL's rule; `masks.polygons.filled`, area only): polygons of
    two points, collinear ones and spikes have none. Where instances overlap, the later one wins.

    Args:
        geojson: path under `data.root` with `{image_id}`, `{split}`, `{column}` or `*`, as of `MaskFiles`. A missing or
            empty file means no polygons unless `required`. The reference system is the file's `crs` member, else
            longitude and latitude, or the image's own if values are out of their range.
        csv: table under `data.root` with one polygon per row as WKT, instead of `geojson`.
        id_column: column of the image id in the CSV.
        wkt_column: column of the polygon or multipolygon; a third coordinate is dropped (SpaceNet writes 0).
        coordinates: coordinates of the WKT: `pixel`, `map` (the image's reference system), or `grid` (DSTL:
            `grid_sizes`).
        grid_sizes: CSV of DSTL with an unnamed id column, Xmax and Ymin.
        class_key: property (GeoJSON) or column (CSV) with the class; None for one class.
        classes: class values in the order of the mask's channels (default: `data.classes`, if `class_key` is set).
        instances: whether to return `instances` `(H, W)` int32 instead of `mask` `(K, H, W)` uint8.
        buffer: width by which polygons are grown (or, if negative, shrunk), in units of their coordinates. Turns lines,
            which have no area, into roads.
        required: whether an image without a file is an error.
        crs: reference system of GeoJSON files without a `crs` member, such as `EPSG:32616`.
        name: name of the array (default: `mask` or `instances`).
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
            raise ValueError("Polygons: set either geojson or csv")
        if class_key is None and classes is not None:
            raise ValueError("Polygons: classes is set, but class_key is not; set it to where the classes are written")
        self.geojson, self.csv, self.id_column, self.wkt_column = geojson, csv, id_column, wkt_column
        self.coordinates, self.grid_sizes = coordinates, grid_sizes
        self.class_key, self.classes, self.instances, self.buffer = class_key, classes, instances, buffer
        self.required, self.crs = required, crs
        self.name = name or ("instances" if instances else "mask")
        self._rows: dict[str, list[tuple[str, str, int]]] = {}
        self._paths: dict[str, Path] = {}
        self._grid: dict[str, tuple[float, float]] = {}
        self._kept: tuple[str, np.ndarray, np.ndarray] | None = None  # polygons of the last image read

    def adopts_classes(self, count: int) -> bool:
        return self.class_key is not None

    def prepare(self, table: pd.DataFrame, root: Path) -> None:
        super().prepare(table, root)
        if self.class_key is not None and self.classes is None:
            raise ValueError("Polygons: class_key is set, but classes is not; set it, or data.classes")
        import_shapely()
        if self.csv is not None:
            self._prepare_csv(table)
        else:
            self._prepare_geojson(table)

    def _prepare_geojson(self, table: pd.DataFrame) -> None:
        pattern = self.geojson or ""
        self._paths = located(self.root, pattern, table, what="polygons")
        place, cure = partial(sought, self.root, pattern, table), "Check geojson of the target"
        tell_missing(table, self._paths, "polygons", place, cure, self.required, "polygons")
        if self.class_key is None:
            return
        kinds: set[str] = set()
        for path in self._paths.values():  # up to the first file with a known class
            kinds |= set(self._kinds(path, _features(path)[1]))
            if kinds & set(self.classes):
                return
        self._refuse_kinds(f"{self.geojson}: the property {self.class_key!r}", kinds)

    def _kinds(self, path: Path, features: list[dict]) -> list[str]:
        """Return the class of each feature of a file."""
        kinds = []
        for number, feature in enumerate(features):
            properties = feature.get("properties") or {}
            if self.class_key not in properties:
                raise ValueError(
                    f"{path}, feature {number}: no property {self.class_key!r}, only {sorted(properties)}; set "
                    "target.class_key"
                )
            kinds.append(str(properties[self.class_key]))
        return kinds

    def _refuse_kinds(self, where: str, kinds: set[str]) -> None:
        """Raise an error if no polygon has one of the classes."""
        few = ", ".join(sorted(map(repr, kinds))[:12])
        raise ValueError(
            f"{where} has none of the classes {', '.join(map(repr, self.classes))}; it has {few or 'no values'}. Set "
            "target.classes to values in the file"
        )

    def _prepare_csv(self, table: pd.DataFrame) -> None:
        path = confined(self.root, self.csv)
        rows = read_csv(path)
        wanted = [self.id_column, self.wkt_column, *([self.class_key] if self.class_key else [])]
        lacking = [column for column in wanted if column not in rows]
        if lacking:
            raise ValueError(f"{path} has no column {lacking[0]!r}, only {list(rows.columns)}")
        kinds = rows[self.class_key] if self.class_key else [""] * len(rows)
        if self.classes is not None and not set(kinds) & set(self.classes):
            self._refuse_kinds(f"{path}, column {self.class_key}", set(kinds))
        where = f"{path}, column {self.id_column}"
        ids = matched(rows[self.id_column], table, self.root, where, every=self.required)
        self._rows = {image_id: [] for image_id in table["image_id"]}
        for number, (image_id, kind, wkt) in enumerate(zip(ids, kinds, rows[self.wkt_column], strict=True), 2):
            if image_id in self._rows:
                self._rows[image_id].append((kind, wkt, number))
        if self.coordinates == "grid":
            if self.grid_sizes is None:
                raise ValueError("Polygons: coordinates grid needs grid_sizes")
            sizes = read_csv(confined(self.root, self.grid_sizes))
            names = matched(sizes.iloc[:, 0], table, self.root, f"{self.grid_sizes}, column 1", others="ignore")
            across, down = (numbers_of(sizes.iloc[:, n], f"{self.grid_sizes}, column {n + 1}") for n in (1, 2))
            self._grid = dict(zip(names, zip(across, down, strict=True), strict=True))

    def files(self, row: Row) -> list[Path]:
        if self.csv is not None:
            return [confined(self.root, self.csv)]
        return [self._paths[row.image_id]] if row.image_id in self._paths else []

    def read(self, row: Row, size: tuple[int, int]) -> dict[str, np.ndarray]:
        if self._kept is None or self._kept[0] != row.image_id:
            self._kept = row.image_id, *self.polygons(row)
        _, kinds, polygons = self._kept
        window = getattr(row, "window", (0, 0, *size))
        inside = _touching(polygons, window)
        if self.instances:
            numbers = np.concatenate([[0], inside + 1]).astype(np.int32)
            return {self.name: numbers[_drawn(polygons[inside], window)]}
        chosen = [inside[kinds[inside] == kind] for kind in self.classes] if self.classes is not None else [inside]
        return {self.name: np.stack([_drawn(polygons[one], window) > 0 for one in chosen]).astype(np.uint8)}

    def polygons(self, row: Row) -> tuple[np.ndarray, np.ndarray]:
        """Return class and polygon of each area of an image `(n,)`, in pixel coordinates (x = column, y = row).

        Raises:
            ValueError: if a polygon is invalid; names the file and the fault.
        """
        shapely = import_shapely()
        kinds, shapes = self._from_csv(row) if self.csv is not None else self._from_geojson(row)
        kinds, shapes = np.array(kinds, object), np.array(shapes, object)
        if self.classes is not None:
            wanted = np.isin(kinds, self.classes)
            kinds, shapes = kinds[wanted], shapes[wanted]
        flat = ~shapely.is_empty(shapes) & (shapely.get_dimensions(shapes) < 2)
        if flat.any() and not self.buffer:
            raise ValueError(
                f"{self.csv or self._paths[row.image_id]}, image {row.image_id!r}: a {shapes[flat][0].geom_type} has "
                "no area, expected polygons; set the target's buffer"
            )
        if self.instances:
            shapes, number = shapely.get_parts(shapes, return_index=True)
            kinds = kinds[number]
        if self.buffer:
            shapes = shapely.buffer(shapes, self.buffer)
        odd = ~shapely.is_valid(shapes) | (shapely.get_type_id(shapes) != POLYGON)
        shapes[odd] = [shapely.MultiPolygon(areas(shape)) for shape in shapes[odd]]
        nonempty = ~shapely.is_empty(shapes)
        return kinds[nonempty], self._to_pixels(row, shapes[nonempty])

    def _from_csv(self, row: Row) -> tuple[list[str], Sequence["BaseGeometry"]]:
        shapely = import_shapely()
        rows = self._rows.get(row.image_id, [])
        try:
            shapes = shapely.from_wkt([wkt for _, wkt, _ in rows])
        except shapely.errors.ShapelyError as error:
            wrong, number = next((wkt, number) for _, wkt, number in rows if not _is_wkt(wkt))
            raise ValueError(
                f"{self.csv}, row {number}, image {row.image_id!r}: {wrong[:60]!r} is not valid WKT: {error}"
            ) from None
        return [kind for kind, _, _ in rows], shapely.force_2d(shapes)

    def _from_geojson(self, row: Row) -> tuple[list[str], list["BaseGeometry"]]:
        from rasterio.warp import transform_geom
        from shapely.geometry import shape

        path = self._paths.get(row.image_id)
        content, features = _features(path) if path is not None else ({}, [])
        if not features:
            return [], []
        classes = self._kinds(path, features) if self.class_key else [""] * len(features)
        target = georeference(row).crs
        crs = (content.get("crs") or {}).get("properties", {}).get("name") or self.crs
        crs = crs or ("OGC:CRS84" if _degrees(features) else target)
        if target is None:
            raise ValueError(f"image {row.image_id!r} has no reference system, so {path} cannot be aligned with it")
        kinds, shapes = [], []
        for number, (kind, feature) in enumerate(zip(classes, features, strict=True)):
            geometry = _closed(feature.get("geometry"))
            if geometry is None or not geometry.get("coordinates"):
                continue
            try:
                shapes.append(shape(transform_geom(crs, target, geometry)))
            except Exception as error:
                raise ValueError(f"{path}, feature {number}: {error}") from error
            kinds.append(kind)
        return kinds, shapes

    def _to_pixels(self, row: Row, polygons: np.ndarray) -> np.ndarray:
        if self.csv is not None and self.coordinates == "pixel":
            return polygons
        image = georeference(row)
        if self.csv is not None and self.coordinates == "grid":
            xmax, ymin = self._grid[grid_key(self._grid, row.image_id)]
            # DSTL: x / Xmax * W', W' = W * W / (W + 1); y / Ymin * H' (the competition's data page).
            across = image.width * image.width / (image.width + 1) / xmax
            down = image.height * image.height / (image.height + 1) / ymin
            return import_shapely().transform(polygons, lambda points: points * (across, down))
        a, b, c, d, e, f = (~image.transform)[:6]
        return import_shapely().transform(polygons, lambda points: points @ [[a, d], [b, e]] + (c, f))


def _features(path: Path) -> tuple[dict, list[dict]]:
    """Read a GeoJSON file and its features; an empty file, as SpaceNet's for chips without buildings, has none."""
    if not read_text(path).strip():
        return {}, []
    content = read_json(path)
    features = content.get("features") if isinstance(content, dict) else None
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise ValueError(f"{path} is not a GeoJSON feature collection: it has no list of features")
    return content, features


def _degrees(features: list[dict]) -> bool:
    """Return whether all coordinates are in the range of longitude and latitude."""

    def numbers(part: Any) -> Any:
        is_point = part and isinstance(part[0], int | float)
        return [part[:2]] if is_point else [point for inner in part for point in numbers(inner)]

    points = [p for feature in features for p in numbers((feature.get("geometry") or {}).get("coordinates") or [])]
    return all(abs(x) <= 180 and abs(y) <= 90 for x, y in points)


def grid_key(grid: dict[str, tuple[float, float]], image_id: str) -> str:
    """Return the image's key in the table of grid sizes, or raise an error."""
    if image_id not in grid:
        raise ValueError(f"image {image_id!r} has no row in grid_sizes")
    return image_id


def _closed(geometry: dict | None) -> dict | None:
    """Drop rings of fewer than three points from a GeoJSON geometry, which shapely rejects."""
    if geometry is None or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        return geometry
    single = geometry["type"] == "Polygon"
    polygons = [geometry.get("coordinates") or []] if single else geometry.get("coordinates") or []
    kept = [[ring for ring in rings if len(ring) > 2] for rings in polygons if rings and len(rings[0]) > 2]
    return geometry | {"coordinates": (kept[0] if kept else []) if single else kept}


def _is_wkt(text: str) -> bool:
    shapely = import_shapely()
    try:
        return shapely.from_wkt(text) is not None
    except shapely.errors.ShapelyError:
        return False


def _touching(polygons: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """Return the indices of polygons whose bounding box overlaps a window."""
    top, left, height, width = window
    bounds = import_shapely().bounds(polygons).reshape(-1, 4)
    low, high = bounds[:, :2] <= (left + width, top + height), bounds[:, 2:] >= (left, top)
    return np.flatnonzero(low.all(1) & high.all(1))


def _drawn(polygons: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """Return the number, from 1, of the polygon of each pixel of a window; 0 for none."""
    top, left, height, width = window
    rings, numbers = rings_of(polygons)
    return filled([ring - (left, top) for ring in rings], (height, width), numbers)
