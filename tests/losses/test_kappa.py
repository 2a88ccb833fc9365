"""Soft quadratic weighted kappa."""

import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from losses import LossFormula
from losses.kappa import KappaLoss


def confident(grades, classes=5):
    return torch.nn.functional.one_hot(torch.as_tensor(grades), classes).double() * 100


def test_perfect_uniform_and_reversed():
    truth = torch.tensor([0, 1, 2, 3, 4])
    assert KappaLoss()(confident(truth), truth).item() == pytest.approx(-1, abs=1e-6)
    assert KappaLoss()(torch.zeros(5, 5), truth).item() == pytest.approx(0, abs=1e-6)
    assert KappaLoss()(confident(truth.flip(0)), truth).item() == pytest.approx(1, abs=1e-6)


def test_of_hard_predictions_it_is_scikit_learns():
    generator = torch.Generator().manual_seed(0)
    truth, predicted = (torch.randint(0, 5, (200,), generator=generator) for _ in range(2))
    expected = cohen_kappa_score(truth, predicted, weights="quadratic")
    assert KappaLoss()(confident(predicted), truth).item() == pytest.approx(-expected, abs=1e-6)


def test_a_batch_of_one_grade_is_finite():
    truth = torch.full((4,), 2)
    for logits in (confident(truth).float(), torch.zeros(4, 5), confident([0, 0, 4, 4]).float()):
        logits = logits.requires_grad_()
        loss = KappaLoss()(logits, truth)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(logits.grad).all()
    assert KappaLoss()(confident(truth), truth).item() == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("value", [-50, 50])
def test_half_types_and_large_logits(dtype, value):
    logits = torch.full((6, 5), value, dtype=dtype, requires_grad=True)
    loss = KappaLoss()(logits, torch.arange(6) % 5)
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(logits.grad).all()


def test_gradient():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    target = torch.tensor([0, 1, 2, 3, 1, 2])
    weight = torch.tensor([1.0, 2, 1, 1, 0, 1])
    assert torch.autograd.gradcheck(lambda x: KappaLoss()(x, target, weight), (logits,))
    left_out = torch.tensor([0, 1, 2, 3, 5])
    part = KappaLoss()(logits[left_out], target[left_out], weight[left_out])
    torch.testing.assert_close(KappaLoss()(logits, target, weight), part)


def test_with_focal_as_the_tenth_place_of_aptos():
    generator = torch.Generator().manual_seed(1)
    logits, target = torch.randn(6, 5, generator=generator), torch.arange(6) % 5
    total, parts = LossFormula("focal(gamma=2) + kappa")(logits, target)
    assert total == sum(parts.values())
    assert list(parts) == ["focal(gamma=2)", "kappa"]


def test_one_logit_is_refused():
    with pytest.raises(ValueError, match="one logit per grade"):
        KappaLoss()(torch.zeros(2, 1), torch.zeros(2, 1))
