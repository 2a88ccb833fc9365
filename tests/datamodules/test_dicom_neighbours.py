"""Neighbour slices come from the same stack: never from another phase, echo or scout of the series."""

import warnings
from itertools import product

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from datamodules import DicomDataModule
from datamodules.readers import DicomReader, DicomReadError
from datamodules.table import rows_of
from tests.datamodules.readers.test_dicom import save

AXIAL, CORONAL = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1]


def write(folder, name, value, z, turn=AXIAL, size=(4, 4), **facts):
    facts = {"SeriesInstanceUID": "1.2.3", "PixelSpacing": [1, 1], "RescaleIntercept": 0} | facts
    place = {"ImagePositionPatient": z if isinstance(z, list) else [0, 0, z], "ImageOrientationPatient": turn}
    return save(folder / f"{name}.dcm", np.full(size, value, np.int16), **(place | facts))


def read(folder, neighbours=1, **arguments):
    """Image id -> the first pixel of each of its channels; what was warned about must be nothing or expected."""
    reader = DicomReader(output="hu", channels="gray", neighbours=neighbours)
    data = DicomDataModule(root=str(folder), images="*.dcm", targets=[], reader=reader, **arguments)
    rows = rows_of(data.find(str(folder), "*.dcm", "train"))
    return {row.image_id: reader.read(row)[0, 0].tolist() for row in rows}


PHASES = [
    [{"TemporalPositionIdentifier": phase, "AcquisitionNumber": phase} for phase in (1, 2)],
    [{"AcquisitionNumber": phase} for phase in (1, 2, 3)],
    [{"EchoNumbers": echo, "EchoTime": 10.5 * echo} for echo in (1, 2)],
    [{"EchoTime": echo} for echo in (4.6, 9.2)],
    [{"ImageType": ["ORIGINAL", "PRIMARY", "M", kind]} for kind in ("IN_PHASE", "OUT_PHASE")],
    [{"DiffusionBValue": value} for value in (0.0, 500.0, 1000.0)],
    [{"NominalPercentageOfCardiacPhase": value} for value in (35, 75)],
    [{"EchoNumbers": echo, "TemporalPositionIdentifier": time} for echo, time in product((1, 2), (1, 2, 3))],
]


@pytest.mark.parametrize("phases", PHASES, ids=lambda phases: "+".join(phases[0]))
def test_phases_at_the_same_places_stay_apart(phases, tmp_path):
    for (number, facts), slice_ in product(enumerate(phases, 1), range(3)):
        write(tmp_path, f"p{number}_{slice_}", 100 * number + slice_, 5 * slice_, **facts)
    with pytest.warns(UserWarning, match=f"1 of 1 series have several stacks .*1.2.3: {len(phases)} of 3, 3"):
        found = read(tmp_path)
    for number in range(1, len(phases) + 1):
        base = 100 * number
        assert found[f"p{number}_0"] == [base, base, base + 1]
        assert found[f"p{number}_1"] == [base, base + 1, base + 2]
        assert found[f"p{number}_2"] == [base + 1, base + 2, base + 2]


def test_phases_between_each_other_and_parts_of_phases_stay_apart(tmp_path):
    for slice_ in range(4):
        write(tmp_path, f"p1_{slice_}", 100 + slice_, 4 * slice_, TemporalPositionIdentifier=1)
    for slice_ in (1, 2):  # half a step further on, and fewer
        write(tmp_path, f"p2_{slice_}", 200 + slice_, 4 * slice_ + 2, TemporalPositionIdentifier=2)
    with pytest.warns(UserWarning, match="several stacks"):
        found = read(tmp_path)
    assert found["p1_2"] == [101, 102, 103]
    assert found["p2_1"] == [201, 201, 202]


def test_numbers_that_slices_have_for_themselves_cut_no_stack(tmp_path):
    """Step and shoot: an acquisition for each place of the table; in cardiac series a trigger time for each slice."""
    for slice_ in range(6):
        write(tmp_path, f"s{slice_}", slice_, 5 * slice_, AcquisitionNumber=slice_ // 2 + 1, TriggerTime=slice_ * 7.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read(tmp_path)
    assert [found[f"s{slice_}"] for slice_ in range(6)] == [
        [0, 0, 1],
        [0, 1, 2],
        [1, 2, 3],
        [2, 3, 4],
        [3, 4, 5],
        [4, 5, 5],
    ]


def test_two_slices_that_nothing_tells_apart_are_refused(tmp_path):
    for slice_ in range(3):
        write(tmp_path, f"s{slice_}", slice_, 5 * slice_, AcquisitionNumber=slice_)
    write(tmp_path, "copy", 1, 5, AcquisitionNumber=9)
    with pytest.raises(DicomReadError, match=r"copy\.dcm .* and .*s1\.dcm .* have the same position \[0.0, 0.0, 5.0\]"):
        read(tmp_path)
    assert read(tmp_path, neighbours=0)["copy"] == [1]  # alone they are pictures like all others


@pytest.mark.parametrize(
    "stranger",
    [
        {"turn": CORONAL, "z": [0, 7, 0]},
        {"turn": [-1, 0, 0, 0, 1, 0], "z": 7},
        {"size": (8, 8), "z": 5},
        {"PixelSpacing": [0.5, 0.5], "z": 5},
        {"SeriesInstanceUID": "1.2.4", "z": 5},
    ],
    ids=lambda stranger: next(iter(stranger)),
)
def test_scouts_and_other_grids_are_no_neighbours(stranger, tmp_path):
    for slice_ in range(3):
        write(tmp_path, f"s{slice_}", slice_, 5 * slice_)
    write(tmp_path, "scout", 999, **stranger)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read(tmp_path)
    assert found == {"s0": [0, 0, 1], "s1": [0, 1, 2], "s2": [1, 2, 2], "scout": [999] * 3}


def test_gaps_are_told(tmp_path):
    for slice_ in (0, 1, 2, 4, 5):
        write(tmp_path, f"s{slice_}", slice_, 5 * slice_)
    with pytest.warns(UserWarning, match=r"1 gaps between slices.*s2\.dcm: after slice 2: 10 mm instead of 5 mm"):
        found = read(tmp_path)
    assert found["s2"] == [1, 2, 4]


def test_an_unreadable_test_file_stands_alone(tmp_path):
    for slice_ in range(3):
        write(tmp_path, f"s{slice_}", slice_, 5 * slice_)
    (tmp_path / "broken.dcm").write_bytes(b"<html>403</html>")
    reader = DicomReader(output="hu", channels="gray", neighbours=1)
    data = DicomDataModule(root=str(tmp_path), images="s*.dcm", targets=[], reader=reader, unreadable="empty")
    rows = {row.image_id: row for row in rows_of(data.find(str(tmp_path), "*.dcm", "test"))}
    assert reader.read(rows["s1"])[0, 0].tolist() == [0, 1, 2]
    with pytest.raises(DicomReadError, match=r"broken\.dcm is not a DICOM file"):
        reader.read(rows["broken"])


def enhanced(path, frames):
    """A multi-frame file whose frames are `(value, z, time, stack)`."""
    groups = []
    for _, z, time, stack in frames:
        group, place, turn, content, measures = Dataset(), Dataset(), Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, turn.ImageOrientationPatient = [0, 0, z], CORONAL if stack == "scout" else AXIAL
        content.TemporalPositionIndex, content.StackID, measures.PixelSpacing = time, stack, [1, 1]
        group.PlanePositionSequence, group.PlaneOrientationSequence = Sequence([place]), Sequence([turn])
        group.FrameContentSequence, group.PixelMeasuresSequence = Sequence([content]), Sequence([measures])
        groups.append(group)
    pixels = np.stack([np.full((4, 4), value, np.int16) for value, *_ in frames])
    facts = {"PerFrameFunctionalGroupsSequence": Sequence(groups), "RescaleIntercept": 0, "SeriesInstanceUID": "1.2.3"}
    return save(path, pixels, **facts)


def test_stacks_and_times_of_an_enhanced_file_stay_apart(tmp_path):
    frames = [(100 * time + number, 5 * number, time, "1") for number, time in product(range(3), (1, 2))]
    frames += [(700 + number, 2.5 + 5 * number, 1, "2") for number in range(2)] + [(999, 0, 1, "scout")]
    enhanced(tmp_path / "a.dcm", frames)
    with pytest.warns(UserWarning, match="several stacks"):
        found = read(tmp_path, frames=True)
    of_value = {frame[0]: found[f"a_{number}"] for number, frame in enumerate(frames)}
    assert of_value[101] == [100, 101, 102]
    assert of_value[201] == [200, 201, 202]
    assert of_value[700] == [700, 700, 701]
    assert of_value[999] == [999] * 3


def test_an_enhanced_file_of_one_frame_has_a_place(tmp_path):
    for number in range(3):
        enhanced(tmp_path / f"a{number}.dcm", [(number, 5 * number, 1, "1")])
    assert read(tmp_path)["a1"] == [0, 1, 2]


def test_series_without_ids_are_told_apart_by_folder(tmp_path):
    reader = DicomReader(output="hu", channels="gray", neighbours=1)
    data = DicomDataModule(root=str(tmp_path), images="*/*.dcm", targets=[], reader=reader)
    for (base, folder), slice_ in product(((10, "one"), (20, "two")), range(3)):
        write(tmp_path / folder, f"{folder}{slice_}", base + slice_, 5 * slice_, SeriesInstanceUID=None)
    rows = {row.image_id: row for row in rows_of(data.find(str(tmp_path), "*/*.dcm", "train"))}
    assert reader.read(rows["one1"])[0, 0].tolist() == [10, 11, 12]
    assert reader.read(rows["two1"])[0, 0].tolist() == [20, 21, 22]


@pytest.mark.parametrize("owner", ["PatientID", "StudyInstanceUID", "SeriesNumber"])
def test_patients_in_one_folder_without_ids_of_series_stay_apart(tmp_path, owner):
    for number, slice_ in product((1, 2), range(3)):
        facts = {"SeriesInstanceUID": None, owner: str(number)}
        write(tmp_path, f"p{number}_{slice_}", 100 * number + slice_, 5 * slice_ + number, **facts)
    with pytest.warns(UserWarning, match="several stacks"):
        found = read(tmp_path)
    assert found["p1_1"] == [100, 101, 102]
    assert found["p2_1"] == [200, 201, 202]
