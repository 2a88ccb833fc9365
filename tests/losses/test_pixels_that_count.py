"""What does not count, no loss sees: every file of losses/ is tried here, with the options that change its sums."""

import pytest
import torch

from losses import LossFormula, known_losses

EMBEDDINGS = {  # losses over embeddings, of which whole samples count or do not
    "arcface": "arcface(mask, classes=3, embedding_dim=2)",
    "center": "center(mask, classes=3, embedding_dim=2)",
    "npairs": "npairs(mask)",
    "ring": "ring(mask)",
    "triplet": "triplet(mask)",
}
GRADES = {"kappa"}  # one logit a class
OPTIONS = {
    "bce": ["balance=true", "pos_weight=3", "smoothing=0.2"],
    "boundary_weighted": ["kernel=3", "smooth=0"],
    "cross_entropy": ["smoothing=0.1", "class_weight=[1, 2]"],
    "dice": ["per_image=true", "log=true", "empty=ignore", "smooth=0", "per_image=true, empty=ignore"],
    "dice_score": ["per_image=true"],
    "focal": ["gamma=1.5, alpha=0.25"],
    "jaccard": ["per_image=true", "log=true", "smooth=0"],
    "l1": ["positives=true"],
    "lovasz": ["per_image=true", "symmetric=true", "form=sigmoid, per_image=true"],
    "mse": ["on=logit"],
    "top_k_bce": ["share=0.5"],
    "tversky": ["alpha=0.3, beta=0.7, gamma=1.3", "per_image=true", "smooth=0"],
}
PIXELS = sorted(set(known_losses()) - set(EMBEDDINGS))
TERMS = [f"{name}(mask)" for name in PIXELS] + [f"{n}(mask, {o})" for n, options in OPTIONS.items() for o in options]
SHAPES = {"pictures": (3, 2, 8, 6), "volumes": (2, 2, 4, 5, 3)}
WILD = [float("nan"), float("inf"), -1e30, 1e30, 50.0, -0.3]  # what a network may say where nothing is known


def suits(term, kind):
    """Grades are class numbers; every other loss takes masks as well."""
    return kind == "classes" or term.partition("(")[0] not in GRADES


def target_of(kind, shape, random):
    if kind == "classes":
        return torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=random)
    soft = torch.rand(shape, generator=random)
    return soft if kind == "soft" else (soft < 0.4).to(torch.uint8)


def wild(given, keep, random):
    """Anything at all in the place of what does not count."""
    if given.dtype == torch.uint8:
        anything = torch.randint(0, 2, given.shape, generator=random, dtype=torch.uint8)
    elif given.dtype == torch.int64:
        anything = torch.randint(-3, 300, given.shape, generator=random)
    else:
        anything = torch.tensor(WILD)[torch.randint(0, len(WILD), given.shape, generator=random)]
    return torch.where(keep, given, anything)


def evaluated(formula, logits, target, **more):
    """The loss, and its gradient at the logits of each level."""
    leaves = [level.clone().requires_grad_() for level in (logits if isinstance(logits, list) else [logits])]
    outputs = leaves if isinstance(logits, list) else leaves[0]
    weight = more.pop("weight", None)
    total, parts = formula({"mask": outputs}, {"mask": target} | more, weight=weight)
    total.backward()
    return total.detach(), [leaf.grad for leaf in leaves], parts


CASES = [
    (term, kind, shape)
    for term in TERMS
    for kind in ("masks", "soft", "classes")
    for shape in SHAPES
    if suits(term, kind) and not (kind == "soft" and shape == "volumes")
]


@pytest.mark.parametrize(("term", "kind", "shape"), CASES)
def test_no_loss_sees_what_does_not_count(term, kind, shape):
    random, shape = torch.Generator().manual_seed(CASES.index((term, kind, shape))), SHAPES[shape]
    logits, target = torch.randn(shape, generator=random), target_of(kind, shape, random)
    valid = torch.rand((shape[0], *shape[2:]), generator=random) < 0.7
    valid[:, :, :2] = False
    valid[0] &= torch.rand((), generator=random) < 0.7  # now and then a whole picture
    formula, keep = LossFormula(term), valid.unsqueeze(1)
    marked = target if kind != "classes" else torch.where(valid, target, 255)
    weight = torch.tensor([1.0, 0.25, 2.0])[: shape[0]]
    for more in ({}, {"weight": weight}):
        loss, (grad,), _ = evaluated(formula, logits, marked, valid=valid, **more)
        other_logits = wild(logits, keep, random)
        other_target = wild(target, valid if kind == "classes" else keep, random)
        other, (other_grad,), _ = evaluated(formula, other_logits, other_target, valid=valid, **more)
        assert torch.equal(other, loss)
        assert torch.equal(other_grad, grad)
        assert not grad[~keep.expand_as(grad)].any()
        assert torch.isfinite(loss)
        assert torch.isfinite(grad).all()
    if kind == "classes":  # 255 says the same as `valid`
        loss, (grad,), _ = evaluated(formula, logits, marked)
        other, (other_grad,), _ = evaluated(formula, wild(logits, keep, random), marked)
        assert torch.equal(other, loss)
        assert torch.equal(other_grad, grad)
        assert not grad[~keep.expand_as(grad)].any()


@pytest.mark.parametrize(("term", "kind", "shape"), CASES)
def test_a_picture_of_which_nothing_counts_changes_no_loss(term, kind, shape):
    random, shape = torch.Generator().manual_seed(7), SHAPES[shape]
    logits, target = torch.randn(shape, generator=random), target_of(kind, shape, random)
    valid = torch.ones((shape[0], *shape[2:]), dtype=torch.bool)
    valid[-1] = False
    loss, _, _ = evaluated(LossFormula(term), logits, target, valid=valid)
    alone, _, _ = evaluated(LossFormula(term), logits[:-1], target[:-1])
    torch.testing.assert_close(loss, alone, rtol=1e-5, atol=1e-6)
    light, _, _ = evaluated(LossFormula(term), logits, target, weight=torch.arange(shape[0], 0, -1.0) - 1)
    heavy, _, _ = evaluated(LossFormula(term), logits[:-1], target[:-1], weight=torch.arange(shape[0], 1, -1.0) - 1)
    torch.testing.assert_close(light, heavy, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("term", "kind", "shape"), CASES)
def test_nothing_that_counts_costs_nothing(term, kind, shape):
    random, shape = torch.Generator().manual_seed(8), SHAPES[shape]
    logits, target = torch.randn(shape, generator=random), target_of(kind, shape, random)
    valid = torch.zeros((shape[0], *shape[2:]), dtype=torch.bool)
    loss, (grad,), _ = evaluated(LossFormula(term), logits, target, valid=valid)
    assert loss == (1 if term.startswith("dice_score") else 0)  # that is a score, and its logarithm a loss
    assert not grad.any()


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("kind", ["masks", "classes"])
def test_levels_of_deep_supervision(term, kind):
    if not suits(term, kind):
        return
    random = torch.Generator().manual_seed(9)
    logits = [torch.randn(2, 2, side, side, generator=random) for side in (8, 4, 2)]
    target, valid = target_of(kind, (2, 2, 8, 8), random), torch.rand(2, 8, 8, generator=random) < 0.6
    valid[:, :4] = False
    changed_target = wild(target, valid if kind == "classes" else valid.unsqueeze(1), random)
    levels = [valid[:, :: 8 // side, :: 8 // side].unsqueeze(1) for side in (8, 4, 2)]
    changed = [wild(level, keep, random) for level, keep in zip(logits, levels, strict=True)]
    loss, grads, _ = evaluated(LossFormula(term), logits, target, valid=valid)
    other, other_grads, _ = evaluated(LossFormula(term), changed, changed_target, valid=valid)
    assert torch.equal(other, loss)
    for grad, other_grad, keep in zip(grads, other_grads, levels, strict=True):
        assert torch.equal(other_grad, grad)
        assert not grad[~keep.expand_as(grad)].any()


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_sample_of_weight_0_is_not_there(name):
    random = torch.Generator().manual_seed(1)
    features, labels = torch.randn(7, 2, generator=random), torch.tensor([0, 0, 1, 1, 2, 2, 0])
    weight = torch.tensor([1.0, 1, 1, 1, 0.5, 0.5, 0])
    torch.manual_seed(0)
    formula = LossFormula(EMBEDDINGS[name]).eval()
    loss, (grad,), _ = evaluated(formula, features, labels, weight=weight)
    far, foreign = features.clone(), labels.clone()
    far[6], foreign[6] = float("nan"), 255  # no class of theirs
    other, (other_grad,), _ = evaluated(formula, far, foreign, weight=weight)
    alone, _, _ = evaluated(formula, features[:6], labels[:6], weight=weight[:6])
    assert torch.equal(other, loss)
    assert torch.equal(other_grad, grad)
    assert not grad[6].any()
    torch.testing.assert_close(loss, alone)
    nothing, (grad,), _ = evaluated(formula.train(), features, labels, weight=torch.zeros(7))
    assert nothing == 0
    assert not grad.any()


def test_class_255_of_whole_images_is_a_class():
    """A thousand kinds of whales: there is no void among images, and the 256th is as good as any."""
    logits, label = torch.zeros(2, 1000), torch.tensor([255, 3])
    logits[0, 255] = 5
    loss = LossFormula("cross_entropy(label)")({"label": logits}, {"label": label})[0]
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, label))


def test_losses_that_share_an_output_share_what_counts():
    """One weight tensor, one target: a second loss finds what the first has prepared."""
    random = torch.Generator().manual_seed(2)
    logits, target = torch.randn(2, 3, 8, 8, generator=random), torch.randint(0, 3, (2, 8, 8), generator=random)
    valid = torch.rand(2, 8, 8, generator=random) < 0.5
    both = LossFormula("cross_entropy + dice + l1(mask, positives=true) + focal")
    total, _, parts = evaluated(both, logits, target, valid=valid)
    for text, part in parts.items():
        alone = evaluated(LossFormula(text if "(" in text else f"{text}(mask)"), logits, target, valid=valid)[0]
        torch.testing.assert_close(part, alone)
    torch.testing.assert_close(total, sum(parts.values()))
