"""The table of DICOM files: ids, tags, series, frames and neighbours from their headers."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from datamodules import DicomDataModule
from datamodules.readers import DicomReader, DicomReadError
from datamodules.table import rows_of
from evaluation.cross_validation import CrossValidation
from evaluation.folds import make_folds
from tests.datamodules.readers.test_dicom import save
from tests.datamodules.readers.test_dicom_series import write_series


def test_nested_and_flat_files_with_and_without_ending(tmp_path, ramp):
    save(tmp_path / "train/study/series/1.2.840.7.dcm", ramp, PatientID="P1", ViewPosition="PA")
    save(tmp_path / "train/other/series/1.2.840.8", ramp, PatientID="P2", PixelSpacing=[0.5, 0.7])
    (tmp_path / "train/other/series/._1.2.840.8").write_bytes(b"resource fork")
    (tmp_path / "train/other/series/DICOMDIR").write_bytes(b"nothing")
    save(tmp_path / "flat/a.DCM", ramp)
    save(tmp_path / "flat/b.dicom", ramp)
    data = DicomDataModule(root=str(tmp_path), images="train/*/*/*", test_images="flat/*", targets=[])
    table = data.table()
    assert table["image_id"].tolist() == ["1.2.840.7", "1.2.840.8"]
    assert table["PatientID"].tolist() == ["P1", "P2"]
    assert table["ViewPosition"].tolist() == ["PA", ""]
    assert table["PixelSpacing"].tolist() == ["", "0.5\\0.7"]
    assert data.test_table()["image_id"].tolist() == ["a", "b"]
    assert all(data.reader.read(row).shape == (16, 24, 3) for row in rows_of(table))


def test_ids_by_option(tmp_path, ramp):
    for name in ("one", "two"):
        save(tmp_path / name / "1.dcm", ramp, SOPInstanceUID=f"1.2.{len(name)}.{ord(name[0])}")
    table = {
        kind: DicomDataModule(root=str(tmp_path), images="*/*.dcm", targets=[], image_ids=kind).table
        for kind in ("file", "sop", "folder")
    }
    with pytest.raises(ValueError, match="data.image_ids"):
        table["file"]()
    assert table["folder"]()["image_id"].tolist() == ["one", "two"]
    assert table["sop"]()["image_id"].tolist() == ["1.2.3.111", "1.2.3.116"]
    named = DicomDataModule(root=str(tmp_path), images="{image_id}/*.dcm", targets=[])
    assert named.table()["image_id"].tolist() == ["one", "two"]


def test_files_without_a_picture_are_named(tmp_path, ramp):
    save(tmp_path / "a.dcm", ramp)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(DicomReadError, match=r"notes\.txt is not a DICOM file"):
        DicomDataModule(root=str(tmp_path), images="*", targets=[]).table()
    (tmp_path / "notes.txt").unlink()
    save(tmp_path / "report.dcm", Modality="SR", PhotometricInterpretation=None)
    with pytest.raises(DicomReadError, match=r"report\.dcm: Rows is None"):
        DicomDataModule(root=str(tmp_path), images="*", targets=[]).table()
    with pytest.raises(FileNotFoundError, match="no images"):
        DicomDataModule(root=str(tmp_path), images="*.ima", targets=[]).table()
    with pytest.raises(ValueError, match="'PatientId' is not a DICOM keyword"):
        DicomDataModule(root=str(tmp_path), images="a.dcm", targets=[], tags=["PatientId"]).table()


def test_patients_stay_together_and_empty_ones_are_said(tmp_path, ramp):
    random = np.random.default_rng(0)
    for number in range(8):
        pixels = random.integers(0, 4096, (8, 8)).astype(np.uint16)
        save(tmp_path / f"{number}.dcm", pixels, PatientID=f"P{number // 2}")
    cv = CrossValidation(k=2, group="PatientID")
    data = DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[])
    folds = make_folds(data.fold_table(cv), cv).merge(data.table(), on="image_id")
    assert (folds.groupby("PatientID")["fold"].nunique() == 1).all()
    save(tmp_path / "8.dcm", ramp, PatientID="empty")
    data = DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[])
    with pytest.raises(ValueError, match=r"cv\.group is PatientID, which is empty in 1 of 9 files"):
        data.fold_table(cv)


def test_frames_are_images(tmp_path, ramp):
    frames = np.stack([ramp, ramp // 2])
    save(tmp_path / "a.dcm", frames)
    with pytest.raises(DicomReadError, match="data.frames: true"):
        DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[]).table()
    reader = DicomReader(output="raw", channels="gray")
    data = DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[], frames=True, reader=reader)
    rows = rows_of(data.table())
    assert [row.image_id for row in rows] == ["a_0", "a_1"]
    assert all((reader.read(row)[..., 0] == frame).all() for row, frame in zip(rows, frames, strict=True))


def test_neighbours_are_channels_with_the_ends_repeated(tmp_path):
    write_series(tmp_path, SeriesInstanceUID="1.2.3")
    reader = DicomReader(output="raw", neighbours=1, stride=2)
    data = DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[], reader=reader)
    rows = sorted(rows_of(data.table()), key=lambda row: row.position)
    found = [reader.read(row)[0, 0].tolist() for row in rows]
    assert found == [[0, 0, 200], [0, 100, 300], [0, 200, 400], [100, 300, 400], [200, 400, 400]]
    assert len(reader.files(rows[2])) == 3
    assert reader.files(rows[2])[0] == rows[2].path
    with pytest.warns(UserWarning, match="set cv.group: series"):
        data.fold_table(CrossValidation(k=2, duplicates=False))
    windows = DicomReader(windows=["lung", "bone"], neighbours=1)
    assert windows.read(rows[0]).shape == (6, 8, 6)
    with pytest.raises(ValueError, match="DicomDataModule"):
        reader.read(SimpleNamespace(image_id="a", path=rows[0].path))


def test_series_without_ids_are_folders(competition_data):
    """In the real CT all identifiers are empty and InstanceNumber falls as z rises."""
    data = DicomDataModule(
        root=str(competition_data / "ct_totalseg"),
        images="dicom/*.dcm",
        targets=[],
        tags=["InstanceNumber"],
        reader=DicomReader(output="hu", neighbours=1),
    )
    table = data.table().sort_values("position")
    assert table["series"].nunique() == 1
    assert (np.diff(table["position"]) > 0).all()
    assert (np.diff(table["InstanceNumber"].astype(int)) < 0).all()
    middle = rows_of(table)[7:10]
    stack = data.reader.read(middle[1])
    for channel, row in enumerate(middle):
        alone = DicomReader(output="hu", channels="gray").read(row)
        assert (stack[..., channel] == alone[..., 0]).all()


def test_a_slice_without_a_place_has_no_neighbours(tmp_path, ramp):
    save(tmp_path / "a.dcm", ramp)
    table = DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[]).table()
    assert table["position"].isna().all()
    with pytest.raises(DicomReadError, match=r"a\.dcm has no ImagePositionPatient"):
        DicomDataModule(root=str(tmp_path), images="*.dcm", targets=[], reader=DicomReader(neighbours=1)).table()


def test_unreadable_training_files_can_be_left_out(tmp_path, ramp):
    for name in "ab":
        save(tmp_path / f"train/{name}.dcm", ramp)
    (tmp_path / "train/c.dcm").write_bytes(b"<html>403</html>")
    (tmp_path / "test").mkdir()
    shutil.copy(tmp_path / "train/c.dcm", tmp_path / "test/d.dcm")
    with pytest.raises(DicomReadError, match="c.dcm"):
        DicomDataModule(root=str(tmp_path), images="train/*", targets=[]).table()
    data = DicomDataModule(str(tmp_path), "train/*", test_images="test/*", targets=[], skip_unreadable=True)
    with pytest.warns(UserWarning, match=r"(?s)1 of 3 files are skipped.*c\.dcm"):
        assert data.table()["image_id"].tolist() == ["a", "b"]
    with pytest.raises(DicomReadError, match="d.dcm"):
        data.test_table()
