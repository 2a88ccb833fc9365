"""Vectors of feature maps."""

import pytest
import torch

from networks.pooling import GeneralizedMean, GlobalPool, pooling


@pytest.mark.parametrize("kind", ["avg", "max", "catavgmax", "gem"])
def test_every_size_gives_as_many_features(kind):
    pool, times = pooling(kind)
    for places in [(7, 7), (3, 11), (49,), (4, 5, 6)]:
        assert pool(torch.randn(2, 8, *places)).shape == (2, 8 * times)


def test_max_and_both_equal_plain_reductions():
    values = torch.randn(3, 5, 6, 7)
    mean, largest = values.mean((2, 3)), values.amax((2, 3))
    torch.testing.assert_close(GlobalPool("max")(values), largest)
    torch.testing.assert_close(GlobalPool("catavgmax")(values), torch.cat([mean, largest], 1))


def test_the_power_leads_from_mean_to_maximum():
    values = torch.rand(2, 4, 9, 9, dtype=torch.float32) + 0.1
    torch.testing.assert_close(GeneralizedMean(1.0)(values), values.mean((2, 3)))
    three = values.clamp_min(1e-6).double().pow(3).mean((2, 3)).pow(1 / 3).float()
    torch.testing.assert_close(GeneralizedMean(3.0)(values), three)
    # (1 / n)^(1 / p) is how far below the maximum a single peak among n places comes out at most
    largest = values.amax((2, 3))
    steep = GeneralizedMean(50.0)(values)
    assert (steep <= largest + 1e-6).all()
    assert (steep >= largest * 81 ** (-1 / 50) - 1e-6).all()


def test_the_gradient_is_that_of_the_plain_formula():
    values = (torch.rand(2, 3, 4, 4) + 0.05).requires_grad_()
    pool = GeneralizedMean(3.0)
    pool(values).square().sum().backward()
    same, power = values.detach().clone().requires_grad_(), torch.tensor([3.0], requires_grad=True)
    same.pow(power).mean((2, 3)).pow(1 / power).square().sum().backward()
    torch.testing.assert_close(values.grad, same.grad)
    torch.testing.assert_close(pool.p.grad, power.grad)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("p", [1.0, 3.0, 50.0])
def test_half_types_stay_finite_and_near_float32(dtype, p):
    values = torch.randn(2, 4, 8, 8) * 30  # 30 ** 50 is beyond float32, 30 ** 4 beyond float16
    pool = GeneralizedMean(p)
    half = values.to(dtype).requires_grad_()
    pooled = pool(half)
    assert pooled.dtype == dtype
    torch.testing.assert_close(pooled.float(), GeneralizedMean(p)(values), rtol=2e-2, atol=1e-2)
    pooled.float().sum().backward()
    assert torch.isfinite(half.grad).all()
    assert torch.isfinite(pool.p.grad).all()


def test_a_dead_map_has_a_finite_gradient():
    pool, values = GeneralizedMean(), torch.zeros(1, 2, 3, 3, requires_grad=True)
    pool(values).sum().backward()
    assert torch.isfinite(values.grad).all()
    assert torch.isfinite(pool.p.grad).all()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="pooling is 'mean', expected avg, max, catavgmax or gem"):
        pooling("mean")
