import numpy as np
import pytest
from scipy import ndimage

from postprocessing import ConnectedComponents, FillHoles, MinimumArea, Threshold, Watershed
from submissions import InstanceRunLengths, RunLengths, SubmissionError


def discs(*centres, radius=8, shape=(40, 60)):
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    return [np.hypot(ys - y, xs - x) < radius for y, x in centres]


def test_watershed_separates_overlapping_discs_only_with_a_border():
    one, other = discs((20, 22), (20, 35))
    body = (one | other).astype(np.float32)[None] * 0.9
    border = np.zeros_like(body)
    assert Watershed()({"body": body, "border": border})["instances"].max() == 1
    border[0, :, 27:31] = 0.9
    found = Watershed()({"body": body, "border": border})["instances"]
    assert len(np.unique(found)) == 3
    assert ((found > 0) == (body[0] > 0.5)).all()


def test_a_piece_without_seed_is_kept_or_lost():
    body = np.zeros((1, 20, 20), np.float32)
    body[0, 5:8, 5:8] = 0.55
    assert Watershed(seed_threshold=0.6)({"body": body, "border": 0 * body})["instances"].max() == 1
    assert (
        Watershed(seed_threshold=0.6, keep_unseeded=False)({"body": body, "border": 0 * body})["instances"].max() == 0
    )


def test_threshold_and_components():
    probabilities = np.array([[[0.2, 0.6], [0.6, 0.2]]], np.float32)
    masked = Threshold(0.5)({"mask": probabilities})
    assert masked["mask"].tolist() == [[[False, True], [True, False]]]
    assert ConnectedComponents(connectivity=1)(masked)["instances"].max() == 2
    assert ConnectedComponents(connectivity=2)(masked)["instances"].max() == 1
    with pytest.raises(ValueError, match="'other'.*mask"):
        Threshold(output="other")({"mask": probabilities})


def test_minimum_area_on_masks_instances_and_totals():
    mask = np.zeros((1, 10, 10), bool)
    mask[0, :3, :3] = mask[0, 8, 8] = True
    assert MinimumArea(2)({"mask": mask})["mask"].sum() == 9
    assert mask.sum() == 10
    assert MinimumArea(11, total=True)({"mask": mask})["mask"].sum() == 0
    assert MinimumArea(10, total=True)({"mask": mask})["mask"].sum() == 10
    labels = np.where(mask[0], 5, 0)
    labels[8, 8] = 9
    assert set(np.unique(MinimumArea(2, output="instances")({"instances": labels})["instances"])) == {0, 5}


def test_holes_equal_scipys():
    random = np.random.default_rng(0)
    for _ in range(30):
        mask = random.random((1, 30, 30)) < 0.6
        filled = FillHoles()({"mask": mask})["mask"][0]
        np.testing.assert_array_equal(filled, ndimage.binary_fill_holes(mask[0]))


def test_a_hole_between_two_instances_stays():
    labels = np.zeros((9, 9), np.int32)
    labels[1:8, 1:8] = 1
    labels[3, 2] = 0
    assert FillHoles("instances")({"instances": labels})["instances"][3, 2] == 1
    labels[:, 4:][labels[:, 4:] > 0] = 2
    labels[5, 3:5] = 0
    filled = FillHoles("instances")({"instances": labels})["instances"]
    assert filled[3, 2] == 1
    assert filled[5, 3] == 0


def test_replaced_keeps_the_rest():
    step = Watershed(seed_threshold=0.3, mask_threshold=0.4).replaced(mask_threshold=0.7)
    assert (step.seed_threshold, step.mask_threshold) == (0.3, 0.7)


@pytest.fixture
def sample(tmp_path):
    (tmp_path / "sample.csv").write_text("ImageId,EncodedPixels\n002,1 1\nNA,1 1\n")
    return tmp_path / "sample.csv"


SIZES = {"002": (4, 4), "NA": (4, 4)}


def labels():
    array = np.zeros((4, 4), np.int32)
    array[0, :2], array[3, 3] = 1, 2
    return {"instances": array}


def test_submission_round_trip_in_the_samples_order(tmp_path, sample):
    predictions = {"NA": {"instances": np.zeros((4, 4), np.int32)}, "002": labels()}
    output = tmp_path / "submission.csv"
    InstanceRunLengths().write(predictions.items(), output, sample, SIZES)
    assert output.read_text() == "ImageId,EncodedPixels\n002,1 1 5 1\n002,16 1\nNA,\n"
    again = InstanceRunLengths().read(output, SIZES)
    for image_id, prediction in predictions.items():
        np.testing.assert_array_equal(again[image_id]["instances"], prediction["instances"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("002,1 1\n", "missing"),
        ("NA,\n002,1 1\n", "as in the sample"),
        ("002,1 1\nNA,\nzz,\n", "not in the sample"),
        ("002,1 1\nNA,\n002,3 1\n", "is repeated"),
        ("002,1 2\n002,2 1\nNA,\n", "overlaps"),
        ("002,16 2\nNA,\n", "exceeds the mask"),
    ],
)
def test_wrong_submissions_are_refused(tmp_path, sample, rows, message):
    path = tmp_path / "s.csv"
    path.write_text("ImageId,EncodedPixels\n" + rows)
    with pytest.raises(SubmissionError, match=message):
        InstanceRunLengths().validate(path, sample, SIZES)


def test_a_missing_image_leaves_no_file(tmp_path, sample):
    with pytest.raises(SubmissionError, match="1 ids without a prediction"):
        InstanceRunLengths().write([("002", labels())], tmp_path / "s.csv", sample, SIZES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sample.csv"]


def test_one_mask_a_row(tmp_path):
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 1] = True
    format_ = RunLengths(relative=True, base=0, empty="-1")
    format_.write([("a", {"mask": mask}), ("b", {"mask": ~mask & mask})], tmp_path / "s.csv", None, None)
    assert (tmp_path / "s.csv").read_text() == "ImageId,EncodedPixels\na,1 1 3 1 3 1 3 1\nb,-1\n"
    again = format_.read(tmp_path / "s.csv", {"a": (4, 4), "b": (4, 4)})
    np.testing.assert_array_equal(again["a"]["mask"], mask)
    assert not again["b"]["mask"].any()
