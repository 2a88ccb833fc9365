"""Samples become a batch where they are of one kind; else two of them are named."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datamodules.collate import collate_training
from datamodules.dataset import to_sample


def samples(*images):
    rows = (SimpleNamespace(image_id=name, weight=1.0) for name in "abc")
    return [to_sample(row, image, {}, np.zeros(0, np.float32)) for row, image in zip(rows, images, strict=False)]


@pytest.mark.parametrize(
    ("one", "other"), [(np.uint8, np.uint16), (np.uint16, np.uint8), (np.uint8, np.float32), (np.int16, np.uint8)]
)
def test_pictures_of_several_types_are_refused(one, other):
    images = [np.ones((8, 8, 3), one), np.ones((8, 8, 3), one), np.ones((8, 8, 3), other)]
    with pytest.raises(ValueError, match=r"^image of 'a' is torch\.\w+, of 'c' torch\.\w+, so .*prepare --bits"):
        collate_training(samples(*images))
    assert collate_training(samples(*images[:2]))["image"].shape == (2, 3, 8, 8)


def test_floats_of_several_sizes_are_one_kind():
    batch = collate_training(samples(np.ones((8, 8, 3), np.float32), np.full((8, 8, 3), 0.5)))
    assert batch["image"].is_floating_point()


@pytest.mark.parametrize("kinds", [(np.uint16, np.uint8), (np.int16, np.uint16), (np.uint16, np.float32)])
def test_volumes_of_several_types_keep_their_numbers(kinds):
    volumes = [np.full((4, 8, 8, 1), 7 + index, kind) for index, kind in enumerate(kinds)]
    batch = collate_training(samples(*volumes))["image"]
    assert [batch[index].unique().tolist() for index in range(2)] == [[7], [8]]


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_large_numbers_are_kept(kind):
    image = np.full((8, 8, 1), 2**31 + 5, kind)
    batch = collate_training(samples(image, image))["image"]
    assert batch.dtype == torch.int64
    assert batch.unique().tolist() == [2**31 + 5]
