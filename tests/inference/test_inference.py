import json
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from inference import Inference

WINDOWS = ("gaussian", "pyramid", "constant")
VIEWS = ("none", "hflip", "d4")
SIZES = [(1, 1), (5, 7), (31, 33), (32, 64), (37, 101), (100, 45), (129, 70)]


def identity(batch):
    return {"mask": batch}


def picture(height, width, images=1, channels=3, seed=0):
    return torch.rand(images, channels, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("tta", VIEWS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("tile", [None, 32, 64, 500])
def test_an_identity_network_returns_the_image(size, tta, window, tile):
    image = picture(*size)
    result = Inference(tile=tile, window=window, tta=tta, stride=16)(identity, image)["mask"]
    assert result.shape == image.shape
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, image, atol=1e-6, rtol=0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.one_of(st.none(), st.integers(1, 70)),
    st.floats(0, 0.8),
    st.sampled_from(WINDOWS),
    st.sampled_from(VIEWS),
    st.sampled_from([1, 4, 10, 32]),
    st.integers(1, 5),
    st.sampled_from(["reflect", "replicate", "constant"]),
    st.booleans(),
)
def test_a_pointwise_network_gives_the_same_as_without_tiles(
    height, width, tile, overlap, window, tta, stride, batch_size, padding, margin
):
    image = picture(height, width, images=2, channels=2)
    inference = Inference(tile, overlap, window, tta, stride, batch_size, padding, margin and tile is not None)

    def pointwise(batch):
        assert batch.shape[2] % stride == batch.shape[3] % stride == 0
        return {"mask": (3 * batch - 1).sigmoid().sum(1, keepdim=True)}

    torch.testing.assert_close(inference(pointwise, image)["mask"], pointwise_map(image), atol=2e-6, rtol=0)


def pointwise_map(image):
    return (3 * image - 1).sigmoid().sum(1, keepdim=True)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("margin", [False, True])
def test_a_constant_and_a_linear_ramp_survive(window, margin):
    down, along = torch.meshgrid(torch.linspace(0, 1, 101), torch.linspace(-1, 0.5, 137), indexing="ij")
    ramp = (0.3 * down + along)[None, None]
    inference = Inference(tile=32, overlap=0.4, window=window, stride=16, margin=margin)
    torch.testing.assert_close(inference(identity, ramp)["mask"], ramp, atol=1e-6, rtol=0)
    constant = inference(lambda batch: {"mask": torch.tensor(0.3).expand_as(batch)}, ramp)["mask"]
    torch.testing.assert_close(constant, torch.full_like(ramp, 0.3), atol=1e-6, rtol=0)


def network(batch):
    """Depends on the neighbours and on the position in the tile: seams, weights and views all matter."""
    kernel = torch.linspace(-1, 1, 25).reshape(1, 1, 5, 5).expand(2, batch.shape[1], 5, 5)
    ramp = torch.linspace(0, 2, batch.shape[-1])
    return {"mask": (F.conv2d(batch, kernel, padding=2) * ramp).sigmoid(), "label": batch[:, :, 0, 0].sigmoid()}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("tta", VIEWS)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_equals_a_naive_full_map_with_a_count_map(window, tta, batch_size):
    image = picture(75, 110, images=2)
    result = Inference(tile=32, overlap=0.5, window=window, tta=tta, stride=8, batch_size=batch_size)(network, image)

    position = np.arange(32) - 15.5
    line = {
        "gaussian": np.exp(-0.5 * (position / 4) ** 2),
        "pyramid": 16.5 - abs(position),
        "constant": np.ones(32),
    }[window]
    weight = np.outer(line, line)
    total, count, labels = np.zeros((2, 2, 75, 110)), np.zeros((75, 110)), []
    for top in (0, 16, 32, 43):
        for left in (0, 16, 32, 48, 64, 78):
            tile = image[:, :, top : top + 32, left : left + 32]
            masks = []
            for mirrored in (False, True) if tta != "none" else (False,):
                for turns in {"none": [0], "hflip": [0], "d4": [0, 1, 2, 3]}[tta]:
                    view = torch.rot90(tile.flip(3) if mirrored else tile, turns, (2, 3))
                    output = network(view.contiguous())
                    labels.append(output["label"])
                    mask = torch.rot90(output["mask"], -turns, (2, 3))
                    masks.append(mask.flip(3) if mirrored else mask)
            total[:, :, top : top + 32, left : left + 32] += torch.stack(masks).mean(0).numpy() * weight
            count[top : top + 32, left : left + 32] += weight
    np.testing.assert_allclose(result["mask"].numpy(), total / count, atol=2e-6)
    np.testing.assert_allclose(result["label"].numpy(), torch.stack(labels).mean(0).numpy(), atol=1e-6)


@pytest.mark.parametrize("tile", [None, 32])
def test_several_images_equal_one_by_one(tile):
    images = picture(50, 81, images=3)
    inference = Inference(tile=tile, tta="flips", stride=16, batch_size=2)
    together = inference(network, images)
    for number in range(3):
        alone = inference(network, images[number : number + 1])
        for name in ("mask", "label"):
            torch.testing.assert_close(together[name][number], alone[name][0], atol=1e-6, rtol=0)


def test_batch_size_bounds_what_the_network_sees():
    seen = []

    def forward(batch):
        seen.append(len(batch))
        return {"mask": batch}

    Inference(tile=32, overlap=0.5, batch_size=4, tta="d4")(forward, picture(32, 130))
    # 8 tiles lie along 130 pixels with a step of 16
    assert seen == [4] * 16


def test_a_small_image_is_extended_to_the_stride_only():
    seen = []

    def forward(batch):
        seen.append(tuple(batch.shape))
        return {"mask": batch}

    Inference(tile=512, stride=32)(forward, picture(40, 64))
    Inference(tile=512, stride=512)(forward, picture(40, 64))
    Inference(tile=60, stride=32)(forward, picture(64, 64))
    assert seen == [(1, 3, 64, 64), (1, 3, 512, 512), (1, 3, 64, 64)]


def test_views_can_be_left_out_of_a_call():
    calls = []

    def forward(batch):
        calls.append(1)
        return {"mask": batch}

    inference = Inference(tta="d4")
    inference(forward, picture(32, 32), tta=False)
    assert len(calls) == 1
    inference(forward, picture(32, 32))
    assert len(calls) == 9


@pytest.mark.parametrize("tile", [None, 64])
def test_a_coarser_output_is_resized(tile):
    down, along = torch.meshgrid(torch.arange(100.0), torch.arange(150.0), indexing="ij")
    ramp = ((down + 2 * along) / 400)[None, None]
    result = Inference(tile=tile, tta="d4")(lambda batch: {"mask": F.avg_pool2d(batch, 4)}, ramp)["mask"]
    assert result.shape == ramp.shape
    inside = (..., slice(8, -8), slice(8, -8))
    torch.testing.assert_close(result[inside], ramp[inside], atol=2e-2 if tile else 1e-5, rtol=0)


def test_a_size_that_does_not_divide_is_refused_by_both_sizes():
    with pytest.raises(ValueError, match="output 'mask' has 60 x 60 pixels for an input of 64 x 64"):
        Inference()(lambda batch: {"mask": batch[..., 2:-2, 2:-2]}, picture(50, 50))
    with pytest.raises(ValueError, match="128 x 128 pixels for an input of 64 x 64"):
        Inference(tile=64)(lambda batch: {"mask": F.interpolate(batch, scale_factor=2)}, picture(90, 90))


def test_bfloat16_networks_are_averaged_in_float32():
    image = picture(70, 90)
    for tile in (None, 32):
        result = Inference(tile=tile, overlap=0.8, tta="d4")(
            lambda batch: {"mask": batch.bfloat16(), "label": batch.mean((2, 3)).bfloat16()}, image
        )
        assert result["mask"].dtype == result["label"].dtype == torch.float32
        torch.testing.assert_close(result["mask"], image.bfloat16().float(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("tile", [None, 32])
def test_bytes_are_the_rounded_probabilities(tile):
    image = picture(70, 90)
    result = Inference(tile=tile)(identity, image, dtype=torch.uint8)["mask"]
    assert result.dtype == torch.uint8
    assert (result.float() - 255 * image).abs().max() <= 0.5 + 1e-3


class Allocations(TorchDispatchMode):
    """Bytes of the storages alive at once that were made while it is active; those of `given` do not count."""

    def __init__(self, given):
        super().__init__()
        self.given = given.untyped_storage()._cdata
        self.alive, self.peak = {}, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key != self.given and key not in self.alive:
                    self.alive[key] = storage.nbytes()
                    weakref.finalize(storage, self.alive.pop, key, None)
        self.peak = max(self.peak, sum(self.alive.values()))
        return result


def test_memory_is_bounded_by_a_strip_of_tiles_beside_the_result():
    image = picture(1024, 768, channels=1)
    inference = Inference(tile=64, tta="d4", batch_size=2)
    strip, tiles = 64 * 768 * 4, 2 * 64 * 64 * 4
    for dtype in (torch.uint8, torch.float32):
        with Allocations(image) as allocations:
            result = inference(identity, image, dtype=dtype)["mask"]
        # a second strip where one is rounded, and some buffers of two tiles; a further map would be 16 strips
        assert result.nbytes + strip <= allocations.peak <= result.nbytes + 2 * strip + 8 * tiles


def test_settings_and_fingerprint_are_for_manifests():
    plain = Inference()
    assert json.loads(json.dumps(plain.settings())) == plain.settings()
    assert Inference(**plain.settings()).settings() == plain.settings()
    assert Inference(batch_size=8).fingerprint() == plain.fingerprint()
    others = [
        Inference(tile=64),
        Inference(overlap=0.5),
        Inference(window="pyramid"),
        Inference(tta="flips"),
        Inference(stride=16),
        Inference(padding="constant"),
        Inference(scales=[1, 1.25]),
        Inference(shifts=[[0, 0], [0, 8]]),
        Inference(intensity=[[1, 0], [-1, 0]]),
        Inference(merge="max"),
        Inference(32, crops=2),
        Inference(32, crops=3),
    ]
    assert len({other.fingerprint() for other in [plain, *others]}) == len(others) + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": 0}, "inference.tile is 0, expected 1 or more"),
        ({"stride": 0}, "inference.stride is 0"),
        ({"batch_size": 0}, "inference.batch_size is 0"),
        ({"overlap": 1.0}, "inference.overlap is 1.0"),
        ({"window": "hann"}, "inference.window is 'hann', expected one of gaussian, pyramid, constant"),
        ({"scales": [0, 1]}, "inference.scales is"),
        ({"shifts": [[0, -1]]}, "inference.shifts is"),
        ({"shifts": [[1]]}, "inference.shifts is"),
        ({"intensity": [[1]]}, "inference.intensity is"),
        ({"merge": "min"}, "inference.merge is 'min', expected one of mean"),
        ({"crops": 4}, "inference.crops is 4"),
        ({"crops": 0, "tile": 32}, "inference.crops is 0"),
        ({"tta": "d8"}, "inference.tta is 'd8', expected one of none, hflip, flips, d4"),
        ({"padding": "wrap"}, "inference.padding is 'wrap'"),
        ({"margin": True}, "inference.margin needs inference.tile"),
    ],
)
def test_wrong_arguments_name_their_key(arguments, message):
    with pytest.raises(ValueError, match=message):
        Inference(**arguments)


def test_an_image_that_is_not_normalised_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\) torch.uint8"):
        Inference()(identity, torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"got \(3, 8, 8\)"):
        Inference()(identity, torch.zeros(3, 8, 8))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_results_lie_where_the_image_lies():
    image = picture(100, 130)
    inference = Inference(tile=64)
    expected = inference(network, image)

    def moving(batch):
        return {name: value.cuda() for name, value in network(batch).items()}

    results = inference(moving, image)
    for name in ("mask", "label"):
        assert results[name].device == image.device
        torch.testing.assert_close(results[name], expected[name], atol=1e-5, rtol=0)
    on_device = inference(identity, image.cuda())["mask"]
    assert on_device.is_cuda
    torch.testing.assert_close(on_device.cpu(), image, atol=1e-6, rtol=0)


@pytest.mark.parametrize("tile", [None, 48])
def test_views_of_every_kind_multiply(tile):
    """A network that knows neither place nor size gives the same whatever is done to the picture."""
    seen = []

    def forward(batch):
        seen.append(batch.shape[-2:])
        return {"mask": torch.full_like(batch[:, :1], 0.3), "label": torch.full((len(batch), 2), 0.7)}

    inference = Inference(
        tile,
        tta="hflip",
        stride=16,
        scales=[0.75, 1],
        shifts=[[0, 0], [4, 8]],
        intensity=[[1, 0], [-1, 0]],
        merge="logit",
    )
    found = inference(forward, picture(48, 80))
    torch.testing.assert_close(found["mask"], torch.full((1, 1, 48, 80), 0.3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found["label"], torch.full((1, 2), 0.7), atol=1e-5, rtol=0)
    assert len(inference.views(2)) == 16
    assert len(seen) == 16 * (1 if tile is None else 2)
    assert all(height % 16 == width % 16 == 0 for height, width in seen)
    assert len(set(seen)) == (4 if tile is None else 3)  # 32 or 48, 48 or 64


def test_a_network_that_depends_on_the_scale_is_averaged_over_scales():
    image = picture(64, 96)
    forward = lambda batch: {"label": torch.full((len(batch), 1), batch.shape[-1] / 192)}  # noqa: E731
    found = Inference(scales=[0.5, 1, 2], stride=16)(forward, image)["label"]
    torch.testing.assert_close(found, torch.tensor([[(0.25 + 0.5 + 1) / 3]]))
    assert Inference(scales=[0.5, 1, 2], stride=16, merge="max")(forward, image)["label"].item() == 1


def test_random_crops_take_the_largest_probability_over_crops_and_views():
    image = picture(200, 300, images=2, channels=1)
    seen = []

    def forward(batch):
        seen.append(batch.clone())
        return {"label": batch.mean((2, 3))}

    found = Inference(64, tta="d4", merge="max", crops=5, stride=32, batch_size=2)(forward, image)["label"]
    assert sum(len(batch) for batch in seen) == 5 * 8 * 2
    means = torch.cat([batch.mean((2, 3)).unflatten(0, (-1, 2)) for batch in seen])
    torch.testing.assert_close(found, means.amax(0), atol=1e-5, rtol=0)  # sums in another order
    again = Inference(64, tta="d4", merge="max", crops=5, stride=32)(forward, image)["label"]
    torch.testing.assert_close(again, found, atol=1e-5, rtol=0)
    more = Inference(64, merge="max", crops=40)(lambda batch: {"label": batch[..., 0, 0]}, image)["label"]
    assert (more >= Inference(64, merge="max", crops=2)(lambda b: {"label": b[..., 0, 0]}, image)["label"]).all()
    with pytest.raises(ValueError, match=r"inference.crops is for image-level outputs, but output 'mask' is spatial"):
        Inference(64, crops=2)(identity, image)


def test_image_level_outputs_merge_over_tiles():
    image = torch.zeros(1, 1, 64, 128)
    image[..., 64:] = 1
    forward = lambda batch: {"label": batch.mean((2, 3))}  # noqa: E731
    assert Inference(64, 0, merge="max")(forward, image)["label"].item() == 1
    assert Inference(64, 0)(forward, image)["label"].item() == 0.5
