"""Georeferenced predictions: a GeoTIFF and a GeoJSON per image, with an index."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from files.writing import write_json
from submissions.base import require_array
from submissions.image_files import ImageFiles, check_shape

if TYPE_CHECKING:
    import pandas as pd


class GeoTiffs(ImageFiles):
    """A folder of GeoTIFFs next to the submission file, which lists them: `image_id,path`.

    `submission.csv` is the list, `submission/<image_id>.tif` are the files; `submit --output name` writes only a
    folder, `--output name.zip` a zip. Each file has the reference system and transform of its image: class numbers
    (argmax of several softmax channels), one band of 0 and 1 per channel of a mask, or instance ids.

    Args:
        output: name of the array in the post-processed prediction.
        nodata: value of pixels where the image has no data; None writes the prediction there too.
        polygons: whether to write `<image_id>.geojson` too: outlines of classes above 0, channels or instances, in
            longitude and latitude (RFC 7946), with the property `value`.
        simplify: tolerance of outlines in pixels; 0 keeps every corner of every pixel.
    """

    ending = ".tif"
    more_endings = (".geojson",)

    def __init__(
        self, output: str = "mask", nodata: int | None = None, polygons: bool = False, simplify: float = 0.0
    ) -> None:
        self.output, self.nodata, self.polygons, self.simplify = output, nodata, polygons, simplify
        super().__init__()
        self.sources: dict[str, Path] = {}

    def begin(self, output: Path, table: "pd.DataFrame") -> None:
        self.sources = dict(zip(table["image_id"], table["path"], strict=True))

    def write_file(self, path: Path, image_id: str, prediction: dict[str, np.ndarray]) -> None:
        import rasterio

        bands = as_bands(require_array(prediction, self.output))
        with rasterio.open(self._source(image_id)) as source:
            if source.shape != bands.shape[1:]:
                raise ValueError(
                    f"prediction of image {image_id!r} is {bands.shape[1:]}, expected {source.shape} as the image"
                )
            if self.nodata is not None:
                bands = np.where(source.dataset_mask() > 0, bands, np.asarray(self.nodata).astype(bands.dtype))
            place = {"crs": source.crs, "transform": source.transform}
        profile = {"driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
        profile |= {"dtype": bands.dtype, "nodata": self.nodata, "compress": "deflate"} | place
        with rasterio.open(path, "w", **profile) as target:
            target.write(bands)
        if self.polygons:
            self._write_polygons(path.with_suffix(".geojson"), bands, place)

    def _source(self, image_id: str) -> str:
        if image_id not in self.sources:
            raise ValueError(f"image {image_id!r} has no file to read georeferencing from")
        path = str(self.sources[image_id])
        if "{band}" in path:  # one file per band: they share their grid
            parent, pattern = Path(path.split("{band}")[0]).parent, path.rsplit("{band}")[-1]
            path = str(next(parent.glob(f"*/*{pattern}")))
        return path

    def _write_polygons(self, path: Path, bands: np.ndarray, place: dict[str, Any]) -> None:
        from rasterio.features import shapes
        from rasterio.warp import transform_geom
        from shapely.geometry import mapping, shape

        features = []
        for channel, band in enumerate(bands, 1):
            counted = band > 0 if self.nodata is None else (band > 0) & (band != self.nodata)
            for geometry, value in shapes(band.astype(np.int32), mask=counted, transform=place["transform"]):
                if self.simplify:
                    geometry = mapping(shape(geometry).simplify(self.simplify * abs(place["transform"].a)))
                if place["crs"] is not None:
                    geometry = transform_geom(place["crs"], "OGC:CRS84", geometry)
                properties = {"value": int(value)} | ({"channel": channel} if len(bands) > 1 else {})
                features.append({"type": "Feature", "properties": properties, "geometry": geometry})
        write_json(path, {"type": "FeatureCollection", "features": features}, indent=None)

    def read_file(self, path: Path, size: tuple[int, int]) -> dict[str, np.ndarray]:
        import rasterio

        try:
            with rasterio.open(path) as source:
                bands = source.read()
        except rasterio.errors.RasterioError as error:
            raise ValueError(str(error)) from error
        check_shape(bands.shape[1:], size)
        return {self.output: bands[0] if len(bands) == 1 else bands > 0}


def as_bands(array: np.ndarray) -> np.ndarray:
    """Convert any prediction to `(bands, H, W)` integers: class numbers, 0 and 1 per channel, or instance ids."""
    if array.dtype == bool:
        return (array if array.ndim == 3 else array[None]).astype(np.uint8)
    if array.dtype.kind == "f":
        if array.ndim != 3 or len(array) == 1:
            raise ValueError("GeoTiffs expects a mask, got probabilities: add postprocessing.Threshold to postprocess")
        return array.argmax(0).astype(np.uint8)[None]
    highest = array.max(initial=0)
    smallest = next(kind for kind in (np.uint8, np.uint16, np.int32, np.int64) if highest <= np.iinfo(kind).max)
    return (array if array.ndim == 3 else array[None]).astype(smallest)
