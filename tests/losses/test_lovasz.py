"""Lovász by bins of errors against the sort, in float64."""

import pytest
import torch

from losses.lovasz import BINS, _binned, _sorted


def pixels(rows, count, share, seed, kind="hinge"):
    generator = torch.Generator().manual_seed(seed)
    truth = (torch.rand(rows, count, generator=generator) < share).float()
    logits = 3 * torch.randn(rows, count, generator=generator) + 2 * (truth - 0.5)
    errors = (1 - logits * (2 * truth - 1)).relu() if kind == "hinge" else (truth - logits.sigmoid()).abs()
    return errors, truth


@pytest.mark.parametrize("kind", ["hinge", "sigmoid"])
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.001])
def test_value_and_gradient_are_those_of_the_sort(share, kind):
    errors, truth = pixels(3, 4 * BINS, share, seed=1, kind=kind)
    exact = _sorted(errors.double(), truth.double())
    torch.testing.assert_close(_binned(errors, truth).double(), exact, rtol=2e-6, atol=1e-6)
    slopes = []
    for call, kind_ in ((_binned, torch.float32), (_sorted, torch.float64)):
        leaf = errors.detach().clone().to(kind_).requires_grad_()
        call(leaf, truth.to(kind_)).sum().backward()
        slopes.append(leaf.grad.double()[errors > 0])  # a hinge has no slope where the error is 0
    # With few true pixels the steps differ most between the first pixels, which share a bin.
    assert (slopes[0] - slopes[1]).norm() < (0.02 if share > 0.005 else 0.15) * slopes[1].norm()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_true_pixels(count):
    errors, truth = pixels(1, 2 * BINS, 0.0, seed=2)
    truth[0, :count] = 1
    exact = _sorted(errors.double(), truth.double())
    torch.testing.assert_close(_binned(errors, truth).double(), exact, rtol=1e-4, atol=1e-6)


def test_ties_and_no_errors():
    errors, truth = pixels(2, 2 * BINS, 0.3, seed=3)
    assert _binned(torch.zeros_like(errors), truth).tolist() == [0, 0]
    same = torch.ones_like(errors)
    torch.testing.assert_close(_binned(same, truth), torch.ones(2))
    leading = _binned(errors.view(2, 1, -1), truth.view(2, 1, -1))
    assert leading.shape == (2, 1)
