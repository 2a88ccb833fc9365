"""A picture that is predicted strip by strip."""

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from datamodules.lazy_images import LazyImage
from inference import Inference
from inference.strips import StripReader
from inference.tiles import read_window

TYPES = {np.uint8: 255, np.uint16: 60000, np.int16: 3000, np.float32: 1}


def pixels(size, dtype, seed=0, channels=2):
    values = np.random.default_rng(seed).random((*size, channels)) * TYPES[dtype]
    return values.astype(dtype)


def scene_of(array, asked=None):
    def read(scene, first, last):
        if asked is not None:
            asked.append((first, last))
        return array[first:last]

    return LazyImage(array.shape[:2], read)


def prepare(window):
    return window.float() / 100 - 0.5


def network(batch):
    seen = torch.nn.functional.avg_pool2d(batch, 5, 1, 2)  # what a pixel becomes depends on its neighbours
    return {"mask": seen.sum(1, keepdim=True).sigmoid(), "half": batch[..., ::2, ::2], "level": batch.mean((2, 3))}


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.sampled_from(list(TYPES)),
    st.integers(2, 10),
    st.floats(0, 0.6),
    st.sampled_from(["gaussian", "pyramid", "constant"]),
    st.sampled_from(["none", "d4"]),
    st.sampled_from(["reflect", "replicate", "constant"]),
    st.sampled_from(["mean", "max"]),
    st.booleans(),
    st.integers(1, 3),
)
def test_the_same_as_from_the_whole_picture(
    size, dtype, tile, overlap, window, tta, padding, merge, margin, batch_size
):
    array, stride = pixels(size, dtype), 4
    inference = Inference(4 * tile, overlap, window, tta, stride, batch_size, padding, margin, merge=merge)
    whole = inference(network, prepare(torch.from_numpy(array).movedim(-1, 0)[None]))
    found, asked = {}, []

    def out(name, rows):
        found.setdefault(name, []).append(rows.clone())

    levels = inference.stream(network, size, scene_of(array, asked).rows, prepare, out)
    assert set(levels) == {"level"}
    torch.testing.assert_close(levels["level"], whole["level"])
    for name in ("mask", "half"):
        torch.testing.assert_close(torch.cat(found[name], dim=2), whole[name], atol=1e-5, rtol=1e-5)
    assert len(asked) <= len(inference._axes(torch.Size(size))[0].origins)  # once a row of tiles
    assert max(last - first for first, last in asked) <= 4 * tile


@pytest.mark.parametrize("padding", ["reflect", "replicate", "constant"])
@pytest.mark.parametrize("place", [(-15, -15), (-3, -5), (0, 0), (10, 8), (4, -2), (-1, 20)])
def test_a_window_is_that_of_the_whole_picture(padding, place):
    array = pixels((23, 31), np.uint16)
    image = prepare(torch.from_numpy(array).movedim(-1, 0)[None])
    reader = StripReader((23, 31), scene_of(array).rows, prepare, padding)
    for top in (place[0], place[0] + 4):
        found = reader.window(top, place[1], 16, 16)
        torch.testing.assert_close(found, read_window(image, top, place[1], 16, 16, padding))


def test_what_is_streamed():
    assert Inference(512).streams((2048, 2049))
    assert not Inference(512).streams((2048, 2048))
    assert Inference(512, stream_above=0).streams((1, 1))
    assert not Inference(512, stream_above=0).streams((64, 64, 64))  # a volume
    for others in ({"size": [64, 64]}, {"crops": 3}, {"coarse_run": "runs/coarse"}):
        assert not Inference(512, stream_above=0, **others).streams((100, 100))
    assert not Inference(stream_above=0).streams((100, 100))
    assert Inference(512, stream_above=0).fingerprint() == Inference(512, batch_size=4).fingerprint()
    with pytest.raises(ValueError, match="inference.stream_above is -1"):
        Inference(512, stream_above=-1)
