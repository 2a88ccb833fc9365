#!/bin/sh
# OpenCV's remap is far less exact for images of float64 than for the same images of float32 or uint16.
#
# Versions: opencv-python-headless 5.0.0.93, numpy 2.4.6, on x86-64.
# Expected: of a ramp (10 more per pixel) taken 0.02 pixels further on, linear interpolation gives 0.2 more than the
#           pixel, in float32 and, if anything more exactly, in float64.
# Seen: float32 gives 0.2. In float64 places are rounded to a 32nd of a pixel before anything is interpolated, so that
#       0.02 becomes 0.03125 and 0.01 becomes 0: heights, depths and heat maps are better moved in float32.
# Exits 0 while that is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 opencv-python-headless==5.0.0.93
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np

ramp = 10 * np.arange(64.0)[None].repeat(8, axis=0)
seen = {}
for shift in (0.01, 0.02, 0.3):
    across = np.arange(60, dtype=np.float32)[None].repeat(8, axis=0) + np.float32(shift)
    down = np.full_like(across, 3)
    for kind in (np.float32, np.float64):
        found = cv2.remap(ramp.astype(kind), across, down, cv2.INTER_LINEAR)
        seen[kind.__name__, shift] = float(np.abs(found - 10 * across.astype(np.float64)).max())
print("largest error, in values of which a pixel has 10 more than the one before it:", seen)
single = max(error for (kind, _), error in seen.items() if kind == "float32")
double = max(error for (kind, _), error in seen.items() if kind == "float64")
sys.exit(0 if single < 1e-3 and 0.05 < double < 10 / 64 + 1e-3 else 1)
PYTHON
