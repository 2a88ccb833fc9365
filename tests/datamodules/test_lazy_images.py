"""Images whose rows are read when they are asked for."""

import numpy as np
import pytest
import torch

from datamodules.decoder import Decoder
from datamodules.lazy_images import LazyImages, left_in_files
from datamodules.readers import ImageReadError
from datamodules.row import row_with
from datamodules.unreadable import UnreadableFallback
from preprocessing import Clahe
from tests.datamodules.memory import Images

IMAGES = {
    "large": np.random.default_rng(0).integers(0, 255, (20, 6, 3), np.uint8),
    "small": np.ones((4, 4, 3), np.uint8),
}


def row(image_id):
    return row_with({"image_id": image_id, "path": image_id})


def is_large(size):
    return size[0] > 10


def test_only_large_images_are_lazy_and_strips_are_the_rows():
    reader = Images(IMAGES, windowed=True)
    lazy = LazyImages(Decoder(reader, []), is_large)
    assert lazy.open(row("small")) is None
    assert lazy.open(row("gone")) is None  # reading it whole gives the error
    image = lazy.open(row("large"))
    assert image.size == (20, 6)
    assert reader.opened == []
    parts = [image.rows(first, min(first + 7, 20)) for first in range(0, 20, 7)]
    assert torch.equal(torch.cat(parts, 1), torch.from_numpy(IMAGES["large"]).movedim(-1, 0))
    assert image.unreadable == ""


class Broken(Images):
    """Fails below row 10."""

    def read_with_valid(self, row):
        window = getattr(row, "window", None)
        if row.image_id == "large" and window is not None and window[0] >= 10:
            raise ImageReadError("large.tif is cut off")
        return super().read_with_valid(row)


def test_a_part_that_cannot_be_read_is_black_and_said_or_an_error():
    decoder = Decoder(Broken(IMAGES, windowed=True), [])
    with pytest.raises(ImageReadError, match="cut off"):
        LazyImages(decoder, is_large).open(row("large")).rows(10, 15)
    fallback = UnreadableFallback(decoder, [row("large"), row("small")])
    image = LazyImages(decoder, is_large, fallback).open(row("large"))
    assert image.rows(0, 5).any()
    assert image.unreadable == ""
    black = image.rows(10, 15)
    assert black.shape == (3, 5, 6)
    assert black.dtype == torch.uint8
    assert not black.any()
    assert "cut off" in image.unreadable
    assert not image.rows(0, 5).any(), "once a part has failed, the image is not predicted"


@pytest.mark.parametrize(
    ("windowed", "preprocessing", "large", "expected"),
    [
        (True, [], is_large, True),
        (False, [], is_large, False),
        (True, [Clahe()], is_large, False),
        (True, [], None, False),
    ],
)
def test_which_readers_leave_images_in_files(windowed, preprocessing, large, expected):
    decoder = Decoder(Images(IMAGES, windowed=windowed), [], preprocessing)
    assert (left_in_files(decoder, large) is not None) == expected
