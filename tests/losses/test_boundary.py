"""Losses that look at edges: lyakaap's weights, boundary difference over union, and MONAI's distances by name."""

import pytest
import torch
from torch.nn import functional as F

from losses import LossFormula
from losses.boundary_dou import BoundaryDouLoss, _boundary
from losses.boundary_weighted import BoundaryWeightedLoss

monai = pytest.importorskip("monai.losses", reason='MONAI is not installed: pip install -e ".[monai]"')


def square(side, size, batch=1):
    mask = torch.zeros(batch, 1, size, size)
    start = (size - side) // 2
    mask[..., start : start + side, start : start + side] = 1
    return mask


def test_weights_of_a_square_by_hand():
    """64² in 128² with a window of 11: a band of 74² − 54² pixels weighs three times the rest."""
    mask = square(64, 128)
    weights = BoundaryWeightedLoss().weights(mask, torch.ones_like(mask))
    values, counts = weights.unique(return_counts=True)
    assert values.tolist() == pytest.approx([0.7619, 2.2857], abs=1e-4)
    assert counts[1].item() / mask.numel() == 0.15625
    assert weights.mean().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("side", "kernel"), [(128, 11), (256, 21), (512, 21), (1024, 41)])
def test_automatic_kernels_are_the_authors(side, kernel):
    mask = square(side // 2, side)
    ones = torch.ones_like(mask)
    expected = BoundaryWeightedLoss(kernel=kernel).weights(mask, ones)
    assert torch.equal(BoundaryWeightedLoss().weights(mask, ones), expected)
    pooled = F.avg_pool2d(mask, kernel, stride=1, padding=kernel // 2, count_include_pad=False)
    assert torch.equal(expected > 1, (pooled > 0.005) & (pooled < 0.995))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_mask_has_no_edge(value):
    torch.manual_seed(0)
    logits, mask = torch.randn(2, 1, 32, 32), torch.full((2, 1, 32, 32), value)
    assert LossFormula("boundary_weighted")(logits, mask)[0].item() == pytest.approx(
        LossFormula("bce + dice")(logits, mask)[0].item(), rel=1e-5
    )


def test_edges_cost_more_than_the_same_mistake_elsewhere():
    mask = square(32, 64)
    at_edge, inside = torch.where(mask > 0, 8.0, -8.0), torch.where(mask > 0, 8.0, -8.0)
    at_edge[..., 16, 20:30] *= -1
    inside[..., 32, 20:30] *= -1
    loss = LossFormula("boundary_weighted(kernel=5)")
    assert loss(at_edge, mask)[0] > 1.5 * loss(inside, mask)[0]


def test_kernel_must_be_odd():
    with pytest.raises(ValueError, match="kernel is 4, expected an odd number"):
        BoundaryWeightedLoss(kernel=4)


def test_boundary_of_squares_and_cubes():
    assert _boundary(square(10, 20)).sum() == 36
    cube = torch.zeros(1, 1, 8, 8, 8)
    cube[..., 2:6, 2:6, 2:6] = 1
    assert _boundary(cube).sum() == 64 - 8
    assert _boundary(torch.ones(1, 1, 5, 5)).sum() == 16  # the picture's edge is one too


def test_boundary_dou_by_hand():
    """A square of 40² with 156 boundary pixels: α = 0.8; a prediction that misses its upper half has Σpy = 800."""
    mask = square(40, 64)
    logits = torch.where(mask > 0, 50.0, -50.0)
    assert BoundaryDouLoss()(logits, mask).item() == pytest.approx(0, abs=1e-6)
    logits[..., 12:32, :] = -50
    assert BoundaryDouLoss()(logits, mask).item() == pytest.approx((2400 - 1600) / (2400 - 1.8 * 800), rel=1e-5)
    # A square of 4² has 12 boundary pixels: α = 1 − 24 / 16 = −0.5.
    mask = square(4, 64)
    logits = torch.where(mask > 0, 50.0, -50.0)
    logits[..., 30:32, :] = -50
    assert BoundaryDouLoss()(logits, mask).item() == pytest.approx((24 - 16) / (24 - 0.5 * 8), rel=1e-4)


def test_monais_distances_by_name():
    """Errors far from the truth cost more; a perfect prediction nothing."""
    text = "bce + hausdorff"
    terms = {"hausdorff": monai.HausdorffDTLoss(sigmoid=True)}
    mask = square(16, 64)
    near, far = torch.where(mask > 0, 50.0, -50.0), torch.where(mask > 0, 50.0, -50.0)
    near[..., 20:24, 24:28] = 50
    far[..., 0:4, 0:4] = 50
    formula = LossFormula(text, terms)
    assert formula(far, mask)[1]["hausdorff"] > 5 * formula(near, mask)[1]["hausdorff"] > 0
    assert formula(torch.where(mask > 0, 50.0, -50.0), mask)[0].item() == pytest.approx(0, abs=1e-6)
