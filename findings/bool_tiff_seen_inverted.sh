#!/bin/sh
# A mask that tifffile writes comes back inverted from Pillow.
#
# Versions: tifffile 2026.3.3, Pillow 13.0.0, numpy 2.4.6.
# Expected: a bool array written to TIFF is the same bool array for every reader.
# Seen: tifffile stores True as bit 1 with PhotometricInterpretation 0 (WhiteIsZero), unless told otherwise, and reads the
#       bits. Pillow reads what is seen: bit 0 is white, 255. So background and object change places between the two.
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

mask = np.zeros((20, 30), bool)
mask[4:9, 5:15] = True
tifffile.imwrite("a.tif", mask)
tifffile.imwrite("b.tif", mask, photometric="minisblack")
inverted = []
for name in ("a.tif", "b.tif"):
    assert np.array_equal(tifffile.imread(name), mask)
    seen = np.asarray(Image.open(name))
    inverted.append(bool(np.array_equal(seen, ~mask)))
    print(name, "Pillow gives", int(seen.sum()), "True of", int(mask.sum()), "inverted", inverted[-1])
sys.exit(0 if inverted == [True, False] else 1)
PYTHON
