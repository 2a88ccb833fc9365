"""Panels: what is drawn where, for every kind of image and mask."""

import cv2
import numpy as np
import pytest

from evaluation.panels import (
    CONFUSED,
    GRAY,
    INVENTED,
    MISSED,
    PALETTE,
    Gallery,
    as_map,
    draw_panel,
    row_of,
    write_panel,
)


def ids():
    labels = np.zeros((64, 48), np.int32)
    labels[8:24, 8:24], labels[24:40, 8:24] = 1, 2
    return labels


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_image_becomes_rgb(channels, dtype):
    image = (np.random.default_rng(0).random((channels, 70, 300)) * (1 if dtype == np.float32 else 200)).astype(dtype)
    row = row_of("x", image, np.ones((1, 70, 300), np.uint8), np.zeros((1, 70, 300), bool))
    assert row.image.dtype == np.uint8
    assert row.image.shape == (60, 256, 3)
    assert row.target.shape == (1, 60, 256)
    assert row.image.max() > 150
    assert draw_panel([row]).shape[2] == 3


def test_errors_have_their_colours():
    truth, prediction = np.zeros((1, 256, 256), np.uint8), np.zeros((1, 256, 256), bool)
    truth[0, 50:100, 50:100] = 1
    prediction[0, 50:100, 60:110] = True
    picture = draw_panel([row_of("x", np.full((3, 256, 256), 99, np.uint8), truth, prediction)])
    errors = picture[54:, 3 * 258 :][:256, :256]
    assert (errors == MISSED).all(-1).sum() == 50 * 10
    assert (errors == INVENTED).all(-1).sum() == 50 * 10
    assert (errors[50:100, 50:60] == MISSED).all()
    assert (picture[54:, :256][:256] == 99).all()


def test_merged_objects_show_as_outlines():
    merged = (ids() > 0).astype(np.int32)
    image = np.full((3, 64, 48), 90, np.uint8)
    same, other = (draw_panel([row_of("x", image, ids(), prediction)]) for prediction in (ids(), merged))
    assert (same != other).any()
    assert not (other[36:] == MISSED).all(-1).any()


def test_masks_of_classes_and_probabilities():
    probabilities = np.zeros((2, 64, 48), np.float32)
    probabilities[1, 10:30, 10:30] = 0.9
    row = row_of("x", np.zeros((3, 64, 48), np.uint8), ids(), probabilities)
    assert row.prediction.shape == (2, 256, 192)
    assert row.prediction[1].sum() == 80 * 80
    assert draw_panel([row]).max() > 200


def test_gallery_keeps_the_first_and_the_worst(tmp_path):
    scores = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.1, "e": 0.95, "f": 0.3, "g": 0.2}
    for higher, expected in ((True, ["d", "g"]), (False, ["e", "c"])):
        gallery = Gallery(4, higher)
        for name, score in scores.items():
            gallery.add(name, score, np.zeros((3, 64, 48), np.uint8), ids(), ids())
        assert list(gallery.fixed) == ["a", "b"]
        assert [name for _, name, _ in gallery.worst] == expected
    write_panel(tmp_path / "panels/x.png", gallery.rows(), "title")
    picture = cv2.imread(str(tmp_path / "panels/x.png"))
    assert picture.shape == (36 + 4 * (18 + 258), 4 * 258, 3)
    assert [path.name for path in (tmp_path / "panels").iterdir()] == ["x.png"]
    gallery = Gallery(4)
    for name, score in [("x", np.nan), *scores.items(), ("h", np.nan)]:  # of which no pixel counts
        gallery.add(name, score, np.zeros((3, 64, 48), np.uint8), ids(), ids())
    assert list(gallery.fixed) == ["x", "a"]
    assert [name for _, name, _ in gallery.worst] == ["d", "g"]
    empty = Gallery(0)
    empty.add("a", 1.0, np.zeros((3, 64, 48), np.uint8), ids(), ids())
    assert empty.rows() == []


def test_what_can_be_drawn():
    masks, ids = np.zeros((3, 20, 30), bool), np.zeros((20, 30), np.int32)
    assert as_map(masks, (20, 30)) is masks
    assert as_map(ids, (20, 30)) is ids
    assert as_map(np.zeros((2, 5, 20, 30)), (5, 20, 30)).shape == (2, 5, 20, 30)
    for other in (None, np.zeros(4), np.zeros((7, 3)), np.array(2)):
        assert as_map(other, (20, 30)) is None


@pytest.mark.parametrize("columns", [4, 6])
def test_boxes_are_drawn_where_they_lie(columns):
    boxes = np.zeros((2, columns))
    boxes[0, :4], boxes[1, :4] = (5, 6, 10, 12), (2, 3, 40, 15)  # x1, y1, x2, y2; the second is larger and leads out
    ids = as_map(boxes, (20, 30))
    assert ids.shape == (20, 30)
    assert (ids[6:12, 5:10] == 1).all()
    assert (ids == 1).sum() == 6 * 5
    assert (ids[3:15, 2:30] > 0).all()
    assert (ids > 0).sum() == 12 * 28
    assert not as_map(boxes[:0], (20, 30)).any()


def test_a_panel_of_boxes_has_the_size_of_the_image():
    image = np.zeros((3, 20, 30), np.uint8)
    truth, prediction = np.array([[5.0, 6, 10, 12]]), np.array([[6.0, 6, 11, 12, 0.9, 0], [1, 1, 4, 3, 0.2, 0]])
    row = row_of("a", image, as_map(truth, (20, 30)), as_map(prediction, (20, 30)), side=30)
    assert row.target.shape == row.prediction.shape == row.image.shape[:2] == (20, 30)
    assert (row.target > 0).sum() == 30
    assert len(np.unique(row.prediction)) == 3


def test_the_errors_column_names_its_colours():
    image, masks = np.full((3, 64, 48), 90, np.uint8), np.zeros((1, 64, 48), bool)
    objects, pixels = (draw_panel([row_of("x", image, one, one)])[18:36] for one in (ids(), masks))
    for head, outlines in ((objects, True), (pixels, False)):
        assert (head == MISSED).all(-1).any()
        assert (head == INVENTED).all(-1).any()
        assert (head == PALETTE[4]).all(-1).any() == outlines
        assert (head[:, -2:] == 32).all()  # it ends inside the picture


def errors_of(truth, prediction, valid=None, size=256):
    picture = draw_panel([row_of("x", np.full((3, size, size), 99, np.uint8), truth, prediction, valid=valid)])
    cells = [picture[54:, number * 258 :][:256, :256] for number in range(4)]
    return cells


@pytest.mark.parametrize("kind", ["numbers", "channels", "probabilities"])
def test_a_confusion_of_two_classes_is_an_error(kind):
    truth = np.zeros((256, 256), np.int64)
    truth[:100], truth[100:200] = 1, 2
    wrong = truth.copy()
    wrong[:, :64] = np.array([2, 1, 0])[truth[:, :64] - 1]  # 1 and 2 change places, 0 stays
    wrong[:100, 64:100], wrong[200:, 100:110] = 0, 2
    channels = np.stack([wrong == number for number in range(3)])
    prediction = {"numbers": wrong, "channels": channels, "probabilities": channels * np.float32(0.4)}[kind]
    if kind == "probabilities":
        prediction += 0.1
    errors = errors_of(truth, prediction)[3]
    assert (errors == CONFUSED).all(-1).sum() == 200 * 64
    assert (errors == MISSED).all(-1).sum() == 100 * 36
    assert (errors == INVENTED).all(-1).sum() == 56 * 10


def test_masks_of_two_channels_confused():
    truth, prediction = np.zeros((2, 2, 256, 256), bool)
    truth[0, :50], prediction[1, :50] = True, True
    errors = errors_of(truth, prediction)[3]
    assert (errors == CONFUSED).all(-1).sum() == 50 * 256
    assert not ((errors == MISSED).all(-1) | (errors == INVENTED).all(-1)).any()


@pytest.mark.parametrize("kind", ["classes", "masks", "ids"])
def test_what_does_not_count_is_gray_and_no_error(kind):
    random = np.random.default_rng(0)
    valid = np.zeros((256, 256), bool)
    valid[:, 100:] = True
    numbers = np.kron(random.integers(0, 3, (16, 16)), np.ones((16, 16), np.int64))
    other = np.kron(random.integers(0, 3, (16, 16)), np.ones((16, 16), np.int64))
    truth, found = {
        "classes": (numbers, other),
        "masks": (numbers[None] > 0, other[None] > 0),
        "ids": (numbers.astype(np.int32), other.astype(np.int32)),
    }[kind]
    cells = errors_of(truth, found, valid)
    changed = [np.where(valid, array, array.dtype.type(1)) for array in (truth, found)]
    for one, two in zip(cells, errors_of(*changed, valid), strict=True):
        np.testing.assert_array_equal(one, two)
    for cell in cells[1:]:
        assert (cell[~valid] == GRAY).all()
    if kind == "classes":
        marked = errors_of(np.where(valid, truth, 255), found)
        np.testing.assert_array_equal(marked[3], cells[3])


def test_a_volume_is_shown_by_the_slice_with_the_most_truth_that_counts():
    truth = np.zeros((4, 32, 32), np.int64)
    truth[1, :4], truth[2] = 1, 255
    row = row_of("x", np.zeros((1, 4, 32, 32), np.uint8), truth, np.zeros((2, 4, 32, 32), np.float32), side=32)
    assert (row.target == 1).sum() == 4 * 32
