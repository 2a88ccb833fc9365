import pytest
import torch
from torch.nn import functional as F

from postprocessing.tta import D4, FLIPS, IDENTITY, VIEWS, averaged_views


def test_the_eight_views_are_distinct_and_are_the_symmetries_of_the_square():
    square = torch.arange(9.0).reshape(3, 3)
    found = {tuple(view.apply(square).flatten().tolist()) for view in D4}
    rotated = [torch.rot90(image, turns) for image in (square, square.flip(1)) for turns in range(4)]
    assert found == {tuple(image.flatten().tolist()) for image in rotated}
    assert len(found) == 8


def test_flips_are_four_and_the_first_view_is_the_image_itself():
    square = torch.arange(9.0).reshape(3, 3)
    found = [view.apply(square) for view in FLIPS]
    expected = [square, square.flip(1), square.flip(0), square.flip(0, 1)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert VIEWS["none"] == (IDENTITY,)
    assert VIEWS["d4"][0] == VIEWS["flips"][0] == IDENTITY


@pytest.mark.parametrize("view", D4)
def test_turning_back_is_exact_in_both_orders(view):
    image = torch.rand(2, 3, 5, 7)
    assert torch.equal(view.invert(view.apply(image)), image)
    assert torch.equal(view.apply(view.invert(image)), image)


def equivariant(batch):
    """A 3 x 3 blur with equal weights for equal distances: it commutes with every view."""
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).div(16).expand(batch.shape[1], 1, 3, 3)
    blurred = F.conv2d(batch, kernel, padding=1, groups=batch.shape[1])
    return {"mask": blurred.sigmoid(), "label": batch.mean((2, 3))}


@pytest.mark.parametrize("name", ["none", "flips", "d4"])
def test_an_equivariant_network_gains_nothing(name):
    batch = torch.randn(2, 3, 12, 20)
    plain, averaged = equivariant(batch), averaged_views(equivariant, batch, VIEWS[name])
    torch.testing.assert_close(averaged["mask"], plain["mask"], atol=1e-6, rtol=0)
    torch.testing.assert_close(averaged["label"], plain["label"], atol=1e-6, rtol=0)


def test_the_average_is_over_turned_back_probabilities_of_every_view():
    batch = torch.randn(2, 1, 6, 9)

    def forward(view):
        # depends on the position: every view gives something else
        ramp = torch.linspace(0, 1, view.shape[-1])
        return {"mask": (view * ramp).sigmoid(), "label": (view * ramp).mean((2, 3)).sigmoid()}

    expected = torch.stack([view.invert(forward(view.apply(batch))["mask"]) for view in D4]).mean(0)
    label = torch.stack([forward(view.apply(batch))["label"] for view in D4]).mean(0)
    result = averaged_views(forward, batch, D4)
    torch.testing.assert_close(result["mask"], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(result["label"], label, atol=1e-6, rtol=0)
    assert (result["mask"] - forward(batch)["mask"]).abs().max() > 0.01


def test_every_view_reaches_the_network_channels_last_and_alone():
    seen = []

    def forward(view):
        seen.append((tuple(view.shape), view.is_contiguous(memory_format=torch.channels_last)))
        return {"mask": view}

    averaged_views(forward, torch.rand(2, 3, 8, 16), D4)
    assert seen == [((2, 3, 8, 16), True)] * 4 + [((2, 3, 16, 8), True)] * 4


def test_what_the_network_returned_is_not_written_to():
    batch = torch.rand(1, 3, 4, 6).contiguous(memory_format=torch.channels_last)
    before = batch.clone()
    # an identity returns its very input
    averaged_views(lambda view: {"mask": view}, batch, FLIPS)
    assert torch.equal(batch, before)
    constant = averaged_views(lambda view: {"mask": torch.tensor(0.5).expand(1, 2, *view.shape[-2:])}, batch, D4)
    assert torch.equal(constant["mask"], torch.full((1, 2, 4, 6), 0.5))


def test_half_precision_is_averaged_in_float32():
    batch = torch.rand(1, 1, 8, 8)
    result = averaged_views(lambda view: {"mask": view.bfloat16(), "label": view.mean((2, 3)).bfloat16()}, batch, D4)
    assert result["mask"].dtype == result["label"].dtype == torch.float32
    assert torch.equal(result["mask"], batch.bfloat16().float())


def test_a_tensor_or_a_wrong_shape_is_refused():
    batch = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match="forward returned a Tensor, expected a dict"):
        averaged_views(lambda view: view, batch)
    with pytest.raises(ValueError, match=r"output 'mask' has shape \(2, 8, 8\) for 2 images"):
        averaged_views(lambda view: {"mask": view[:, 0]}, batch)
    with pytest.raises(ValueError, match=r"output 'label' has shape \(1, 3\) for 2 images"):
        averaged_views(lambda view: {"label": view.mean((2, 3))[:1]}, batch)
