"""Damaged files of every kind: documented errors that name the file, in time and in little memory.

The damage is drawn from a seed: flipped bits, cut, inserted and overwritten bytes.
"""

import json
import random
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest
import rasterio
import tifffile
import torch
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from rasterio.transform import from_origin

from datamodules.readers import DicomReader, GeoTiffReader, ImageReader, VolumeReader
from datamodules.targets import CocoMasks
from evaluation.folds import read_folds
from experiments.yaml_files import read_yaml
from files.tables import read_csv
from lightning_modules.weights import read_checkpoint
from masks import rle
from predictions.store import PredictionStore
from submissions import RunLengths

ROOT = Path(__file__).resolve().parents[1]
SECONDS, MEGABYTES = 10, 1000  # of each file, at most
OVERWRITES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"1e99", b",,,,", b"\n\n\n")


def mutants(content: bytes, count: int) -> Iterator[bytes]:
    rng = random.Random(0)
    for _ in range(count):
        found = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 8])):
            place, kind = rng.randrange(max(1, len(found))), rng.random()
            if kind < 0.5 and found:
                found[place] ^= 1 << rng.randrange(8)
            elif kind < 0.65:
                del found[place : place + rng.randrange(1, 20)]
            elif kind < 0.8:
                found[place:place] = rng.randbytes(rng.randrange(1, 6))
            elif kind < 0.9:
                found[place : place + 4] = rng.choice(OVERWRITES)
            else:
                del found[place:]
        yield bytes(found)


PIXELS = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
VOXELS = np.random.default_rng(0).integers(0, 100, (12, 10, 8), np.int16)
IDS = [f"a{number}" for number in range(1, 20)]


def encoded(path: Path) -> None:
    cv2.imwrite(str(path), PIXELS)


def scientific_tiff(path: Path) -> None:
    tifffile.imwrite(path, PIXELS.astype(np.uint16) * 200, compression="zlib", tile=(16, 16))


def geotiff(path: Path) -> None:
    profile = {"driver": "GTiff", "width": 50, "height": 40, "count": 3, "dtype": "uint8", "compress": "deflate"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=from_origin(5e5, 4e6, 1, 1), **profile) as target:
        target.write(PIXELS.transpose(2, 0, 1))


def nifti(path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(VOXELS, np.eye(4)), path)


def metaimage(path: Path) -> None:
    head = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    head += "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 1\nDimSize = 8 10 12\n"
    path.write_bytes((head + "ElementType = MET_SHORT\nElementDataFile = LOCAL\n").encode() + VOXELS.tobytes())


def dicom(path: Path) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns, data.SamplesPerPixel = 40, 50, 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.WindowCenter, data.WindowWidth = 2000, 3000
    data.PixelData = (PIXELS[..., 0].astype(np.uint16) * 16).tobytes()
    data.save_as(path)


def table(path: Path) -> None:
    path.write_text("image_id,fold,label\n" + "".join(f"{one},{len(one) % 2},{one[-1]}\n" for one in IDS))


def config(path: Path) -> None:
    path.write_bytes((ROOT / "configs" / "dsb2018.yaml").read_bytes())


def submission(path: Path) -> None:
    path.write_text("id,rle\n" + "".join(f"{one},1 3 10 {one[1:]}\n" for one in IDS))


def run_lengths(path: Path) -> None:
    path.write_text("1 3 10 5 40 6 100 20")


def checkpoint(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.randn(20, 20)}, "epoch": 3}, path)


def coco(path: Path) -> None:
    square = [[1, 1, 9, 1, 9, 9, 1, 9]]
    annotations = [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 3,
            "bbox": [1, 1, 8, 8],
            "area": 64,
            "iscrowd": 0,
            "segmentation": square,
        }
    ]
    content = {
        "images": [{"id": 1, "file_name": "a1.png", "height": 40, "width": 50}],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "cell"}],
    }
    path.write_text(json.dumps(content))


def entry(path: Path) -> None:
    store = PredictionStore(path.parent / "store")
    store.write("a1", {"mask": PIXELS[None, ..., 0] / np.float32(255)})
    path.write_bytes((store.path / "a1.npz").read_bytes())


def read_entry(path: Path) -> None:
    store = path.parent / "store"
    path.replace(store / "a1.npz")
    PredictionStore(store).read("a1")


def read_coco(path: Path) -> None:
    target = CocoMasks(path.name, "instances")
    target.prepare(pd.DataFrame({"image_id": ["a1"]}), path.parent)
    target.read(SimpleNamespace(image_id="a1"), (40, 50))


def row_of(path: Path) -> SimpleNamespace:
    return SimpleNamespace(image_id="a1", path=str(path))


KINDS: dict[str, tuple[str, Callable, Callable]] = {
    # name: file name, how it is written, how it is read
    "png": ("x.png", encoded, lambda path: ImageReader().read(row_of(path))),
    "jpeg": ("x.jpg", encoded, lambda path: ImageReader().read(row_of(path))),
    "tiff": ("x.tif", scientific_tiff, lambda path: ImageReader().read(row_of(path))),
    "geotiff": ("x.tif", geotiff, lambda path: GeoTiffReader().read(row_of(path))),
    "nifti": ("x.nii", nifti, lambda path: VolumeReader().read(row_of(path))),
    "packed nifti": ("x.nii.gz", nifti, lambda path: VolumeReader().read(row_of(path))),
    "metaimage": ("x.mha", metaimage, lambda path: VolumeReader().read(row_of(path))),
    "dicom": ("x.dcm", dicom, lambda path: DicomReader().read(row_of(path))),
    "metadata": ("x.csv", table, read_csv),
    "folds": ("x.csv", table, read_folds),
    "config": ("x.yaml", config, read_yaml),
    "submission": ("x.csv", submission, lambda path: RunLengths("id", "rle").read(path, dict.fromkeys(IDS, (40, 50)))),
    "coco": ("x.json", coco, read_coco),
    "store entry": ("x.npz", entry, read_entry),
    "checkpoint": ("x.ckpt", checkpoint, read_checkpoint),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [60, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_refused_by_name_or_read(kind, count, tmp_path):
    name, write, read = KINDS[kind]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    read(path)
    before, errors = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, {}
    for number, mutant in enumerate(mutants(content, count)):
        path = tmp_path / f"{number}{name}"  # readers may keep an open file
        path.write_bytes(mutant)
        begun = time.monotonic()
        try:
            read(path)
        except (ValueError, OSError) as error:
            errors[path.name] = str(error)
        assert time.monotonic() - begun < SECONDS
    assert errors
    unnamed = [
        text for file, text in errors.items() if file not in text and not (kind == "store entry" and "a1" in text)
    ]
    assert not unnamed
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before < MEGABYTES


def test_damaged_run_lengths_are_refused_with_what_is_wrong():
    refused = []
    for mutant in mutants(b"1 3 10 5 40 6 100 20", 300):
        try:
            assert rle.decode(mutant.decode("utf-8", "replace"), (40, 50)).shape == (40, 50)
        except rle.RunLengthError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all("run" in text for text in refused)
