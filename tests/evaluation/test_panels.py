"""Panels: what is drawn where, for every kind of image and mask."""

import numpy as np
import pytest

from evaluation.colours import GRAY, PALETTE, colour_of
from evaluation.panel_bars import BAR
from evaluation.panel_errors import CONFUSED, INVENTED, MISSED
from evaluation.panels import (
    class_legend,
    columns_of,
    confusion_of,
    draw_panel,
    drawable,
    panel_cells,
    probability_map,
    row_of,
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
    target, prediction = np.zeros((1, 256, 256), np.uint8), np.zeros((1, 256, 256), bool)
    target[0, 50:100, 50:100] = 1
    prediction[0, 50:100, 60:110] = True
    panel = draw_panel([row_of("x", np.full((3, 256, 256), 99, np.uint8), target, prediction)])
    errors = panel[54:, 3 * 258 :][:256, :256]
    assert (errors == MISSED).all(-1).sum() == 50 * 10
    assert (errors == INVENTED).all(-1).sum() == 50 * 10
    assert (errors[50:100, 50:60] == MISSED).all()
    assert (panel[54:, :256][:256] == 99).all()


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


def test_what_can_be_drawn():
    masks, ids = np.zeros((3, 20, 30), bool), np.zeros((20, 30), np.int32)
    boxes = np.array([[1.0, 2, 5, 6]])
    arrays = {"masks": masks, "ids": ids, "volume": np.zeros((2, 5, 20, 30)), "labels": np.array([4])}
    arrays |= {"boxes": boxes, "detections": np.array([[1, 2, 5, 6, 0.5, 1]], np.float32), "points": np.zeros((7, 3))}
    assert drawable(arrays, "masks", (20, 30)) is masks
    assert drawable(arrays, "ids", (20, 30)) is ids
    assert drawable(arrays, "volume", (5, 20, 30)).shape == (2, 5, 20, 30)
    assert drawable(arrays, "boxes", (20, 30)).tolist() == [[1, 2, 5, 6, 1, 4]]
    assert drawable(arrays, "detections", (20, 30)).tolist() == [[1, 2, 5, 6, 0.5, 1]]
    for other in ("nothing", "labels", "points"):
        assert drawable(arrays, other, (20, 30)) is None


def test_the_map_of_probabilities_has_the_size_of_the_image():
    body, label = np.zeros((2, 20, 30), np.float32), np.zeros(3, np.float32)
    arrays = {"label": label, "small": np.zeros((1, 5, 5), np.float32), "body": body, "border": body + 1}
    assert probability_map(arrays, "instances", (20, 30)) is body
    assert probability_map(arrays, "border", (20, 30)).min() == 1
    assert probability_map({"label": label}, "label", (20, 30)) is None


def test_probabilities_get_a_column():
    image, mask = np.full((3, 64, 64), 90, np.uint8), np.zeros((1, 64, 64), bool)
    probability = np.zeros((2, 64, 64), np.float32)
    probability[1, :32] = 1
    row = row_of("x", image, mask, mask, side=64, probability=probability)
    assert columns_of([row]) == ["image", "target", "prediction", "probability", "errors"]
    cell = panel_cells(row, columns_of([row]))[3]
    assert len(np.unique(cell.reshape(-1, 3), axis=0)) == 2
    assert cell[:32].mean() > cell[32:].mean() + 50
    assert draw_panel([row, row_of("y", image, mask, mask, side=64)]).shape[1] == 5 * 66


TRUE = np.array([[10.0, 10, 30, 30, 1, 0], [50, 50, 70, 70, 1, 1], [80, 10, 90, 20, 1, 1]])


def test_a_panel_of_boxes_shows_what_is_missed_invented_and_confused():
    image = np.full((3, 100, 100), 90, np.uint8)
    found = np.array([[11, 10, 31, 30, 0.5, 0], [50, 50, 70, 70, 0.8, 0], [2, 80, 20, 95, 0.3, 2]])
    row = row_of("a", image, TRUE, found, side=100)
    names = ["red", "white", "blue"]
    _, target, prediction, errors = panel_cells(row, columns_of([row]), names)
    dashes = (target[50, 50:70] == colour_of(1)).all(-1)
    assert 0.3 < dashes.mean() < 0.7
    assert (prediction[69, 50:70] == colour_of(0)).all()
    assert (errors[69, 50:70] == CONFUSED).all()
    assert (errors[94, 2:20] == INVENTED).all()
    assert (errors[19, 80:90] == MISSED).all(-1).any()
    assert not (errors[29, 11:31] == INVENTED).all(-1).any()
    assert class_legend([row], names) == [(name, colour_of(k)) for k, name in enumerate(names)]
    assert confusion_of(row, names) == "50% of white as red"
    large = row_of("a", image, TRUE, found, side=200)
    np.testing.assert_allclose(large.target[:, :4], 2 * TRUE[:, :4])
    empty = row_of("a", image, TRUE[:0], found[:0], side=100)
    assert confusion_of(empty, names) == ""
    assert (panel_cells(empty, columns_of([empty]))[1] == 90).all()


def test_the_errors_column_names_its_colours():
    image, masks = np.full((3, 64, 48), 90, np.uint8), np.zeros((1, 64, 48), bool)
    objects, pixels = (draw_panel([row_of("x", image, one, one)])[18:36] for one in (ids(), masks))
    for head, outlines in ((objects, True), (pixels, False)):
        assert (head == MISSED).all(-1).any()
        assert (head == INVENTED).all(-1).any()
        assert (head == PALETTE[4]).all(-1).any() == outlines
        assert (head[:, -2:] == 32).all()  # it ends inside the panel


def errors_of(target, prediction, valid=None, size=256):
    row = row_of("x", np.full((3, size, size), 99, np.uint8), target, prediction, valid=valid)
    return panel_cells(row, columns_of([row]))


def test_the_legend_takes_the_lines_that_its_names_need():
    masks = np.zeros((30, 64, 64), bool)
    row = row_of("x", np.zeros((3, 64, 64), np.uint8), masks, masks, side=64)
    names = [f"a long class name {number}" for number in range(30)]
    alone, many = (
        row_of("x", np.zeros((3, 64, 64), np.uint8), masks[:1], masks[:1], side=64),
        draw_panel([row], names=names),
    )
    without = draw_panel([alone])
    assert many.shape[1] == without.shape[1] == 4 * 66
    lines = (len(many) - len(without)) / BAR
    assert 15 <= lines <= 30
    assert lines.is_integer()
    for number in range(30):
        assert (many == colour_of(number)).all(-1).any()


@pytest.mark.parametrize("names", [[], ["sky", "road", "car"]])
@pytest.mark.parametrize("kind", ["numbers", "channels", "probabilities"])
def test_wrong_pixels_have_the_colour_of_the_class_predicted_instead(kind, names):
    target = np.zeros((256, 256), np.int64)
    target[:100], target[100:200] = 1, 2
    wrong = target.copy()
    wrong[:, :64] = np.array([2, 1, 0])[target[:, :64] - 1]  # 1 and 2 change places, 0 stays
    wrong[:100, 64:100], wrong[200:, 100:110] = 0, 2
    channels = np.stack([wrong == number for number in range(3)])
    prediction = {"numbers": wrong, "channels": channels, "probabilities": channels * np.float32(0.4)}[kind]
    if kind == "probabilities":
        prediction += 0.1
    row = row_of("x", np.full((3, 256, 256), 99, np.uint8), target, prediction)
    errors = panel_cells(row, columns_of([row]), names)[-1]
    nothing = colour_of(0) if names else (255, 255, 255)
    assert (errors == colour_of(2)).all(-1).sum() == 100 * 64 + 56 * 10
    assert (errors == colour_of(1)).all(-1).sum() == 100 * 64
    assert (errors == nothing).all(-1).sum() == 100 * 36
    assert (errors[100:200, :64] == colour_of(1)).all()
    assert confusion_of(row, names) == ("25% of road as car" if names else "25% of class 1 as class 2")
    assert len(class_legend([row], names)) == (3 if names else 2)


def test_masks_of_two_channels_confused():
    target, prediction = np.zeros((2, 2, 256, 256), bool)
    target[0, :50], prediction[1, :40] = True, True
    row = row_of("x", np.full((3, 256, 256), 99, np.uint8), target, prediction)
    errors = panel_cells(row, columns_of([row]))[-1]
    assert (errors[:40] == colour_of(1)).all()
    assert (errors[40:50] == 255).all()
    assert not (errors[50:] == colour_of(1)).all(-1).any()


@pytest.mark.parametrize("kind", ["classes", "masks", "ids"])
def test_what_does_not_count_is_gray_and_no_error(kind):
    random = np.random.default_rng(0)
    valid = np.zeros((256, 256), bool)
    valid[:, 100:] = True
    numbers = np.kron(random.integers(0, 3, (16, 16)), np.ones((16, 16), np.int64))
    other = np.kron(random.integers(0, 3, (16, 16)), np.ones((16, 16), np.int64))
    target, found = {
        "classes": (numbers, other),
        "masks": (numbers[None] > 0, other[None] > 0),
        "ids": (numbers.astype(np.int32), other.astype(np.int32)),
    }[kind]
    cells = errors_of(target, found, valid)
    changed = [np.where(valid, array, array.dtype.type(1)) for array in (target, found)]
    for one, two in zip(cells, errors_of(*changed, valid), strict=True):
        np.testing.assert_array_equal(one, two)
    for cell in cells[1:]:
        assert (cell[~valid] == GRAY).all()
    if kind == "classes":
        marked = errors_of(np.where(valid, target, 255), found)
        np.testing.assert_array_equal(marked[3], cells[3])


def test_a_volume_is_shown_by_the_slice_with_the_most_target_that_counts():
    target = np.zeros((4, 32, 32), np.int64)
    target[1, :4], target[2] = 1, 255
    row = row_of("x", np.zeros((1, 4, 32, 32), np.uint8), target, np.zeros((2, 4, 32, 32), np.float32), side=32)
    assert (row.target == 1).sum() == 4 * 32
