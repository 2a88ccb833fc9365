"""What every loss promises; a new file in losses/ is tested here by itself."""

import pytest
import torch

from losses import known_losses
from losses.formula import loss_class
from losses.inputs import Logits

# Losses over embeddings want something else (test_features.py), kappa one logit per grade (test_kappa.py).
PIXELS = sorted(set(known_losses()) - {"arcface", "center", "kappa", "npairs", "ring", "triplet"})
REGRESSION = {"smooth_l1"}
SMOOTH = [name for name in PIXELS if name != "lovasz"]
SHAPES = [(2, 1, 6, 5), (2, 3, 6, 5), (2, 2, 3, 4, 5), (3, 2)]


def build(name):
    return loss_class(name)()


def pair(shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    return logits, (torch.rand(shape, generator=generator) < 0.4).to(torch.uint8)


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_finite_scalar_with_finite_gradient(name, shape):
    logits, target = pair(shape)
    logits.requires_grad_()
    loss = build(name)(logits, target)
    loss.backward()
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("truth", [0, 1])
@pytest.mark.parametrize("value", [-50.0, 0.0, 50.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_empty_and_full_batches_stay_finite(name, truth, value, dtype):
    logits = torch.full((2, 1, 64, 64), value, dtype=dtype, requires_grad=True)
    loss = build(name)(logits, torch.full((2, 1, 64, 64), truth))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", PIXELS)
def test_half_types_give_the_float_value(name):
    logits, target = pair((1, 1, 64, 64), torch.float16)
    half, full = build(name)(logits, target), build(name)(logits.float(), target)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), abs=1e-3)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient(name):
    logits, target = pair((2, 2, 3, 3), torch.float64)
    assert build(name)(logits, target).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda x: build(name)(x, target), (logits.requires_grad_(),))


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize(("one", "other"), [((2, 1, 4, 4), (2, 4, 4)), ((2, 1), (2,)), ((2, 2, 4, 4), (2, 1, 4, 4))])
def test_shapes_that_do_not_match_are_both_named(name, one, other):
    with pytest.raises(ValueError, match=r"Got: logits \(.*target \("):
        build(name)(torch.zeros(one), torch.zeros(other))


@pytest.mark.parametrize("name", PIXELS)
def test_weight_zero_is_as_if_the_pixels_were_not_there(name):
    logits, target = pair((2, 1, 8, 8))
    weight = torch.ones(2, 1, 8, 8)
    weight[..., 5:] = 0
    masked = build(name)(logits, target, weight)
    cropped = build(name)(logits[..., :5], target[..., :5])
    assert masked.item() == pytest.approx(cropped.item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(PIXELS) - REGRESSION))
def test_class_numbers_with_ignored_pixels(name):
    logits = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(3))
    target = torch.randint(0, 4, (2, 6, 6), generator=torch.Generator().manual_seed(4))
    ignored = target.clone()
    ignored[:, 4:] = 255
    loss, cropped = build(name)(logits, ignored), build(name)(logits[:, :, :4], target[:, :4])
    assert loss.item() == pytest.approx(cropped.item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", PIXELS)
def test_a_shared_view_changes_nothing(name):
    logits, target = pair((2, 1, 6, 6))
    assert torch.equal(build(name)(Logits(logits), target), build(name)(logits, target))


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_at_full_size_and_far_out(name, dtype):
    """512 x 512 logits up to 50 either way: sums over a quarter of a million pixels overflow no half type."""
    generator = torch.Generator().manual_seed(0)
    logits = (torch.rand(1, 2, 512, 512, generator=generator) * 100 - 50).to(dtype).requires_grad_()
    target = (torch.rand(1, 2, 512, 512, generator=generator) < 0.3).to(torch.uint8)
    loss = build(name)(logits, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("side", [512, 1024])
def test_half_logits_of_whole_images_give_the_float_value(name, side):
    """Sums over a million pixels, in half precision, would not."""
    generator = torch.Generator().manual_seed(side)
    logits = (torch.randn(1, 1, side, side, generator=generator) * 3).half()
    target = (torch.rand(1, 1, side, side, generator=generator) < 0.2).to(torch.uint8)
    half, full = build(name)(logits, target), build(name)(logits.float(), target)
    assert torch.isfinite(half)
    assert half.item() == pytest.approx(full.item(), rel=1e-3, abs=1e-3)


# A score, losses that compare channels with each other, and regressions, where 8 and -8 are as far from 0.
NOT_PIXEL_BY_PIXEL = {"dice_score", "cross_entropy", "lsep", "l1", "smooth_l1"}


@pytest.mark.parametrize("name", sorted(set(PIXELS) - NOT_PIXEL_BY_PIXEL))
@pytest.mark.parametrize("truth", [0, 1])
def test_a_batch_that_is_all_wrong_costs_more_than_one_that_is_all_right(name, truth):
    """Also where nothing is to be found and everything is predicted; smp's Dice gives 0 for that."""
    target = torch.full((2, 2, 16, 16), truth)
    right = torch.full((2, 2, 16, 16), 8.0 if truth else -8.0)
    cost, lowest = build(name)(-right, target).item(), build(name)(right, target).item()
    assert cost > 1e-3
    if (name, truth) == ("boundary_dou", 0):
        assert cost == lowest == 1  # without a boundary its formula says nothing
    else:
        assert cost > lowest
