"""Gradients written out against those of autograd through the plain expressions."""

import pytest
import torch
from torch.nn import functional as F

from losses import analytic


def pair(shape=(2, 3, 5, 4)):
    generator = torch.Generator().manual_seed(0)
    logits = 6 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), (torch.rand(shape, generator=generator) < 0.4).double()


def gradients(value, logits):
    upstream = torch.rand(value.shape, generator=torch.Generator().manual_seed(1), dtype=value.dtype)
    return torch.autograd.grad((value * upstream).sum(), logits)[0]


def test_cross_entropy():
    logits, truth = pair()
    ours = analytic.cross_entropy(logits, truth, logits.sigmoid())
    plain = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(gradients(ours, logits), gradients(plain, logits))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 3.0])
def test_focal(gamma):
    logits, truth = pair()
    true = torch.where(truth > 0, logits.sigmoid(), 1 - logits.sigmoid())
    plain = -((1 - true) ** gamma) * true.log()
    ours = analytic.focal(F.binary_cross_entropy_with_logits(logits, truth, reduction="none"), gamma)
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(gradients(ours, logits), gradients(plain, logits))


@pytest.mark.parametrize("axes", [(2, 3), (0, 2, 3), (0, 1, 2, 3)])
def test_overlap(axes):
    logits, truth = pair()
    p = logits.sigmoid()
    for ours, plain in zip(
        analytic.overlap(p, truth, axes), ((p * truth).sum(axes), p.sum(axes), truth.sum(axes)), strict=True
    ):
        torch.testing.assert_close(ours, plain)
        if ours.requires_grad:
            found = torch.autograd.grad((ours**2).sum(), logits, retain_graph=True)[0]
            wanted = torch.autograd.grad((plain**2).sum(), logits, retain_graph=True)[0]
            torch.testing.assert_close(found, wanted)
