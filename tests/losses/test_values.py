"""Values that can be computed by hand."""

import pytest
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F

from losses import LossFormula

LARGE = 50.0


def loss(text, logits, target):
    return LossFormula(text)(logits, target)[0].item()


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.randn(2, 1, 16, 16), (torch.rand(2, 1, 16, 16) < 0.3).float()


def test_bce_is_torchs(pair):
    assert loss("bce", *pair) == pytest.approx(F.binary_cross_entropy_with_logits(*pair).item(), rel=1e-5)
    weighted = F.binary_cross_entropy_with_logits(*pair, pos_weight=torch.tensor(3.0)).item()
    assert loss("bce(pos_weight=3)", *pair) == pytest.approx(weighted, rel=1e-5)


def test_balanced_bce_pulls_equally_on_both_sides():
    logits = torch.zeros(1, 1, 10, 10, requires_grad=True)
    target = torch.zeros(1, 1, 10, 10)
    target[..., 0, :3] = 1
    LossFormula("bce(balance=true)")(logits, target)[0].backward()
    assert logits.grad[target == 1].sum().item() == pytest.approx(-logits.grad[target == 0].sum().item(), rel=1e-5)


def test_dice_by_hand():
    target = torch.tensor([1.0, 1, 0, 0]).reshape(1, 1, 2, 2)
    logits = torch.tensor([LARGE, -LARGE, LARGE, -LARGE]).reshape(1, 1, 2, 2)
    assert loss("dice(smooth=1)", logits, target) == pytest.approx(1 - 3 / 5, abs=1e-6)
    assert loss("dice", target * 2 * LARGE - LARGE, target) == pytest.approx(0, abs=1e-6)
    assert loss("jaccard(smooth=1)", logits, target) == pytest.approx(1 - 2 / 4, abs=1e-6)
    assert loss("tversky", *(logits, target)) == pytest.approx(1 - 2 / 3, abs=1e-6)


def test_dice_of_an_empty_batch():
    logits, target = torch.full((1, 1, 8, 8), LARGE), torch.zeros(1, 1, 8, 8)
    assert loss("dice", logits, target) > 0.9
    assert loss("dice(empty=ignore)", logits, target) == 0


def test_focal():
    logits, target = torch.randn(2, 1, 8, 8), (torch.rand(2, 1, 8, 8) < 0.5).float()
    assert loss("focal(gamma=0)", logits, target) == pytest.approx(loss("bce", logits, target), rel=1e-5)
    easy, one = torch.full((1, 1, 1, 1), 0.9).logit(), torch.ones(1, 1, 1, 1)
    assert loss("focal(gamma=2)", easy, one) / loss("bce", easy, one) == pytest.approx(0.01, rel=1e-3)
    ours, theirs = loss("focal(gamma=2)", logits, target), smp.losses.FocalLoss("binary", gamma=2.0)(logits, target)
    assert ours == pytest.approx(theirs.item(), rel=1e-4)


def test_lovasz_on_hard_predictions():
    target = torch.tensor([1.0, 1, 0, 0]).reshape(1, 1, 1, 4)
    hard = torch.tensor([1.0, -1, 1, -1]).reshape(1, 1, 1, 4)
    iou = 1 / 3
    assert loss("lovasz", hard, target) == pytest.approx(2 * (1 - iou), abs=1e-5)
    assert loss("lovasz(form=sigmoid)", hard * LARGE, target) == pytest.approx(1 - iou, abs=1e-5)


def test_lovasz_equals_the_authors(pair):
    theirs = smp.losses.LovaszLoss("binary", per_image=False)(*pair).item()
    assert loss("lovasz", *pair) == pytest.approx(theirs, rel=1e-4)
    logits, index = torch.randn(2, 4, 8, 8), torch.randint(0, 4, (2, 8, 8))
    theirs = smp.losses.LovaszLoss("multiclass", per_image=False)(logits.softmax(1), index)
    assert loss("lovasz", logits, index) == pytest.approx(theirs.item(), rel=0.05)


def test_symmetric_lovasz(pair):
    logits, target = pair
    assert loss("lovasz(symmetric=true)", logits, target) == pytest.approx(
        loss("lovasz(symmetric=true)", -logits, 1 - target), rel=1e-5
    )
    halves = loss("lovasz", logits, target) + loss("lovasz", -logits, 1 - target)
    assert loss("lovasz(symmetric=true)", logits, target) == pytest.approx(halves / 2, rel=1e-5)


def test_cross_entropy_is_torchs():
    logits, index = torch.randn(2, 4, 8, 8), torch.randint(0, 4, (2, 8, 8))
    index[0, 0] = 255
    expected = F.cross_entropy(logits, index, ignore_index=255).item()
    assert loss("cross_entropy", logits, index) == pytest.approx(expected, rel=1e-5)
    weights = [1.0, 2.0, 0.5, 1.0]
    expected = F.cross_entropy(logits, index, torch.tensor(weights), ignore_index=255).item()
    assert loss(f"cross_entropy(class_weight={weights})", logits, index) == pytest.approx(expected, rel=1e-5)


def test_mse_and_smooth_l1(pair):
    logits, target = pair
    assert loss("mse", logits, target) == pytest.approx(F.mse_loss(logits.sigmoid(), target).item(), rel=1e-5)
    assert loss("mse(on=logit)", logits, target) == pytest.approx(F.mse_loss(logits, target).item(), rel=1e-5)
    assert loss("smooth_l1(beta=0.000001)", logits, target) == pytest.approx(F.l1_loss(logits, target).item(), rel=1e-3)


def test_lsep_by_hand():
    scores, there = torch.tensor([[2.0, 0, -1]]), torch.tensor([[1, 0, 0]])
    assert loss("lsep", scores, there) == pytest.approx(0.1698, abs=1e-4)
    assert loss("lsep", scores, torch.zeros(1, 3)) == 0
    assert loss("lsep", scores, torch.ones(1, 3)) == 0
    assert loss("lsep", scores + 7, there) == pytest.approx(loss("lsep", scores, there), rel=1e-5)
    assert loss("lsep", torch.tensor([[-50.0, 50, 50]]), there) == pytest.approx(100 + torch.log(torch.tensor(2.0)))
    both = loss("lsep", torch.cat([scores, -scores]), torch.cat([there, there]))
    mean = (loss("lsep", scores, there) + loss("lsep", -scores, there)) / 2
    assert both == pytest.approx(mean, rel=1e-5)


def test_active_contour_by_hand():
    truth = torch.zeros(1, 1, 32, 32)
    truth[..., 8:24, 8:24] = 1
    perfect = truth * 2 * LARGE - LARGE
    assert loss("active_contour", perfect, truth) == pytest.approx(0.0661, abs=1e-4)
    assert loss("active_contour", -perfect, truth) == pytest.approx(1.0661, abs=1e-4)
    assert loss("active_contour", torch.zeros_like(truth), truth) == pytest.approx(0.5, abs=1e-3)
    torch.manual_seed(0)
    rough = torch.randn(1, 1, 32, 32) * 4
    smooth = F.avg_pool2d(rough, 5, stride=1, padding=2)
    assert loss("active_contour(lam=0)", smooth, truth) < 0.5 * loss("active_contour(lam=0)", rough, truth)


def test_top_k_bce(pair):
    logits, target = pair
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten().sort(descending=True).values
    assert loss("top_k_bce(share=0.1)", logits, target) == pytest.approx(each[:51].mean().item(), rel=1e-5)
    assert loss("top_k_bce(share=1)", logits, target) == pytest.approx(each.mean().item(), rel=1e-5)
    with pytest.raises(ValueError, match="share"):
        loss("top_k_bce(share=0)", logits, target)


def test_multilabel_soft_margin_of_torch_by_name():
    torch.manual_seed(0)
    logits, target = torch.randn(4, 6), (torch.rand(4, 6) < 0.4).float()
    terms = {"multilabel_soft_margin": torch.nn.MultiLabelSoftMarginLoss()}
    value = LossFormula("multilabel_soft_margin", terms)(logits, target)[0].item()
    assert value == pytest.approx(F.binary_cross_entropy_with_logits(logits, target).item(), rel=1e-5)


def test_soft_dice_on_positives_alone(pair):
    """Empty images cost nothing; the others as if they were alone."""
    logits, target = pair
    target = target.clone()
    target[1] = 0
    value = loss("dice(per_image=true, empty=ignore)", logits, target)
    assert value == pytest.approx(loss("dice(per_image=true)", logits[:1], target[:1]), rel=1e-5)


def test_focal_tversky_is_smps(pair):
    theirs = smp.losses.TverskyLoss("binary", alpha=0.3, beta=0.7, gamma=0.75, smooth=1.0)(*pair).item()
    assert loss("tversky(alpha=0.3, beta=0.7, gamma=0.75)", *pair) == pytest.approx(theirs, rel=1e-4)
