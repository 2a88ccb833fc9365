"""Windows of a GeoTIFF scene: handles that stay open against opening the file for each window.

Needs rasterio: pip install -e ".[satellite]".
"""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import rasterio
from rasterio.windows import Window

from benchmarks.measure import Report, compare
from datamodules.readers import GeoTiffReader
from datamodules.readers.geotiff import HANDLES

SIDE, SIZE, COUNT = 4096, 512, 16


def scene(path: Path, **layout: object) -> None:
    """A textured picture of three bytes a pixel."""
    random = np.random.default_rng(0)
    texture = cv2.GaussianBlur(random.standard_normal((SIDE, SIDE, 3)).astype(np.float32), (0, 0), 4)
    pixels = np.clip(texture * 500 + 128, 0, 255).astype(np.uint8).transpose(2, 0, 1)
    profile = {"driver": "GTiff", "count": 3, "height": SIDE, "width": SIDE, "dtype": "uint8", "crs": "EPSG:32616"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(1, 0, 5e5, 0, -1, 4e6), **layout) as target:
        target.write(pixels)


def main() -> None:
    """Twice: as GDAL is, and with no memory for the decoded blocks that it keeps of a file that stays open."""
    report = Report("geotiff", ["rasterio", "numpy"])
    measure(report, "")
    with rasterio.Env(GDAL_CACHEMAX=1):
        measure(report, ", 1 MB of blocks kept")
    report.save()


def measure(report: Report, memory: str) -> None:
    random = np.random.default_rng(1)
    corners = random.integers(0, SIDE - SIZE, (COUNT, 2)).tolist()
    layouts = {
        "tiles of 256, not compressed": {"tiled": True, "blockxsize": 256, "blockysize": 256},
        "tiles of 256, deflate": {"tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"},
        "strips": {"tiled": False},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, layout in layouts.items():
            path = Path(folder) / f"{name.replace(' ', '_').replace(',', '')}.tif"
            scene(path, **layout)
            reader = GeoTiffReader()
            rows = [SimpleNamespace(image_id="a", path=str(path), window=(*corner, SIZE, SIZE)) for corner in corners]

            def opened(path: Path = path) -> list[np.ndarray]:
                found = []
                for top, left in corners:
                    with rasterio.open(path) as source:
                        found.append(source.read(window=Window(left, top, SIZE, SIZE)).transpose(1, 2, 0))
                return found

            def kept(rows: list = rows, reader: GeoTiffReader = reader) -> list[np.ndarray]:
                return [reader.read(row) for row in rows]

            for one, other in zip(kept(), opened(), strict=True):
                np.testing.assert_array_equal(one, other)
            work = f"{COUNT} windows of {SIZE} of {SIDE} x {SIDE} x 3, {name}{memory}"
            report.add(work, compare({"opened for each": opened, "kept open": kept}, "opened for each"))
            HANDLES.close()


if __name__ == "__main__":
    main()
