"""3-D tiles: seamless on any size, equal to the whole volume where the network sees no neighbours."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from inference import Inference
from inference.tta import merged_views, symmetries
from inference.volume_tiles import SlabMerge, predict_volume, read_tile

sides = st.integers(1, 20)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(sides, sides, sides),
    st.tuples(*[st.integers(1, 12)] * 3),
    st.tuples(*[st.sampled_from([1, 2, 4])] * 3),
    st.floats(0, 0.8),
    st.sampled_from(["gaussian", "pyramid", "constant"]),
    st.sampled_from(["reflect", "replicate", "constant"]),
    st.sampled_from(["none", "flips"]),
    st.integers(1, 4),
    st.booleans(),
)
def test_identity_is_put_together_again(size, tile, stride, overlap, window, padding, tta, batch_size, margin):
    volume = torch.rand(2, 2, *size, generator=torch.Generator().manual_seed(0))
    inference = Inference(list(tile), overlap, window, tta, list(stride), batch_size, padding, margin)
    seen = []

    def forward(batch):
        seen.append(batch.shape)
        return {"mask": batch}

    found = inference(forward, volume)["mask"]
    torch.testing.assert_close(found, volume, atol=1e-5, rtol=0)
    assert {tuple(side % step for side, step in zip(shape[2:], stride, strict=True)) for shape in seen} == {(0, 0, 0)}
    assert max(shape[0] for shape in seen) <= 2 * batch_size


@pytest.mark.parametrize("tta", ["none", "flips", "d4", "axes"])
def test_a_pointwise_network_gives_what_it_gives_on_the_whole_volume(tta):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(2, 5, 1), nn.ReLU(), nn.Conv3d(5, 3, 1), nn.Softmax(1)).eval()
    volume = torch.randn(1, 2, 19, 23, 31)
    found = Inference([8, 16, 12], 0.5, tta=tta, stride=4)(lambda batch: {"mask": network(batch)}, volume)["mask"]
    with torch.no_grad():
        torch.testing.assert_close(found, network(volume), atol=1e-6, rtol=0)
    assert found.dtype == torch.float32


def test_bytes_are_the_rounded_probabilities():
    volume = torch.rand(1, 1, 9, 17, 13)
    inference = Inference(8, 0.5, stride=1)
    forward = lambda batch: {"mask": batch}  # noqa: E731
    bytes_ = inference(forward, volume, dtype=torch.uint8)["mask"]
    assert bytes_.dtype == torch.uint8
    assert (bytes_.float() / 255 - volume).abs().max() <= 0.5 / 255 + 1e-5


def test_a_network_with_neighbours_sees_no_seams_inside():
    torch.manual_seed(0)
    network = nn.Conv3d(1, 1, 3, padding=1).eval()
    volume = torch.randn(1, 1, 20, 20, 20)
    with torch.no_grad():
        whole = network(volume)
        # A margin of a voxel is enough for this network; weights at tiles' borders are not 0, only small.
        tiled = Inference(16, 0.75, "gaussian", stride=1)(lambda batch: {"mask": network(batch)}, volume)["mask"]
    assert (tiled - whole)[..., 2:-2, 2:-2, 2:-2].abs().max() < 0.02 * whole.std()


@pytest.mark.parametrize(("name", "count"), [("hflip", 2), ("flips", 8), ("d4", 16), ("axes", 3), ("cube", 48)])
def test_all_views_are_averaged_and_turned_back(name, count):
    views = symmetries(name, 3)
    cube = torch.arange(60.0).reshape(1, 1, 3, 4, 5)
    seen = [view.apply(cube) for view in views]
    assert len({(image.shape, tuple(image.flatten().tolist())) for image in seen}) == count
    assert all(torch.equal(view.invert(image), cube) for view, image in zip(views, seen, strict=True))
    torch.manual_seed(0)
    network = nn.Conv3d(1, 2, 3, padding=1)
    batch = torch.randn(2, 1, 5, 6, 7)
    with torch.no_grad():
        found = merged_views(lambda seen: {"mask": network(seen), "label": seen.mean((2, 3, 4))}, batch, views)
        for view in views:  # a mean over the whole group does not know which way is up
            other = merged_views(lambda seen: {"mask": network(seen)}, view.apply(batch), views)["mask"]
            torch.testing.assert_close(view.invert(other), found["mask"], atol=1e-5, rtol=0)
        assert (found["mask"] - network(batch)).abs().max() > 0.01
    torch.testing.assert_close(found["label"], batch.mean((2, 3, 4)))


def test_image_level_outputs_are_the_mean_over_tiles():
    volume = torch.zeros(2, 1, 8, 4, 4)
    volume[0, :, :4] = 1
    forward = lambda batch: {"label": batch.mean((2, 3, 4))}  # noqa: E731
    found = Inference(4, 0, stride=1)(forward, volume)["label"]
    both = Inference(4, 0, stride=1)(lambda batch: {"mask": batch, **forward(batch)}, volume)
    torch.testing.assert_close(both["label"], found)  # beside a map, too
    torch.testing.assert_close(found, torch.tensor([[0.5], [0.0]]))


def test_coarse_outputs_are_resized_and_odd_ones_refused():
    volume = torch.full((1, 1, 10, 12, 9), 0.25)
    coarse = lambda batch: {"mask": nn.functional.avg_pool3d(batch, 4)}  # noqa: E731
    found = Inference(8, 0.5, stride=4)(coarse, volume)["mask"]
    torch.testing.assert_close(found, volume)
    with pytest.raises(ValueError, match="expected sides that divide"):
        Inference(8, 0.5, stride=4)(lambda batch: {"mask": batch[:, :, :3]}, volume)
    with pytest.raises(ValueError, match=r"expected \(1, K, d, h, w\)"):
        Inference(8, 0.5, stride=4)(lambda batch: {"mask": batch[:, 0]}, volume)
    with pytest.raises(ValueError, match="returned a Tensor"):
        Inference(8, 0.5, stride=4)(lambda batch: batch, volume)


def test_settings_that_do_not_fit_volumes():
    volume = torch.zeros(1, 1, 4, 4, 4)
    forward = lambda batch: {"mask": batch}  # noqa: E731
    with pytest.raises(ValueError, match="swaps axes"):
        Inference(tta="axes", stride=[1, 4, 4])(forward, volume)
    with pytest.raises(ValueError, match="inference.tta axes is for volumes"):
        Inference(tta="axes")(forward, volume[0])
    with pytest.raises(ValueError, match=r"inference\.scales and inference\.shifts are for 2-D images"):
        Inference(scales=[1, 2])(forward, volume)
    with pytest.raises(ValueError, match=r"inference\.crops is for 2-D images"):
        Inference(2, crops=2)(forward, volume)
    with pytest.raises(ValueError, match="data.reader.spacing"):
        Inference(size=[4, 4])(forward, volume)
    with pytest.raises(ValueError, match="has 3 axes"):
        Inference(tile=[4, 4])(forward, volume)
    with pytest.raises(ValueError, match="has 2 axes"):
        Inference(stride=[4, 4, 4])(forward, volume[0])
    for value in ([0, 4, 4], []):
        with pytest.raises(ValueError, match="expected 1 or more"):
            Inference(tile=value)


def test_reading_a_tile_takes_no_copy_inside_and_mirrors_outside():
    volume = torch.arange(4 * 5 * 6.0).reshape(1, 1, 4, 5, 6)
    inside = read_tile(volume, (1, 1, 1), (2, 3, 4), "reflect")
    assert inside.data_ptr() == volume[0, 0, 1, 1, 1:].data_ptr()
    around = read_tile(volume, (-2, -1, -1), (8, 7, 8), "reflect")
    expected = nn.functional.pad(volume, (1, 1, 1, 1, 2, 2), mode="reflect")
    torch.testing.assert_close(around, expected)
    zeros = read_tile(volume, (-2, -1, -1), (8, 7, 8), "constant")
    torch.testing.assert_close(zeros, nn.functional.pad(volume, (1, 1, 1, 1, 2, 2)))


def test_a_slab_is_all_the_memory_beside_the_result():
    """The blend of a deep volume holds no second map: the slab is as deep as a tile."""
    volume = torch.zeros(1, 1, 64, 8, 8)
    kept = []
    before = SlabMerge.add

    class Watched(SlabMerge):
        def add(self, row, column, tile):
            before(self, row, column, tile)
            kept.append(tuple(self.slab.shape))

    from inference import volume_tiles

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(volume_tiles, "SlabMerge", Watched)
        predict_volume(lambda batch: {"mask": batch}, volume, Inference(8, 0.5, stride=1)._axes(volume.shape[2:]))
    assert set(kept) == {(1, 1, 8, 8, 8)}
    assert len(kept) == 15
