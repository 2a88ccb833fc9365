"""E01: nodules of LUNA16 lie where the world coordinates say, whatever the direction and spacing of the scan."""

import csv
import json

import numpy as np
import pytest

from datamodules import VolumeDataModule
from datamodules.external import Luna16
from datamodules.readers import VolumeReader
from datamodules.table import rows_of
from datamodules.targets import MaskVolumes
from evaluation.cross_validation import CrossValidation
from evaluation.folds import make_folds, write_folds
from preprocessing.metaimage import write_metaimage
from preprocessing.series import voxel_of

# (slice, row, column) -> RAS: one as LUNA16 has it (LPS axes), one with columns and rows flipped.
USUAL = np.array([[0, 0, -0.7, 170.0], [0, -0.8, 0, 150], [2.5, 0, 0, -300], [0, 0, 0, 1]])
FLIPPED = np.array([[0, 0, 0.7, -20.0], [0, 0.8, 0, 40], [2.5, 0, 0, -300], [0, 0, 0, 1]])


def write_csv(path, *rows):
    with open(path, "w", newline="") as handle:
        csv.writer(handle).writerows(rows)


@pytest.fixture
def root(tmp_path):
    for number, (uid, affine) in enumerate({"1.2.3": USUAL, "1.2.4": FLIPPED}.items()):
        folder = tmp_path / f"luna/subset{number}"
        folder.mkdir(parents=True)
        write_metaimage(folder / f"{uid}.mhd", np.full((20, 40, 48), -500 + number, np.int16), affine)
    # LPS world of the voxel (slice 8, row 20, column 30), by hand: x = -(170 - 0.7 * 30), y = -(150 - 0.8 * 20), …
    write_csv(
        tmp_path / "luna/annotations.csv",
        ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"),
        ("1.2.3", -149.0, -134.0, -280.0, 10.0),
        ("1.2.4", -1.0, -56.0, -280.0, 10.0),  # x = -(-20 + 0.7 * 30), y = -(40 + 0.8 * 20)
        ("9.9.9", 0, 0, 0, 5),  # of a subset that is not on this disk
    )
    write_csv(
        tmp_path / "luna/candidates.csv",
        ("seriesuid", "coordX", "coordY", "coordZ", "class"),
        ("1.2.3", -149.0, -134.0, -280.0, 1),
        ("1.2.3", -140.0, -130.0, -290.0, 0),
    )
    return tmp_path / "luna"


def test_world_to_voxel_and_rows_by_series(root):
    table = Luna16(str(root)).table()
    assert table["image_id"].tolist() == ["luna16-1.2.3", "luna16-1.2.4"]
    assert [len(json.loads(text)) for text in table["candidates"]] == [2, 0]
    reader = VolumeReader(None)
    for row in rows_of(table):
        [[*point, diameter]] = json.loads(row.nodules)
        assert diameter == 10
        np.testing.assert_allclose(voxel_of(np.array(point), reader.grid(row)[1]), [8, 20, 30], atol=1e-9)


@pytest.mark.parametrize("settings", [{"axcodes": None}, {"axcodes": "RAS"}, {"axcodes": "LPS", "spacing": [1, 1, 1]}])
def test_balls_on_the_readers_grid(root, settings):
    """A ball of 10 mm has its centre at the nodule and its volume, however the scan is turned and resampled."""
    data = Luna16(str(root))
    reader, [target] = VolumeReader(**settings), data.targets
    target.follow(reader)
    for row in rows_of(data.table()):
        size, affine = reader.grid(row)
        assert reader.read(row).shape[:3] == tuple(size)
        mask = target.read(row, size)["mask"]
        assert mask.shape == (1, *size)
        [[*point, _]] = json.loads(row.nodules)
        centre = np.argwhere(mask[0]).mean(axis=0)
        np.testing.assert_allclose(centre, voxel_of(np.array(point), affine), atol=0.51)
        volume = mask.sum() * abs(np.linalg.det(affine[:3, :3]))
        assert volume == pytest.approx(np.pi / 6 * 1000, rel=0.1)


def test_beside_volumes_of_a_competition(root, tmp_path):
    for number in range(4):
        for folder in ("scans", "labels"):
            (tmp_path / "own" / folder).mkdir(parents=True, exist_ok=True)
            kind = np.int16 if folder == "scans" else np.uint8
            write_metaimage(
                tmp_path / f"own/{folder}/{number}.mha",
                np.full((8, 16, 16), number * 60 if folder == "scans" else 0, kind),
                USUAL,
            )
    module = VolumeDataModule(
        str(tmp_path / "own"),
        "scans/*.mha",
        targets=[MaskVolumes("labels/{image_id}.mha")],
        reader=VolumeReader("LPS", window=[-1200, 600]),
        folds=str(tmp_path / "folds.csv"),
        external=[Luna16(str(root), weight=0.5)],
        batch_size=1,
        num_workers=0,
    )
    cv = CrossValidation(k=2)
    write_folds(make_folds(module.fold_table(cv), cv), tmp_path / "folds.csv")
    module.setup("fit")
    batches = list(module.train_dataloader())
    assert sorted(float(batch["weight"]) for batch in batches) == [0.5, 0.5, 1, 1]
    assert all(batch["mask"].sum() > 0 for batch in batches if batch["image_id"][0].startswith("luna16-"))


def test_bad_input(root):
    write_csv(
        root / "annotations.csv", ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"), ("1.2.3", "", 1, 1, 1)
    )
    with pytest.raises(ValueError, match="row 2: .*, expected numbers"):
        Luna16(str(root)).table()
    write_csv(root / "annotations.csv", ("seriesuid", "x"), ("1.2.3", 1))
    with pytest.raises(ValueError, match="no column 'coordX'"):
        Luna16(str(root)).table()
    (root / "annotations.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"annotations\.csv"):
        Luna16(str(root)).table()
