"""Losses of torch, smp, MONAI and kornia in the formula: types, weights, and what does not count."""

import kornia.losses
import pytest
import segmentation_models_pytorch.losses as smp
import torch
from torch import nn
from torch.nn import functional as F

from losses import LossFormula
from losses.dice import DiceLoss

monai = pytest.importorskip("monai", reason='needs the extra: pip install -e ".[monai]"')
pytest.importorskip("monai.losses")

WILD = torch.tensor([float("nan"), float("inf"), -1e30, 1e30, 50.0, -0.3])
# Losses by pixel, over masks (N, C, H, W).
MASKS = {
    "torch bce": lambda: nn.BCEWithLogitsLoss(),
    "torch bce, weighted": lambda: nn.BCEWithLogitsLoss(pos_weight=torch.tensor([[[2.0]], [[3.0]]])),
    "torch mse": lambda: nn.MSELoss(),
    "torch smooth l1": lambda: nn.SmoothL1Loss(),
    "torch huber, not reduced": lambda: nn.HuberLoss(reduction="none"),
    "smp bce": lambda: smp.SoftBCEWithLogitsLoss(),
    "monai focal": lambda: monai.losses.FocalLoss(),
    "kornia focal": lambda: kornia.losses.BinaryFocalLossWithLogits(alpha=0.25, reduction="mean"),
    "kornia charbonnier, not reduced": lambda: kornia.losses.CharbonnierLoss(),
}
# Losses by pixel, over class numbers (N, H, W).
CLASSES = {
    "torch cross-entropy": lambda: nn.CrossEntropyLoss(label_smoothing=0.1),
    "torch cross-entropy, weighted": lambda: nn.CrossEntropyLoss(torch.tensor([1.0, 3.0, 0.5])),
    "torch cross-entropy that ignores 255": lambda: nn.CrossEntropyLoss(ignore_index=255),
    "smp cross-entropy": lambda: smp.SoftCrossEntropyLoss(smooth_factor=0.1),
    "kornia focal": lambda: kornia.losses.FocalLoss(alpha=0.5, reduction="mean"),
    "monai focal": lambda: monai.losses.FocalLoss(to_onehot_y=True, use_softmax=True),
}
# Losses over regions, which leave pixels out by an ignore_index.
REGIONS = {
    "smp dice of masks": (lambda: smp.DiceLoss("multilabel", ignore_index=255), "masks"),
    "smp focal of masks": (lambda: smp.FocalLoss("binary", ignore_index=255), "masks"),
    "smp tversky of masks": (lambda: smp.TverskyLoss("multilabel", ignore_index=255), "masks"),
    "smp dice": (lambda: smp.DiceLoss("multiclass", ignore_index=255), "classes"),
    "smp jaccard": (lambda: smp.JaccardLoss("multiclass", ignore_index=255), "classes"),
    "smp lovasz": (lambda: smp.LovaszLoss("multiclass", ignore_index=255), "classes"),
    "smp focal": (lambda: smp.FocalLoss("multiclass", ignore_index=255), "classes"),
    "kornia dice": (lambda: kornia.losses.DiceLoss(), "classes"),
    "kornia tversky": (lambda: kornia.losses.TverskyLoss(0.5, 0.5), "classes"),
}
# Losses that look at everything.
BLIND = {
    "monai hausdorff": (lambda: monai.losses.HausdorffDTLoss(sigmoid=True, include_background=True), "masks"),
    "monai dice": (lambda: monai.losses.DiceLoss(sigmoid=True), "masks"),
    "monai dice and cross-entropy": (lambda: monai.losses.DiceCELoss(to_onehot_y=True, softmax=True), "classes"),
    "smp dice": (lambda: smp.DiceLoss("multiclass"), "classes"),
    "smp mcc": (lambda: smp.MCCLoss(), "masks"),
    "kornia lovasz": (lambda: kornia.losses.LovaszSoftmaxLoss(), "classes"),
}
ALL = (
    {f"{name} of masks": (build, "masks") for name, build in MASKS.items()}
    | {f"{name} of classes": (build, "classes") for name, build in CLASSES.items()}
    | REGIONS
)


def drawn(kind, seed=0, size=(8, 6)):
    random = torch.Generator().manual_seed(seed)
    channels = 3 if kind == "classes" else 2
    logits = torch.randn(3, channels, *size, generator=random)
    if kind == "classes":
        target = torch.randint(0, 3, (3, *size), generator=random)
    else:
        target = (torch.rand(logits.shape, generator=random) < 0.4).to(torch.uint8)
    valid = torch.rand((3, *size), generator=random) < 0.7
    valid[0, :3] = False
    return logits, target, valid, random


def evaluated(module, logits, target, weight=None, **more):
    leaf = logits.clone().requires_grad_()
    formula = LossFormula("mine(mask)", {"mine": module})
    total, _ = formula({"mask": leaf}, {"mask": target} | more, weight)
    total.backward()
    return total.detach(), leaf.grad


def of_known_pixels(logits, target, valid):
    """One picture in a row, of the pixels that count."""
    inside = logits.movedim(1, -1)[valid].T[None, :, None]
    return inside, target[valid][None, None] if target.dim() == 3 else target.movedim(1, -1)[valid].T[None, :, None]


@pytest.mark.parametrize("name", ALL | {f"blind {name}": case for name, case in BLIND.items()})
@pytest.mark.parametrize("weight", [None, torch.ones(3), torch.full((3,), 0.3)])
def test_without_weights_it_is_the_library_s_own_number(name, weight):
    build, kind = ALL.get(name) or BLIND[name.removeprefix("blind ")]
    logits, target, valid, _ = drawn(kind)
    cast = target.float() if kind == "masks" else target.unsqueeze(1) if "monai" in name else target
    expected = build()(logits, cast).mean()
    loss, _ = evaluated(build(), logits, target, weight, valid=torch.ones_like(valid))
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_pixels_that_do_not_count_leave_numerator_and_denominator(name):
    build, kind = ALL[name]
    logits, target, valid, _ = (part[1:2] if isinstance(part, torch.Tensor) else part for part in drawn(kind))
    loss, _ = evaluated(build(), logits, target, torch.ones(1), valid=valid)
    inside, known = of_known_pixels(logits, target, valid)
    cast = known.float() if kind == "masks" else known.unsqueeze(1) if "monai" in name else known
    if "torch bce, weighted" in name:
        expected = F.binary_cross_entropy_with_logits(inside, cast, pos_weight=torch.tensor([[[2.0]], [[3.0]]]))
    else:
        expected = build()(inside, cast).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 0.0, 1.0])])
def test_what_does_not_count_is_not_seen(name, weight):
    build, kind = ALL[name]
    for seed in range(2):
        logits, target, valid, random = drawn(kind, seed)
        keep = valid.unsqueeze(1)
        marked = torch.where(valid, target, 255) if kind == "classes" else target
        loss, grad = evaluated(build(), logits, marked, weight, valid=valid)
        anything = WILD[torch.randint(0, len(WILD), logits.shape, generator=random)]
        if kind == "classes":
            other = torch.where(valid, target, torch.randint(-9, 300, target.shape, generator=random))
        else:
            other = torch.where(keep, target, 1 - target)
        changed, changed_grad = evaluated(build(), torch.where(keep, logits, anything), other, weight, valid=valid)
        assert torch.isfinite(loss)
        assert torch.isfinite(grad).all()
        assert torch.equal(changed, loss)
        assert torch.equal(changed_grad, grad)
        assert not grad[~keep.expand_as(grad)].any()
        assert grad[2].any()
        assert weight is None or not grad[1].any()
        if kind == "classes":  # 255 says the same as `valid`
            torch.testing.assert_close(evaluated(build(), logits, marked, weight)[0], loss)


@pytest.mark.parametrize("name", [name for name, (_, kind) in ALL.items() if name not in REGIONS])
def test_images_weigh_as_much_as_they_should(name):
    build, kind = ALL[name]
    logits, target, _, _ = drawn(kind)
    weight = torch.tensor([1.0, 0.25, 2.0])
    loss, _ = evaluated(build(), logits, target, weight)
    alone = [evaluated(build(), logits[n : n + 1], target[n : n + 1])[0] for n in range(3)]
    shares = weight
    if "cross-entropy, weighted" in name:
        shares = weight * torch.stack([torch.tensor([1.0, 3.0, 0.5])[one].sum() for one in target])
    expected = (torch.stack(alone) * shares).sum() / shares.sum()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ALL | {f"blind {name}": case for name, case in BLIND.items()})
def test_nothing_that_counts_costs_nothing(name):
    build, kind = ALL.get(name) or BLIND[name.removeprefix("blind ")]
    logits, target, valid, _ = drawn(kind)
    loss, grad = evaluated(build(), logits, target, torch.ones(3), valid=torch.zeros_like(valid))
    assert loss == 0
    assert not grad.any()


@pytest.mark.parametrize("name", BLIND)
def test_a_class_that_sees_everything_is_refused_such_a_batch(name):
    build, kind = BLIND[name]
    logits, target, valid, _ = drawn(kind)
    told = rf"model.loss_terms: 'mine' \(\w+\.{type(build()).__name__}\) cannot weight pixels.*ignore_index: 255"
    with pytest.raises(ValueError, match=told):
        evaluated(build(), logits, target, torch.ones(3), valid=valid)
    if name not in ("monai hausdorff", "monai dice"):  # those have a value for each image
        with pytest.raises(ValueError, match=told):
            evaluated(build(), logits, target, torch.tensor([1.0, 0.5, 1.0]))
    loss, grad = evaluated(build(), logits, target, torch.tensor([1.0, 0.0, 1.0]))  # an image less
    torch.testing.assert_close(loss, evaluated(build(), logits[::2], target[::2])[0])
    assert not grad[1].any()


def test_images_of_a_loss_by_image_are_weighted():
    """MONAI's Dice gives one value for each image and channel; pixels of an image all count the same."""
    logits, target, _, _ = drawn("masks")
    build, weight = lambda: monai.losses.DiceLoss(sigmoid=True), torch.tensor([1.0, 0.5, 2.0])
    loss, _ = evaluated(build(), logits, target, weight)
    alone = torch.stack([evaluated(build(), logits[n : n + 1], target[n : n + 1])[0] for n in range(3)])
    torch.testing.assert_close(loss, (alone * weight).sum() / weight.sum())


def test_volumes_labels_and_levels():
    random = torch.Generator().manual_seed(1)
    volume, target = torch.randn(2, 1, 3, 4, 5, generator=random), torch.ones(2, 1, 3, 4, 5, dtype=torch.uint8)
    valid = torch.rand(2, 3, 4, 5, generator=random) < 0.5
    loss, _ = evaluated(nn.BCEWithLogitsLoss(), volume, target, valid=valid)
    expected = F.binary_cross_entropy_with_logits(volume[:, 0][valid], torch.ones(int(valid.sum())))
    torch.testing.assert_close(loss, expected)
    labels, flags = torch.randn(3, 4, generator=random), torch.tensor([0, 3, 1])
    weight = torch.tensor([1.0, 3.0, 0.0])
    each = F.cross_entropy(labels, flags, reduction="none")
    loss, _ = evaluated(nn.CrossEntropyLoss(), labels, flags, weight, valid=valid)
    torch.testing.assert_close(loss, (each * weight).sum() / 4)
    soft = nn.MultiLabelSoftMarginLoss()
    torch.testing.assert_close(
        evaluated(soft, labels, F.one_hot(flags, 4), weight)[0], loss_by_image(soft, labels, flags)
    )
    assert soft.reduction == "mean"
    formula = LossFormula("mine(mask)", {"mine": nn.BCEWithLogitsLoss()})
    fine, coarse = torch.randn(1, 1, 4, 4, generator=random), torch.randn(1, 1, 2, 2, generator=random)
    mask, valid = torch.ones(1, 1, 4, 4, dtype=torch.uint8), torch.zeros(1, 4, 4, dtype=torch.bool)
    valid[0, 0, 0] = True
    total, _ = formula({"mask": [fine, coarse]}, {"mask": mask, "valid": valid})
    expected = (2 * F.softplus(-fine[0, 0, 0, 0]) + F.softplus(-coarse[0, 0, 0, 0])) / 3
    torch.testing.assert_close(total, expected)


def loss_by_image(module, labels, flags):
    values = [module(labels[n : n + 1], F.one_hot(flags[n : n + 1], 4)) for n in range(2)]
    return (values[0] + 3 * values[1]) / 4


def test_ids_are_no_class_numbers():
    """A loss over embeddings of pixels (DSB 2018) takes instance ids, of which 255 is one."""

    class Pull(nn.Module):
        def forward(self, embedding, ids):
            assert ids.dtype == torch.int64
            return (embedding.square().mean(1) * (ids == 255)).sum()

    embedding, ids = torch.ones(1, 2, 3, 3), torch.full((1, 3, 3), 255, dtype=torch.int32)
    assert evaluated(Pull(), embedding, ids)[0] == 9


def test_half_types_are_raised_and_a_term_without_target_is_called_as_it_is():
    class Small(nn.Module):
        needs_target = False

        def forward(self, logits, target):
            assert target is None
            return logits.abs().mean()

    assert evaluated(Small(), torch.full((1, 1, 2, 2), 0.5), None)[0] == 0.5
    logits, target, _, _ = drawn("masks")
    with torch.no_grad():
        loss, _ = LossFormula("mine(mask)", {"mine": nn.BCEWithLogitsLoss()})({"mask": logits.half()}, {"mask": target})
    assert loss.dtype == torch.float32


def test_a_loss_that_takes_weights_gets_them():
    """One of ours by its class path, or a user's with the same three arguments."""
    logits, target, valid, _ = drawn("masks")
    weight = torch.tensor([1.0, 0.5, 2.0])
    own = LossFormula("dice(mask, per_image=true)")({"mask": logits}, {"mask": target, "valid": valid}, weight)[0]
    torch.testing.assert_close(evaluated(DiceLoss(per_image=True), logits, target, weight, valid=valid)[0], own)
