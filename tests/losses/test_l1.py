"""Mean absolute error."""

import pytest
import torch

from losses.l1 import L1Loss


def test_values_with_and_without_negatives():
    predicted, truth = torch.tensor([[2.0], [1.0], [-3.0]]), torch.tensor([[5.0], [0.0], [0.0]])
    assert L1Loss()(predicted, truth).item() == pytest.approx(7 / 3)
    assert L1Loss(positives=True)(predicted, truth).item() == pytest.approx(3.0)
    weight = torch.tensor([0.0, 1.0, 1.0])
    assert L1Loss()(predicted, truth, weight).item() == pytest.approx(2.0)
    assert L1Loss(positives=True)(predicted, truth, weight).item() == 0.0  # nothing counts


def test_negatives_get_no_gradient():
    predicted = torch.randn(4, 1, requires_grad=True)
    L1Loss(positives=True)(predicted, torch.tensor([[3.0], [0], [0], [1]])).backward()
    assert (predicted.grad[1:3] == 0).all()
    assert (predicted.grad[[0, 3]] != 0).all()
