#!/usr/bin/env bash
# A band tagged as alpha after the pixels are written: kept in some GeoTIFFs, lost without a word in others.
#
# Versions: rasterio 1.4.4 (its wheel has GDAL 3.10.3), numpy 2.2.6.
# Input: new GeoTIFFs of bytes with 2 to 5 bands, the first gray, the last one alpha.
# Expected: `file.colorinterp = […]` before `file.write(…)` and after it give the same file, or the second is an error.
# Seen: before, the tag is there for any number of bands. After, it is there in files of 3 and 4 bands; in files of 2 and
#   5 bands the band is `undefined`, there is no .aux.xml either, no exception and no Python warning. So a mask with
#   alpha (2 bands), or R, G, B, NIR and alpha (5), reads back as if every pixel held data.
# Exit: 0 while that is so, 1 once it is another way.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.2.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys
import warnings

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

warnings.simplefilter("error")
warnings.filterwarnings("ignore", category=PendingDeprecationWarning)  # of affine, about an operator


def tags(bands: int, before: bool) -> tuple[list[str], bool]:
    path = f"{bands}{before}.tif"
    colours = [ColorInterp.gray, *[ColorInterp.undefined] * (bands - 2), ColorInterp.alpha]
    with rasterio.open(
        path, "w", driver="GTiff", height=8, width=8, count=bands, dtype="uint8", crs="EPSG:32633",
        transform=from_origin(5e5, 5e6, 10, 10),
    ) as file:
        if before:
            file.colorinterp = colours
        file.write(np.ones((bands, 8, 8), np.uint8))
        if not before:
            file.colorinterp = colours
    with rasterio.open(path) as file:
        return [colour.name for colour in file.colorinterp], os.path.exists(path + ".aux.xml")


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
seen = {}
for bands in (2, 3, 4, 5):
    for before in (True, False):
        names, beside = tags(bands, before)
        seen[bands, before] = names[-1]
        print(f"{bands} bands, tagged {'before' if before else 'after'} the pixels: {names}, .aux.xml: {beside}")
expected = {(bands, before): "alpha" for bands in (2, 3, 4, 5) for before in (True, False)}
sys.exit(0 if seen == expected | {(2, False): "undefined", (5, False): "undefined"} else 1)
PYTHON
