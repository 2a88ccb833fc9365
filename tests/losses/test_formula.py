import copy
import re
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from torch import nn

from losses import LossFormula, known_losses
from losses.formula import _Call


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    outputs = {"mask": torch.randn(2, 1, 16, 16, generator=generator), "empty": torch.randn(2, 1, generator=generator)}
    targets = {
        "mask": (torch.rand(2, 1, 16, 16, generator=generator) < 0.3).to(torch.uint8),
        "empty": torch.tensor([[0.0], [1.0]]),
    }
    return outputs, targets


def value(text, batch, **arguments):
    return LossFormula(text)(*batch, **arguments)[0].item()


def test_identities_of_the_article(batch):
    assert value("1 + bce - dice_score", batch) == pytest.approx(value("bce + dice", batch))
    assert value("bce - log(dice_score)", batch) == pytest.approx(value("bce + dice(log=true)", batch))
    ours = value("2.7 * bce(mask) + 0.9 * dice(mask) + 0.1 * bce(empty)", batch)
    parts = [value(text, batch) for text in ("bce(mask)", "dice(mask)", "bce(empty)")]
    assert ours == pytest.approx(0.9 * (3 * parts[0] + parts[1]) + 0.1 * parts[2], abs=1e-6)
    assert value("side * bce(mask) + bce(empty)", batch) == pytest.approx(16 * parts[0] + parts[2], rel=1e-5)
    assert value("3 * bce + dice + 4 * focal", batch) == pytest.approx(
        3 * parts[0] + parts[1] + 4 * value("focal", batch)
    )
    assert value("focal(gamma=2) + lovasz", batch) == pytest.approx(value("focal", batch) + value("lovasz", batch))


def documented_formulas():
    """Every formula of the table of winners."""
    text = (Path(__file__).parents[2] / "docs/howto/losses.md").read_text()
    table = text.partition("| `loss` | source |")[2].partition("\n\n")[0]
    cells = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `")]
    return [
        found
        for cell in cells
        for found in re.findall(r"`([^`]*)`", cell)
        if "data." not in found and ": {" not in found
    ]


@pytest.mark.parametrize("text", documented_formulas())
def test_formulas_of_winners(text):
    """They run on outputs and targets of the kinds they name, and pull the network."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"mask": (6, 1, 32, 32), "empty": (6, 1), "label": (6, 5), "embedding": (6, 8), "grade": (6, 1)}
    names = re.findall(r"\((mask|empty|label|embedding|grade)\b", text) or ["mask"]
    outputs = {name: torch.randn(shapes[name], generator=generator).requires_grad_() for name in names}
    numbers = any(word in text for word in ("cross_entropy", "kappa", "arcface", "npairs", "triplet"))
    targets = {
        "mask": (torch.rand(shapes["mask"], generator=generator) < 0.3).to(torch.uint8),
        "empty": torch.rand(6, 1, generator=generator).round(),
        "label": torch.arange(6) % 3 if numbers else (torch.rand(6, 5, generator=generator) < 0.4).float(),
        "grade": torch.arange(6.0)[:, None],
    }
    formula = LossFormula(text)
    total, parts = formula(outputs, targets)
    total.backward()
    torch.testing.assert_close(total.detach(), sum(parts.values()), check_dtype=False)
    assert all(value.grad.abs().sum() > 0 for value in outputs.values())


def test_the_table_of_winners_has_formulas():
    assert len(documented_formulas()) >= 19


def test_parts_are_the_summands_and_sum_to_the_total(batch):
    total, parts = LossFormula("2.7*bce(mask) - 0.5 * dice_score(mask) + bce(empty)/2")(*batch)
    assert list(parts) == ["2.7 * bce(mask)", "-0.5 * dice_score(mask)", "bce(empty) / 2"]
    assert sum(parts.values()).item() == pytest.approx(total.item(), rel=1e-6)


def test_a_bare_name_is_the_main_output_and_a_target_may_be_another(batch):
    outputs, targets = batch
    assert value("dice", batch) == value("dice(mask)", batch)
    renamed = outputs, {"truth": targets["mask"]}
    assert value("dice(mask, truth)", renamed) == value("dice(mask)", batch)
    assert LossFormula("dice")(outputs["mask"], targets["mask"])[0].item() == value("dice", batch)


def test_deep_supervision_is_averaged_with_halving_weights(batch):
    outputs, targets = batch
    levels = [outputs["mask"], outputs["mask"][..., ::2, ::2]]
    coarse = LossFormula("bce")(levels[1], targets["mask"][..., ::2, ::2])[0]
    expected = (value("bce", batch) + 0.5 * coarse.item()) / 1.5
    assert LossFormula("bce")({"mask": levels}, targets)[0].item() == pytest.approx(expected)


@pytest.mark.parametrize("text", ["bce", "dice", "mine", "cross_entropy", "cross_entropy + dice"])
@pytest.mark.parametrize("factors", [(4, 4), (2, 8), (1, 2, 4), (1, 1)])
def test_a_coarse_output_is_trained_against_the_target_at_its_size(text, factors):
    """Of one level as of a list of levels; what does not count still does not."""
    generator = torch.Generator().manual_seed(0)
    classes = 3 if "cross" in text else 1
    sides = [4] * len(factors)
    whole = [side * factor for side, factor in zip(sides, factors, strict=True)]
    logits = torch.randn(2, classes, *sides, generator=generator).requires_grad_()
    target = torch.randint(0, classes if classes > 1 else 2, (2, *whole), generator=generator).to(torch.uint8)
    target = target[:, None] if classes == 1 else target
    valid = torch.rand(2, *whole, generator=generator) < 0.7
    if classes > 1:
        target[torch.rand(2, *whole, generator=generator) < 0.2] = 255
    weight = torch.tensor([1.0, 3.0])
    steps = (..., *(slice(None, None, factor) for factor in factors))
    formula = LossFormula(text, {"mine": nn.BCEWithLogitsLoss()} if text == "mine" else None)
    batches = [{"output": target, "valid": valid}, {"output": target[steps], "valid": valid[steps]}]
    if text == "mine":  # a library's takes floats and knows no weights
        batches = [{"output": one["output"].float()} for one in batches]
        weight = None
    results = []
    for outputs, targets in zip([logits, logits], batches, strict=True):
        total = formula({"output": outputs}, targets, weight=weight)[0]
        results.append((total.detach(), *torch.autograd.grad(total, logits)))
    torch.testing.assert_close(results[0], results[1])
    assert results[0][1].abs().sum() > 0
    if "+" not in text and text != "mine":
        fine = torch.randn(2, classes, *whole, generator=generator)
        levels = LossFormula(f"{text}(output, levels=[0, 1])")
        of_levels = levels({"output": [fine, logits]}, batches[0], weight=weight)[0]
        torch.testing.assert_close(of_levels.detach(), results[0][0])


@pytest.mark.parametrize("side", [5, 12, 32])
def test_an_output_that_is_no_whole_fraction_is_a_mistake(side):
    with pytest.raises(ValueError, match=rf"logits \(2, 1, {side}, 4\), target \(2, 1, 16, 16\)"):
        LossFormula("bce")(torch.zeros(2, 1, side, 4), torch.zeros(2, 1, 16, 16))


def test_side_is_that_of_the_image(batch):
    outputs, targets = {"mask": batch[0]["mask"][..., ::4, ::4]}, batch[1] | {"image": torch.zeros(2, 3, 16, 16)}
    total = LossFormula("side * bce(mask)")(outputs, targets)[0]
    assert total.item() == pytest.approx(16 * LossFormula("bce(mask)")(outputs, targets)[0].item())


def test_weights_and_valid_pixels(batch):
    outputs, targets = batch
    first = value("bce", ({"mask": outputs["mask"][:1]}, {"mask": targets["mask"][:1]}))
    assert value("bce", batch, weight=torch.tensor([1.0, 0.0])) == pytest.approx(first, rel=1e-5)
    valid = torch.zeros(2, 16, 16, dtype=torch.bool)
    valid[:, :4] = True
    top = value("bce", ({"mask": outputs["mask"][:, :, :4]}, {"mask": targets["mask"][:, :, :4]}))
    assert value("bce(mask)", (outputs, targets | {"valid": valid})) == pytest.approx(top, rel=1e-5)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, logits, target):
        return self.factor * logits.mean()


def test_named_terms_are_trained_and_survive_a_copy(batch):
    formula = LossFormula("bce + 0.5 * mine(mask)", {"mine": Scaled()})
    formula(*batch)[0].backward()
    assert [p.grad is not None for p in formula.parameters()] == [True]
    assert "named_terms.mine.factor" in formula.state_dict()
    assert copy.deepcopy(formula)(*batch)[0].item() == pytest.approx(formula(*batch)[0].item())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bcee(mask)", "did you mean 'bce'.*Known: .*bce, "),
        ("bce(mask, gama=1)", "no option 'gama', available: balance"),
        ("bce +", "loss formula"),
        ("__import__('os')", "expected the name of an output"),
        ("bce.x", "is not allowed"),
        ("bce ** 2", "is not allowed"),
        ("0 * bce + dice", "the term .0 \\* bce. has weight 0"),
        ("3", "contains no loss"),
        ("bce(a, b, c)", "takes an output and a target"),
    ],
)
def test_mistakes_are_explained(text, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        LossFormula(text)


def test_unknown_outputs_and_targets_list_what_there_is(batch):
    with pytest.raises(ValueError, match="no output 'body'; the network has mask, empty"):
        LossFormula("bce(body)")(*batch)
    with pytest.raises(ValueError, match="no target 'truth'; the batch has mask, empty"):
        LossFormula("bce(mask, truth)")(*batch)


def test_losses_are_found_by_their_files():
    assert {"bce", "dice", "dice_score", "focal", "jaccard", "lovasz", "mse", "smooth_l1", "tversky"} <= set(
        known_losses()
    )


@pytest.mark.parametrize(
    "text",
    ["bce + dice + focal", "2 * bce(mask) - log(dice_score(mask)) + lovasz(mask) / 3 + bce(empty)", "mine(mask)"],
)
def test_the_gradient_is_that_of_plain_autograd(text, batch):
    """The formula takes its gradient ahead; scaled by what comes from above, it is autograd's."""
    outputs, targets = batch

    def gradients(call):
        formula = LossFormula(text, {"mine": Scaled()} if "mine" in text else None).double()
        leaves = {name: value.double().clone().requires_grad_() for name, value in outputs.items()}
        total = call(formula, leaves)
        (3 * total).backward()
        return total.item(), [value.grad for value in (*leaves.values(), *formula.parameters())]

    def plainly(formula, leaves):
        parts = _Call(formula, leaves, targets, None)
        return sum(torch.as_tensor(parts.value(node) * sign) for _, node, sign in formula._summands)

    ours, theirs = gradients(lambda formula, leaves: formula(leaves, targets)[0]), gradients(plainly)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-12)
    for one, other in zip(ours[1], theirs[1], strict=True):
        if other is None:
            assert one is None or not one.any()
        else:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_one_number_a_pixel_waits_for_the_backward_pass(batch):
    logits = batch[0]["mask"].clone().requires_grad_()
    kept = weakref.WeakSet()

    class Held:
        def __init__(self, tensor):
            self.tensor = tensor
            kept.add(self)

    with torch.autograd.graph.saved_tensors_hooks(Held, lambda held: held.tensor):
        total = LossFormula("bce + dice + focal + lovasz")(logits, batch[1]["mask"])[0]
    assert sum(held.tensor.nbytes for held in kept) == 4 * logits.numel()
    total.backward()
    assert logits.grad.any()


def test_half_logits_keep_small_gradients(batch):
    """1e-9 is nothing in float16; what arrives is scaled first, as a gradient scaler wants it."""
    logits = batch[0]["mask"].half().requires_grad_()
    (LossFormula("1e-7 * bce")(logits, batch[1]["mask"])[0] * 65536).backward()
    reference = batch[0]["mask"].half().float().requires_grad_()
    (LossFormula("1e-7 * bce")(reference, batch[1]["mask"])[0] * 65536).backward()
    assert logits.grad.dtype == torch.float16
    assert logits.grad.any()
    torch.testing.assert_close(logits.grad.float(), reference.grad, rtol=2e-2, atol=1e-7)


def test_without_gradients_nothing_is_kept(batch):
    with torch.no_grad():
        total, parts = LossFormula("bce + dice")(*batch)
    assert not total.requires_grad
    assert LossFormula("bce + dice")(*batch)[0].item() == pytest.approx(total.item())
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: no g++")
def test_compiled_formula_gives_the_same(batch):
    text = "bce(mask) + dice(mask) + focal(mask)"
    results = []
    for compiled in (False, True):
        formula = LossFormula(text)
        if compiled:
            formula.compile(fullgraph=True)
        logits = batch[0]["mask"].clone().requires_grad_()
        total, parts = formula({"mask": logits}, {"mask": batch[1]["mask"]})
        total.backward()
        results.append((total.detach(), torch.stack(list(parts.values())), logits.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bce * 0 + dice", "the term .bce \\* 0. has weight 0"),
        ("-0.0 * bce + dice", "the term .-0.0 \\* bce. has weight 0"),
        ("2 * (0 * bce) + dice", "has weight 0"),
        ("(1 - 1) * bce + dice", "has weight 0"),
        ("bce / 0", "the weight of the term .bce / 0. is not finite"),
        ("bce + 1e999 * dice", "is not finite"),
        ("bce + dice + bce", "the term .bce. is repeated; write it once with a weight: 2 \\* bce"),
        ("", "loss formula: .*invalid syntax"),
    ],
)
def test_weights_that_cannot_be_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        LossFormula(text)


def test_a_term_that_is_given_and_not_used():
    with pytest.raises(ValueError, match="'bce' does not use 'mine' of model.loss_terms"):
        LossFormula("bce", {"mine": Scaled()})


@pytest.mark.parametrize("text", ["0.5 * bce - dice_score / 4", "(1 + 1) * dice + 1 + bce", "1 - log(dice_score)"])
def test_literal_weights_change_nothing_else(text, batch):
    total, parts = LossFormula(text)(*batch)
    assert sum(float(part) for part in parts.values()) == pytest.approx(total.item(), abs=1e-6)
