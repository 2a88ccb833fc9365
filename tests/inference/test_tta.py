import pytest
import torch
from torch.nn import functional as F

from inference.tta import D4, FLIPS, IDENTITY, Merge, View, merged_views, symmetries


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
    assert symmetries("none", 2) == (IDENTITY,)
    assert D4[0] == FLIPS[0] == IDENTITY


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


@pytest.mark.parametrize("name", ["none", "hflip", "flips", "d4"])
def test_an_equivariant_network_gains_nothing(name):
    batch = torch.randn(2, 3, 12, 20)
    plain, averaged = equivariant(batch), merged_views(equivariant, batch, symmetries(name, 2))
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
    result = merged_views(forward, batch, D4)
    torch.testing.assert_close(result["mask"], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(result["label"], label, atol=1e-6, rtol=0)
    assert (result["mask"] - forward(batch)["mask"]).abs().max() > 0.01


def test_every_view_reaches_the_network_channels_last_and_alone():
    seen = []

    def forward(view):
        seen.append((tuple(view.shape), view.is_contiguous(memory_format=torch.channels_last)))
        return {"mask": view}

    merged_views(forward, torch.rand(2, 3, 8, 16), D4)
    assert seen == [((2, 3, 8, 16), True)] * 4 + [((2, 3, 16, 8), True)] * 4


def test_what_the_network_returned_is_not_written_to():
    batch = torch.rand(1, 3, 4, 6).contiguous(memory_format=torch.channels_last)
    before = batch.clone()
    # an identity returns its very input
    merged_views(lambda view: {"mask": view}, batch, FLIPS)
    assert torch.equal(batch, before)
    constant = merged_views(lambda view: {"mask": torch.tensor(0.5).expand(1, 2, *view.shape[-2:])}, batch, D4)
    assert torch.equal(constant["mask"], torch.full((1, 2, 4, 6), 0.5))


def test_half_precision_is_averaged_in_float32():
    batch = torch.rand(1, 1, 8, 8)
    result = merged_views(lambda view: {"mask": view.bfloat16(), "label": view.mean((2, 3)).bfloat16()}, batch, D4)
    assert result["mask"].dtype == result["label"].dtype == torch.float32
    assert torch.equal(result["mask"], batch.bfloat16().float())


def test_a_tensor_or_a_wrong_shape_is_refused():
    batch = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match="forward returned a Tensor, expected a dict"):
        merged_views(lambda view: view, batch)
    with pytest.raises(ValueError, match=r"output 'mask' has shape \(2, 8, 8\) for 2 images"):
        merged_views(lambda view: {"mask": view[:, 0]}, batch)
    with pytest.raises(ValueError, match=r"output 'label' has shape \(1, 3\) for 2 images"):
        merged_views(lambda view: {"label": view.mean((2, 3))[:1]}, batch)


@pytest.mark.parametrize("shift", [(0, 3), (5, 0), (7, 16)])
@pytest.mark.parametrize("view", [IDENTITY, D4[5]])
def test_a_shifted_picture_is_whole_and_comes_back_exactly(shift, view):
    image, moved = torch.rand(2, 3, 16, 24), view._replace(shift=shift)
    seen = moved.apply(image, (8, 8))
    assert all(side % 8 == 0 for side in seen.shape[-2:])
    assert torch.equal(moved.invert(seen, (16, 24), (8, 8)), image)
    upright = IDENTITY._replace(shift=shift).apply(image, (8, 8))
    assert torch.equal(upright[..., shift[0] : shift[0] + 16, shift[1] : shift[1] + 24], image)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.25, 2])
@pytest.mark.parametrize("shift", [(0, 0), (4, 9)])
def test_a_scaled_picture_has_sides_of_the_stride_and_comes_back(scale, shift):
    ramp = torch.linspace(0, 1, 96)[None, None, :, None] * torch.linspace(0, 1, 64)
    view = View(axes=(1, 0), flips=(False, True), scale=scale, shift=shift)
    seen = view.apply(ramp, (16, 16))
    expected = [round(scale * side / 16) * 16 for side in (96 + 16 * (shift[0] > 0), 64 + 16 * (shift[1] > 0))]
    assert list(seen.shape[-2:]) == expected[::-1]
    back = view.invert(seen, (96, 64), (16, 16))
    assert back.shape == ramp.shape
    assert (back - ramp).abs()[..., 3:-3, 3:-3].max() < 0.03


def test_contrast_of_minus_one_is_the_negative():
    image = torch.randn(1, 3, 4, 4)
    assert torch.equal(IDENTITY._replace(contrast=-1.0).apply(image), -image)
    torch.testing.assert_close(IDENTITY._replace(contrast=2.0, brightness=0.5).apply(image), 2 * image + 0.5)


@pytest.mark.parametrize(("rule", "expected"), [("mean", 0.625), ("geometric", 0.5), ("logit", 0.948), ("max", 1.0)])
def test_merging_rules(rule, expected):
    merge = Merge(rule)
    given = torch.tensor([0.25]), torch.tensor([1.0])
    for value in given:
        merge.add(value)
    assert merge.result().item() == pytest.approx(expected, abs=1e-3)
    assert [value.item() for value in given] == [0.25, 1.0]


@pytest.mark.parametrize("rule", ["mean", "geometric", "logit", "max"])
def test_merging_what_is_equal_changes_nothing_and_a_zero_is_no_veto(rule):
    batch = torch.rand(2, 1, 8, 8) * 0.9 + 0.05
    found = merged_views(lambda view: {"mask": view, "label": view.mean((2, 3))}, batch, D4, rule)
    torch.testing.assert_close(found["mask"], batch, atol=1e-6, rtol=0)
    torch.testing.assert_close(found["label"], batch.mean((2, 3)), atol=1e-6, rtol=0)
    merge = Merge(rule)
    for value in (0.0, 1.0, 1.0):
        merge.add(torch.tensor([value]))
    assert 0.05 < merge.result().item() <= 1


def test_every_rule_but_the_mean_differs_from_it():
    batch = torch.randn(1, 1, 6, 9)
    ramp = torch.linspace(0, 3, 9)

    def forward(view):
        return {"mask": (view * ramp[: view.shape[-1]]).sigmoid()}

    found = {rule: merged_views(forward, batch, FLIPS, rule)["mask"] for rule in ("mean", "geometric", "logit", "max")}
    stack = torch.stack([view.invert(forward(view.apply(batch))["mask"]) for view in FLIPS]).clamp(1e-3, 1 - 1e-3)
    expected = stack.log().mean(0).exp(), stack.logit().mean(0).sigmoid(), stack.amax(0)
    for rule, wanted in zip(("geometric", "logit", "max"), expected, strict=True):
        torch.testing.assert_close(found[rule], wanted, atol=1e-3, rtol=0)
        assert (found[rule] - found["mean"]).abs().max() > 0.01


def test_a_coarse_output_of_a_scaled_view_comes_back_at_the_input_size():
    batch = torch.full((1, 1, 32, 48), 0.25)
    views = [IDENTITY, IDENTITY._replace(scale=0.5), IDENTITY._replace(shift=(0, 8))]
    found = merged_views(lambda view: {"mask": F.avg_pool2d(view, 4)}, batch, views, stride=(16, 16))["mask"]
    torch.testing.assert_close(found, batch)
