"""A panel of samples shows images, targets and image-level targets of a batch."""

import numpy as np
import pytest

from evaluation.colours import GRAY, colour_of
from evaluation.panel_bars import BAR, GAP
from evaluation.sample_panel import SIDE, Sample, draw_samples, label_text


def sample(targets, image=None, image_id="a"):
    image = np.full((3, 64, 64), 80, np.uint8) if image is None else image
    return Sample(image_id, {"image": image}, targets)


def cells(drawn, count, top=BAR):
    """The first `count` cells, below title, legend, caption and names."""
    top += 2 * BAR
    return [drawn[top : top + SIDE, k * (SIDE + GAP) :][:, :SIDE] for k in range(count)]


def test_masks_class_numbers_and_void():
    mask, numbers, valid = np.zeros((2, 64, 64), np.uint8), np.zeros((64, 64), np.int64), np.ones((64, 64), bool)
    mask[1, :32], numbers[32:], valid[:, :16] = 1, 2, False
    numbers[:, :16] = 255
    image, first, second = cells(draw_samples([sample({"mask": mask, "classes": numbers, "valid": valid})], 255), 3)
    assert (image == 80).all()
    assert (first[20, 100] != 80).any()
    assert (first[200, 100] == 80).all()
    assert (second[20, 100] == 80).all()
    assert (second[120, 100] != 80).any()
    for cell in (first, second):
        assert (cell[:, :50] == GRAY).all()


def test_boxes_have_their_names_and_labels_are_in_no_caption():
    targets = {"boxes": np.array([[8, 8, 40, 40]], np.float32), "labels": np.array([1])}
    drawn = draw_samples([sample(targets)], 255, ["cat", "dog"])
    _, boxes = cells(drawn, 2, 2 * BAR)
    assert (boxes == colour_of(1)).all(-1).any()
    assert (drawn[BAR : 2 * BAR] == colour_of(0)).all(-1).any()  # the legend


@pytest.mark.parametrize("max_value", [255.0, 65535.0])
def test_brightness_of_samples_compares(max_value):
    images = [np.full((1, 64, 64), value * max_value, np.float32) for value in (0.2, 0.8)]
    drawn = draw_samples([sample({}, image, str(k)) for k, image in enumerate(images)], max_value)
    dark, bright = cells(drawn, 2)
    assert bright.mean() - dark.mean() > 100


def test_soft_masks_are_drawn_from_dark_to_bright():
    soft = np.linspace(0, 1, 64, dtype=np.float32)[None, None].repeat(64, 1)
    _, cell = cells(draw_samples([sample({"mask": soft})], 255), 2)
    assert len(np.unique(cell.reshape(-1, 3), axis=0)) > 20


def test_a_volume_is_shown_by_the_slice_with_most_of_the_target():
    image, mask = np.zeros((1, 4, 64, 64), np.float32), np.zeros((1, 4, 64, 64), np.uint8)
    image[:, 2], mask[:, 2, :32] = 255, 1
    shown, _ = cells(draw_samples([sample({"mask": mask}, image)], 255), 2)
    assert (shown == 255).all()


def test_image_level_targets_in_words():
    names = ["cat", "dog", "cow"]
    assert label_text(np.array(1), names) == "dog"
    assert label_text(np.array(5), names) == "5"
    assert label_text(np.array([1, 0, 1], np.float32), names) == "cat, cow"
    assert label_text(np.array([0.75, 0.25, 0], np.float32), names) == "cat 0.75, dog 0.25"
    assert label_text(np.array([0, 0, 0], np.float32), names) == "none"
    assert label_text(np.array([37.5], np.float32)) == "37.5"


def test_eight_samples_need_two_lines():
    one, eight = (draw_samples([sample({}, image_id=str(k)) for k in range(count)], 255) for count in (1, 8))
    assert eight.shape[1] == 5 * (SIDE + GAP)
    assert len(eight) - BAR == 2 * (len(one) - BAR)
