"""How many tiles see a pixel: of pictures and volumes of any size, from memory and from a file."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import Inference
from predictions.store import PredictionStore


class Counting:
    """A network that counts how often each pixel is shown to it; what lies beyond the picture has the value 0."""

    def __init__(self, shape):
        self.seen = np.zeros(int(np.prod(shape)) + 1, int)
        self.image = torch.arange(1.0, len(self.seen)).reshape(1, 1, *shape)

    def __call__(self, tiles):
        np.add.at(self.seen, tiles.long().numpy().reshape(-1), 1)
        return {"mask": torch.sigmoid(tiles / len(self.seen)), "label": tiles.flatten(1).mean(1, keepdim=True)}

    def least(self):
        return self.seen[1:].min()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 70), min_size=2, max_size=2),
    st.sampled_from([16, 32, 48]),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.25, 0.5, 0.75]),
    st.sampled_from([1, 8]),
    st.booleans(),
)
def test_pictures(shape, tile, cover, overlap, stride, streamed):
    network = Counting(shape)
    inference = Inference(tile, overlap, stride=stride, min_cover=cover, padding="constant")
    if streamed:
        strips = []

        def out(name, rows):
            strips.append(rows.clone())

        inference.stream(
            network, tuple(shape), lambda first, last: network.image[0, :, first:last], lambda pixels: pixels, out
        )
        mask = torch.cat(strips, 2)
    else:
        mask = inference(network, network.image)["mask"]
    assert network.least() >= cover
    torch.testing.assert_close(mask, torch.sigmoid(network.image / len(network.seen)), atol=1e-5, rtol=0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=3, max_size=3), st.sampled_from([8, [4, 8, 16]]), st.integers(1, 9))
def test_volumes(shape, tile, cover):
    network = Counting(shape)
    mask = Inference(tile, 0.25, stride=2, min_cover=cover, padding="constant")(network, network.image)["mask"]
    assert network.least() >= cover
    torch.testing.assert_close(mask, torch.sigmoid(network.image / len(network.seen)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(40, 200), (200, 40), (30, 30), (64, 64), (65, 64), (1, 3), (7, 2)])
@pytest.mark.parametrize("stride", [1, 32])
@pytest.mark.parametrize(("overlap", "least"), [(0.5, 4), (2 / 3, 9), (0.75, 16), (0.25, 1)])
def test_a_margin_is_for_pictures_within_a_tile_too(shape, overlap, least, stride):
    network = Counting(shape)
    Inference(64, overlap, stride=stride, margin=True, padding="constant")(network, network.image)
    assert network.least() >= least


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    """An experiment whose masks have edges at the picture's border, in its corner and in its middle."""
    root = tmp_path_factory.mktemp("coarse") / "runs/coarse"
    store = PredictionStore(root / "fold0/predictions/test")
    store.begin(["u"], fingerprint="0")
    mask = np.zeros((1, 24, 24), np.float32)
    mask[0, :5, :5] = mask[0, 12:20, 9:24] = mask[0, 23, 0] = 1
    store.write("u", {"mask": mask})
    store.finish()
    (root / "crossval.csv").write_text("")
    return root


@pytest.mark.parametrize("shape", [(24, 24), (24, 96), (120, 24), (96, 96)])
@pytest.mark.parametrize("cover", [None, 1, 3, 5])
@pytest.mark.parametrize("stride", [1, 32])
def test_edges(coarse, shape, cover, stride):
    network = Counting(shape)
    inference = Inference(32, coarse_run=str(coarse), min_cover=cover, stride=stride, padding="constant")
    inference(lambda tiles: {"mask": network(tiles)["mask"]}, network.image, image_ids=["u"])
    mask = inference._coarse.read("u")["mask"]
    mask = (
        torch.nn.functional.interpolate(torch.from_numpy(mask)[None], size=shape, mode="bilinear")[0, 0].numpy() > 0.5
    )
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & mask
    assert network.seen[1:].reshape(shape)[mask & ~inner].min() >= (cover or 2)


@pytest.mark.parametrize(
    "arguments", [{"min_cover": 3}, {"tile": 32, "min_cover": 0}, {"tile": 32, "min_cover": 3, "crops": 4}]
)
def test_what_cannot_be_covered(arguments):
    with pytest.raises(ValueError, match=r"inference\.min_cover is \d, expected 1 or more tiles"):
        Inference(**arguments)
