#!/bin/sh
# Pillow gives other pixels for one and the same TIFF when it is opened by its path than by an open file.
#
# Versions: Pillow 13.0.0, tifffile 2026.3.3 (only writes the file), numpy 2.4.6.
# Expected: an uncompressed gray TIFF whose Orientation tag (274) is 5, 6, 7 or 8 is turned upright, or left as stored,
#           however it is opened.
# Seen: by a stream it is upright. By a path its pixels are mapped into memory with width and height exchanged and then
#       turned, so that rows are torn; the array has the shape of the stored picture. Orientations 1 to 4 are right.
# Exits 0 while that is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 tifffile==2026.3.3 pillow==13.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import tifffile
from PIL import Image

stored, wrong = np.arange(12, dtype=np.uint8).reshape(3, 4), []
for orientation in range(1, 9):
    tifffile.imwrite("a.tif", stored, extratags=[(274, "H", 1, orientation, True)])
    by_path = np.asarray(Image.open("a.tif"))
    with open("a.tif", "rb") as handle:
        by_stream = np.asarray(Image.open(handle))
    if not np.array_equal(by_path, by_stream):
        wrong.append(orientation)
        print("orientation", orientation, "by path", by_path.shape, by_path.tolist(), "by stream", by_stream.tolist())
sys.exit(0 if wrong == [5, 6, 7, 8] else 1)
PYTHON
