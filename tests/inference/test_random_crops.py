"""Random crops of a picture, and what is made of them."""

import pytest
import torch

from inference.random_crops import predict_crops
from inference.tiles import plan_axis


def axes(height, width, side):
    return [plan_axis(length, side, 0, "constant") for length in (height, width)]


def label(batch):
    return {"label": batch.mean((2, 3))}


@pytest.mark.parametrize("batch_size", [1, 2, 7])
@pytest.mark.parametrize(("merge", "reduce"), [("mean", torch.mean), ("max", torch.amax)])
def test_each_image_has_the_same_crops(batch_size, merge, reduce):
    images, seen = torch.rand(2, 3, 40, 60), []

    def forward(batch):
        seen.extend(batch.split(2))  # a crop of both images after the other
        return label(batch)

    found = predict_crops(forward, images, axes(40, 60, 16), 5, merge, batch_size)["label"]
    assert len(seen) == 5
    assert all(crop.shape == (2, 3, 16, 16) for crop in seen)
    torch.testing.assert_close(found, reduce(torch.stack([crop.mean((2, 3)) for crop in seen]), dim=0))
    places = [next(zip(*torch.where(images[0, 0] == crop[0, 0, 0, 0]), strict=True)) for crop in seen]
    for (top, left), crop in zip(places, seen, strict=True):
        torch.testing.assert_close(images[..., top : top + 16, left : left + 16], crop)
    assert len(set(map(str, places))) > 1


def test_a_picture_within_a_crop_is_seen_whole():
    image = torch.rand(1, 1, 10, 10)
    found = predict_crops(lambda batch: {"label": batch.amax((2, 3))}, image, axes(10, 10, 16), 3)["label"]
    torch.testing.assert_close(found, image.amax((2, 3)))


def test_maps_are_refused():
    with pytest.raises(ValueError, match=r"inference.crops is for image-level outputs, but output 'mask' is spatial"):
        predict_crops(lambda batch: {"mask": batch}, torch.rand(1, 1, 20, 20), axes(20, 20, 8), 2)
