"""An image of instance ids per image."""

from pathlib import Path
from typing import Literal

import numpy as np
import tifffile
from PIL import Image

from files.png import write_png
from masks.ids import consecutive
from submissions.base import require_array
from submissions.image_files import ImageFiles, check_shape


class InstanceImages(ImageFiles):
    """A PNG or TIFF per image whose pixels are instance ids, 0 for background: Cell Tracking Challenge, NuInsSeg.

    `submission.zip` has `<image_id>.png` or `.tif`; `submit --output name` writes a folder, `--output name.csv` a
    folder and a list of its files. Ids are written as 1 … n.

    Args:
        ending: format of the files: `.png` (16 bits) or `.tif`.
        bits: 16, for up to 65535 instances, or 32 (`.tif` only).
        output: name of the instance ids `(H, W)` in the post-processed prediction.
    """

    file_name = "submission.zip"

    def __init__(
        self, ending: Literal[".png", ".tif"] = ".png", bits: Literal[16, 32] = 16, output: str = "instances"
    ) -> None:
        super().__init__()
        if ending not in (".png", ".tif") or bits not in (16, 32):
            raise ValueError(f"InstanceImages: ending is {ending} and bits {bits}, expected .png or .tif, 16 or 32")
        if ending == ".png" and bits == 32:
            raise ValueError("InstanceImages: PNG has no 32 bits; set `ending: .tif`")
        self.ending, self.bits, self.output = ending, bits, output

    def write_file(self, path: Path, image_id: str, prediction: dict[str, np.ndarray]) -> None:
        labels = require_array(prediction, self.output)
        if labels.ndim != 2 or labels.dtype.kind not in "iu":
            raise ValueError(f"{self.output!r} is {labels.dtype} {labels.shape}, expected instance ids (H, W)")
        labels, ids = consecutive(labels)
        if len(ids) >= 2**self.bits:
            raise ValueError(
                f"{len(ids)} instances do not fit into {self.bits} bits; set `ending: .tif` and `bits: 32`"
            )
        labels = labels.astype(np.uint16 if self.bits == 16 else np.uint32)
        if self.ending == ".png":
            write_png(path, labels, durable=False)
        else:
            tifffile.imwrite(path, labels, compression="zlib", photometric="minisblack")

    def read_file(self, path: Path, size: tuple[int, int]) -> dict[str, np.ndarray]:
        if self.ending == ".png":
            with Image.open(path) as image:
                if image.mode not in ("I;16", "I", "L"):
                    raise ValueError(f"its mode is {image.mode}, expected one channel of ids")
                labels = np.asarray(image)
        else:
            try:
                labels = tifffile.imread(path)
            except (tifffile.TiffFileError, ValueError) as error:
                raise ValueError(f"it is not a readable TIFF: {error}") from error
        if labels.ndim != 2 or labels.dtype.kind not in "iu":
            raise ValueError(f"it is {labels.dtype} {labels.shape}, expected integer ids of one channel")
        check_shape(labels.shape, size)
        return {self.output: labels.astype(np.int32 if labels.max(initial=0) < 2**31 else np.int64)}
