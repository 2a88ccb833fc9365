"""One polygon row per building: SpaceNet."""

import numpy as np

from masks.outlines import from_wkt, inside, outlines, rasterised
from masks.polygons import import_shapely
from submissions.base import RowError, Submission, require_array


class Polygons(Submission):
    """`ImageId,BuildingId,PolygonWKT_Pix,Confidence` with one row per building (SpaceNet 1, 2 and 4).

    An image without buildings has one row with id -1 and `POLYGON EMPTY`. Polygons follow the edges of pixels; an
    instance of several pieces becomes several buildings.

    Args:
        tolerance: tolerance in pixels up to which outlines are simplified; 0 keeps the exact outline.
        id_column: name of the id column.
        building_column: name of the column of building numbers.
        polygon_column: name of the column of the polygon in pixels, x = column and y = row.
        confidence_column: name of the confidence column, which a solution may lack.
        suffix: suffix of ids in the file that image ids lack.
        output: name of the instance ids `(H, W)` in the post-processed prediction.
        confidence: name of the confidences `(n,)`, at index i - 1 for id i; all 1 if the array is missing.
    """

    several_rows = True

    def __init__(
        self,
        tolerance: float = 0.0,
        id_column: str = "ImageId",
        building_column: str = "BuildingId",
        polygon_column: str = "PolygonWKT_Pix",
        confidence_column: str = "Confidence",
        suffix: str = "",
        output: str = "instances",
        confidence: str = "confidence",
    ) -> None:
        self.columns = (id_column, building_column, polygon_column, confidence_column)
        self.optional = (confidence_column,)
        self.tolerance, self.suffix, self.output, self.confidence = tolerance, suffix, output, confidence

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
        shapely, labels = import_shapely(), require_array(prediction, self.output)
        if labels.ndim != 2 or labels.dtype.kind not in "iu":
            raise ValueError(f"{self.output!r} is {labels.dtype} {labels.shape}, expected instance ids (H, W)")
        confidence = prediction.get(self.confidence)
        if confidence is not None and labels.max(initial=0) > len(confidence):
            raise ValueError(
                f"{self.confidence!r} has {len(confidence)} values, expected one for instance {labels.max()}"
            )
        written: list[tuple[str, ...]] = [
            (
                image_id + self.suffix,
                str(number),
                shapely.to_wkt(polygon, rounding_precision=4, trim=True),
                "1" if confidence is None else str(np.float32(confidence[instance - 1])),
            )
            for number, (instance, polygon) in enumerate(outlines(labels, self.tolerance), 1)
        ]
        return written or [(image_id + self.suffix, "-1", "POLYGON EMPTY", "1")]

    def image(self, texts: list[tuple[str, ...]], size: tuple[int, int]) -> dict[str, np.ndarray]:
        """`instances` `(H, W)`, `polygons` `(n,)`, and their `confidence` `(n,)` in the order of rows."""
        polygons, confidences, seen = [], [], set()
        for number, (_, building, text, confidence) in enumerate(texts):
            if building in seen:
                raise RowError(f"building {building!r} is repeated", number)
            seen.add(building)
            try:
                polygon = from_wkt(text, ("Polygon",))
                if polygon.is_empty != (building.strip() == "-1"):
                    raise ValueError(f"building {building!r} is {text[:40]!r}; -1 is for POLYGON EMPTY only")
                if polygon.is_empty and len(texts) > 1:
                    raise ValueError(f"building -1 means no buildings, but the image has {len(texts)} rows")
                if not inside(polygon, size[1], size[0]):
                    raise ValueError(f"building {building!r} exceeds the image of {size[1]} x {size[0]} pixels")
                score = float(confidence) if confidence.strip() else 1.0
                if not np.isfinite(score):
                    raise ValueError(f"confidence is {confidence!r}, expected a number")
            except ValueError as error:
                raise RowError(str(error), number) from error
            if not polygon.is_empty:
                polygons.append(polygon)
                confidences.append(score)
        array = np.empty(len(polygons), object)
        array[:] = polygons
        return {self.output: rasterised(polygons, size), "polygons": array, self.confidence: np.array(confidences)}
