"""Batches at another size, with masks and boxes."""

import numpy as np
import pytest
import torch

from augmentations import Resize


def random(seed=0):
    return np.random.default_rng(seed)


def batch(height=8, width=12, count=3):
    numbers = torch.arange(count * height * width).view(count, 1, height, width)
    return {
        "image": numbers.float(),
        "mask": numbers,
        "flag": numbers[:, 0] % 2 > 0,
        "boxes": [torch.tensor([[2.0, 2, 6, 6], [0, 0, 1, 1]])] * count,
        "labels": [torch.tensor([1, 2])] * count,
        "label": torch.zeros(count, 5),
    }


def test_doubling_repeats_pixels_and_halving_takes_one_of_each_four():
    given = batch()
    large = Resize([16, 24]).batch(given, 1.0, random())
    assert torch.equal(large["mask"], given["mask"].repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert large["flag"].dtype == torch.bool
    assert large["boxes"][0].tolist() == [[4, 4, 12, 12], [0, 0, 2, 2]]
    back = Resize([8, 12]).batch(large, 1.0, random())
    assert torch.equal(back["mask"], given["mask"])
    torch.testing.assert_close(back["boxes"], given["boxes"])
    assert back["image"].shape == (3, 1, 8, 12)
    small = Resize(4).batch(batch(8, 8), 1.0, random())
    assert small["mask"].shape == (3, 1, 4, 4)
    assert small["label"].shape == (3, 5)
    torch.testing.assert_close(small["image"].mean(), batch(8, 8)["image"].mean(), atol=0.5, rtol=0)


def test_masks_take_the_pixel_under_the_new_ones_middle():
    for before, after in ((8, 5), (5, 8), (12, 7), (7, 3), (6, 6)):
        mask = torch.arange(before).view(1, before, 1).expand(1, before, 4)
        given = {"image": torch.zeros(1, 1, before, 4), "mask": mask}
        found = Resize([after, 2]).batch(given, 1.0, random())["mask"][0, :, 0]
        assert found.tolist() == [int((row + 0.5) * before / after) for row in range(after)]


def test_crops_move_image_masks_and_boxes_together():
    given, corners = batch(), set()
    for seed in range(20):
        found = Resize([4, 6], how="crop").batch(given, 1.0, random(seed))
        assert torch.equal(found["image"], found["mask"].float())
        assert torch.equal(found["flag"], found["mask"][:, 0] % 2 > 0)
        for sample in range(3):
            first = int(found["mask"][sample, 0, 0, 0]) - sample * 96
            top, left = divmod(first, 12)
            corners.add((top, left))
            assert torch.equal(found["mask"][sample], given["mask"][sample, :, top : top + 4, left : left + 6])
            expected = [
                [max(x0 - left, 0), max(y0 - top, 0), min(x1 - left, 6), min(y1 - top, 4), label]
                for (x0, y0, x1, y1), label in (((2, 2, 6, 6), 1), ((0, 0, 1, 1), 2))
            ]
            expected = [box for box in expected if box[0] < box[2] and box[1] < box[3]]
            assert found["boxes"][sample].tolist() == [box[:4] for box in expected]
            assert found["labels"][sample].tolist() == [box[4] for box in expected]
    assert len(corners) > 15
    assert {top for top, _ in corners} == set(range(5))


def test_the_size_it_has_already_costs_nothing():
    given = batch()
    assert Resize(None).batch(given, 1.0, random()) is given
    assert Resize([8, 12]).batch(given, 1.0, random()) is given


def test_bytes_and_words():
    for kind in (torch.uint8, torch.uint16):
        given = {"image": torch.full((1, 3, 8, 8), 200).to(kind)}
        assert Resize(4).batch(given, 255.0, random())["image"].unique().tolist() == pytest.approx([200.0])


def test_what_cannot_be():
    with pytest.raises(ValueError, match="size is 0, expected"):
        Resize(0)
    with pytest.raises(ValueError, match=r"size is \[1, 2, 3\]"):
        Resize([1, 2, 3])
    with pytest.raises(ValueError, match=r"the crop \[9, 9\] is larger than the images, \[8, 12\]"):
        Resize(9, how="crop").batch(batch(), 1.0, random())
    with pytest.raises(ValueError, match="Resize: expected images"):
        Resize(4).batch({"image": torch.zeros(1, 1, 4, 4, 4)}, 1.0, random())
