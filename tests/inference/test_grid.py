"""Tiles of several pictures in one forward."""

import weakref

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from inference import Inference
from lightning_modules import SegmentationModule


def pictures(sizes, channels=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, channels, *size, generator=generator) for size in sizes]


def network(batch):
    seen = torch.nn.functional.avg_pool2d(batch, 5, 1, 2)
    return {"mask": seen.sum(1, keepdim=True).sigmoid(), "half": batch[..., ::2, ::2], "level": batch.mean((2, 3))}


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=5),
    st.sampled_from([None, 8, 16, 40]),
    st.sampled_from(["none", "d4"]),
    st.integers(2, 7),
    st.sampled_from([None, [24, 32]]),
    st.sampled_from(["mean", "max"]),
)
def test_each_picture_as_alone(sizes, tile, tta, batch_size, resized, merge):
    settings_ = {"tile": tile, "tta": tta, "stride": 4, "size": resized, "merge": merge}
    images, batches = pictures(sizes), []

    def forward(batch, numbers):
        assert len(batch) == len(numbers)
        batches.append(numbers)
        return network(batch)

    found = Inference(**settings_, batch_size=batch_size).many(forward, iter(images))
    assert len(found) == len(images)
    for one, image in zip(found, images, strict=True):
        alone = Inference(**settings_)(network, image)
        assert set(one) == set(alone)
        for name, value in alone.items():
            torch.testing.assert_close(one[name], value, atol=1e-5, rtol=1e-5)
    assert max(map(len, batches)) <= batch_size


def test_forwards_are_full():
    seen = []

    def forward(batch, numbers):
        seen.append((tuple(batch.shape), numbers))
        return {"mask": batch[:, :1]}

    Inference(32, overlap=0, batch_size=3).many(forward, pictures([(64, 64), (32, 32), (32, 64)]))
    Inference(32, overlap=0, stride=1, batch_size=3).many(forward, pictures([(20, 32), (32, 32), (20, 32)]))
    assert [numbers for _, numbers in seen] == [[0, 0, 0], [0, 1, 2], [2], [0, 2], [1]]
    assert seen[3][0] == (2, 2, 20, 32)


def test_the_pixels_of_a_picture_are_let_go():
    alive = []

    def images():
        for _ in range(6):
            image = torch.rand(1, 3, 64, 64)
            alive.append(weakref.ref(image))
            yield image
            del image

    def forward(batch, numbers):
        count.append(sum(reference() is not None for reference in alive))
        return {"mask": batch[:, :1].clone()}

    count = []
    Inference(32, batch_size=2).many(forward, images())
    assert max(count) <= 2


class Shifted(nn.Module):
    def forward(self, image, features):
        return image[:, :1] * 0 + features[:, :1, None, None]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_side_inputs_stay_with_their_picture(batch_size):
    inference = Inference(16, overlap=0, batch_size=batch_size)
    module = SegmentationModule(Shifted(), ["mask"], "bce", inputs=["image", "features"], inference=inference)
    sizes = [(40, 20), (16, 16), (33, 17), (8, 50)]
    batch = {
        "image": [torch.zeros(3, *size, dtype=torch.uint8) for size in sizes],
        "features": [torch.tensor([float(number), 0.0]) for number in range(4)],
        "image_id": list("abcd"),
    }
    found = module.predict_batch(batch, tta=True)
    for number, (one, size) in enumerate(zip(found, sizes, strict=True)):
        assert one["mask"].shape == (1, *size)
        torch.testing.assert_close(one["mask"], torch.full((1, *size), torch.tensor(float(number)).sigmoid().item()))
