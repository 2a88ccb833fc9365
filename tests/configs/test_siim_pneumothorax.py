"""The SIIM-ACR config on a small tree of real DICOM files in the competition's layout."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, SecondaryCaptureImageStorage, generate_uid

import cli
from commands.command_line.config import read_config
from datamodules.table import rows_of
from masks import rle

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "siim_pneumothorax.yaml")
SIDE = 64


def write_jpeg(path: Path, pixels: np.ndarray, patient: str) -> None:
    """An 8-bit X-ray as the competition has them: JPEG baseline, one frame, MONOCHROME2."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, path.stem
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = SecondaryCaptureImageStorage, path.stem, "CR"
    dataset.PatientID, dataset.ViewPosition, dataset.PixelSpacing = patient, "PA", [0.168, 0.168]
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    dataset.PixelData = encapsulate([encoded])
    dataset["PixelData"].is_undefined_length = True
    path.parent.mkdir(parents=True)
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def siim(tmp_path, monkeypatch):
    """Ten training and two test X-rays; half of the first hold two bright boxes, a row each in the table."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    rows, test = [["ImageId", " EncodedPixels"]], []
    for number in range(12):
        pixels = random.integers(0, 90, (SIDE, SIDE)).astype(np.uint8)
        name = generate_uid(entropy_srcs=[f"siim{number}"])
        split = "train" if number < 10 else "test"
        if number % 2:
            for top, left in ((8, 10), (40, 30)):
                mask = np.zeros((SIDE, SIDE), bool)
                mask[top : top + 12, left : left + 16] = True
                pixels[mask] = 200
                if split == "train":
                    rows.append([name, " " + rle.encode(mask, order="column", base=0, relative=True)])
        elif split == "train":
            rows.append([name, " -1"])
        folder = Path("data/siim") / f"dicom-images-{split}" / f"{name}.1" / f"{name}.2"
        write_jpeg(folder / f"{name}.dcm", pixels, patient=f"P{number // 2}")
        if split == "test":
            test.append(name)
    for file, lines in (
        ("train-rle.csv", rows),
        ("sample_submission.csv", [["ImageId", "EncodedPixels"], *([name, "-1"] for name in test)]),
    ):
        with open(f"data/siim/{file}", "w", newline="") as handle:
            csv.writer(handle).writerows(lines)
    return test


def test_from_folds_to_submission(siim):
    crop = [{"class_path": "albumentations.RandomCrop", "init_args": {"height": SIDE, "width": SIDE}}]
    network = {
        "class_path": "segmentation_models_pytorch.Unet",
        "init_args": {
            "encoder_name": "tu-tf_mobilenetv3_small_minimal_100",
            "encoder_weights": None,
            "decoder_channels": [16, 16, 8, 8, 8],
            "in_channels": 1,
            "classes": 1,
            "aux_params": {"classes": 1},
        },
    }
    flags = {
        "model.network": yaml.safe_dump(network, default_flow_style=True, width=10_000).strip(),
        "model.inference.size": f"[{SIDE}, {SIDE}]",
        "data.augmentation": yaml.safe_dump(crop, default_flow_style=True).strip(),
        "data.batch_size": 4,
        "data.num_workers": 0,
        "trainer.max_steps": 2,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.enable_progress_bar": False,
        "trainer.enable_model_summary": False,
    }
    small = [part for key, value in flags.items() for part in (f"--{key}", str(value))]
    assert cli.main(["folds", "--config", CONFIG, "--cv.k", "2"]) == 0
    folds = list(csv.DictReader(open("folds/siim_pneumothorax.csv")))
    pairs = {}
    for row in folds:
        pairs.setdefault(row["group"], set()).add(row["fold"])
    assert len(pairs) == 5  # a patient has two images
    assert all(len(fold) == 1 for fold in pairs.values())

    assert cli.main(["fit", "--config", CONFIG, *small]) == 0
    assert cli.main(["predict", "runs/siim_pneumothorax", "--trainer.enable_progress_bar", "false"]) == 0
    assert cli.main(["submit", "runs/siim_pneumothorax", "--output", "submission.csv"]) == 0
    rows = list(csv.DictReader(open("submission.csv")))
    assert [row["ImageId"] for row in rows] == siim  # as the sample has them
    for row in rows:
        text = row["EncodedPixels"]
        assert text == "-1" or rle.decode(text, (SIDE, SIDE), base=0, relative=True).sum() >= 800


def test_truth_of_several_rows_is_one_mask(siim):
    data = read_config("folds", ["--config", CONFIG]).data
    rows = rows_of(data.table())
    truths = [data.target_arrays(row) for row in rows]
    assert sorted(int(truth["mask"].sum()) for truth in truths) == [0] * 5 + [2 * 12 * 16] * 5
    for row, truth in zip(rows, truths, strict=True):
        mask = truth["mask"][0].astype(bool)
        assert truth["empty"] == (0 if mask.any() else 1)
        image = data.reader.read(row)
        assert image.shape == (SIDE, SIDE, 1)
        if mask.any():  # the boxes lie where the picture is bright
            assert image[mask].mean() > 180 > 100 > image[~mask].mean()
