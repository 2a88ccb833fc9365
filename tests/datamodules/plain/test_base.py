"""What works on files alone starts without torch."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules.plain import ImageData

HEAVY = [
    "torch",
    "pytorch_lightning",
    "torchvision",
    "torchmetrics",
    "albumentations",
    "matplotlib",
    "sklearn",
    "skimage",
]
HEAVY += ["scipy", "rasterio", "pydicom", "nibabel", "shapely", "polars", "timm", "monai"]
SCRIPT = f"""
import sys
import datamodules, datamodules.readers, datamodules.targets, datamodules.external, datamodules.windows
import datamodules.samplers
from datamodules.plain import ImageData
from datamodules.readers import ImageReader
from datamodules.table import rows_of
from datamodules.targets import MaskFiles
from evaluation.cross_validation import CrossValidation
from evaluation.folds import write_folds

data = ImageData(
    "data", "images/*.png", [MaskFiles("masks/{{image_id}}.png", "mask")], reader=ImageReader("gray"), folds="folds.csv"
)
folds = data.fold_table(CrossValidation(stratify="area")).assign(fold=[0, 0, 1, 1], group=["a", "b", "c", "d"])
write_folds(folds[["image_id", "fold", "group"]], "folds.csv")
assert len(data.table()) == 4 and set(data.sizes("val").values()) == {{(8, 9)}}
assert len(data.split_table("train")) == 2
assert {{data.target_arrays(row)["mask"].shape for row in rows_of(data.table())}} == {{(1, 8, 9)}}
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_an_argument_of_loaders_is_told():
    with pytest.raises(TypeError, match="ImageData has no argument 'batch_size'; arguments of loaders belong to"):
        ImageData("data", "*.png", [], batch_size=2)


def test_tables_folds_sizes_and_truth_need_no_torch(tmp_path):
    random = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(4):
            cv2.imwrite(
                str(tmp_path / "data" / folder / f"{number}.png"), random.integers(0, 2, (8, 9), np.uint8) * 255
            )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env={"PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
