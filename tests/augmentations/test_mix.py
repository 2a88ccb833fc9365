"""Pictures made of two: shares, areas, constraints."""

import numpy as np
import pytest
import torch

from augmentations import CopyPaste, Cutmix, Mixup


def batch(count=6, size=32):
    """Each picture has its own grey, its mask is its upper half."""
    image = torch.arange(1, count + 1, dtype=torch.float32).view(-1, 1, 1, 1).expand(count, 3, size, size) * 10
    mask = torch.zeros(count, 1, size, size, dtype=torch.uint8)
    mask[:, :, : size // 2] = 1
    label = torch.eye(count)
    group = ["a", "b"] * (count // 2)
    return {"image": image.clone(), "mask": mask, "label": label, "group": group, "weight": torch.ones(count)}


def random(seed=0):
    return np.random.default_rng(seed)


def test_mixup_is_linear_in_picture_and_truth():
    given = batch()
    found = Mixup(p=1.0, alpha=1.0).batch(given, 255.0, random())
    grey = torch.arange(1.0, 7) * 10
    torch.testing.assert_close(found["image"][:, 0, 0, 0], found["label"] @ grey)
    assert ((found["label"] > 0).sum(1) == 2).all()  # nobody with itself
    torch.testing.assert_close(found["label"].sum(1), torch.ones(6))
    assert ((found["label"] > 0).sum(0) == 2).all()  # everybody once as partner
    assert torch.equal(found["mask"].float(), given["mask"].float())  # equal masks stay what they are
    assert found["weight"] is given["weight"]


def test_mixup_of_class_numbers_is_refused():
    with pytest.raises(ValueError, match="label holds class numbers"):
        Mixup(p=1.0).batch(batch() | {"label": torch.arange(6)}, 255.0, random())


def test_chance_and_partners_of_one_group():
    kind = Mixup(p=0.5, same="group")
    changed = 0
    for seed in range(100):
        found = kind.batch(batch(), 255.0, random(seed))
        for number, row in enumerate(found["label"]):
            partners = [other for other in row.nonzero().flatten().tolist() if other != number]
            changed += bool(partners)
            assert all((other - number) % 2 == 0 for other in partners)
    assert 250 < changed < 350
    with pytest.raises(ValueError, match="same is 'organ', but the batch has"):
        Mixup(same="organ").batch(batch(), 255.0, random())
    by_label = Mixup(p=1.0, same="label").batch(batch(), 255.0, random())
    assert torch.equal(by_label["image"], batch()["image"])  # all labels differ


def test_cutmix_pastes_a_rectangle_with_its_mask_and_counts_its_area():
    given = batch()
    given["mask"] = (torch.arange(6) % 2).view(-1, 1, 1, 1).expand(6, 1, 32, 32).to(torch.uint8)
    given["classes"] = torch.arange(6).view(-1, 1, 1).expand(6, 32, 32).clone()
    for seed in range(10):
        found = Cutmix(p=1.0).batch(given, 255.0, random(seed))
        for number in range(6):
            origin = (found["image"][number, 0] / 10 - 1).round().long()
            assert torch.equal(found["classes"][number], origin)
            assert torch.equal(found["mask"][number, 0], (origin % 2).to(torch.uint8))
            pasted = origin != number
            share = pasted.float().mean().item()
            torch.testing.assert_close(found["label"][number, number].item(), 1 - share)
            where = pasted.nonzero()
            if len(where):
                low, high = where.min(0).values, where.max(0).values
                assert pasted[low[0] : high[0] + 1, low[1] : high[1] + 1].all()
    assert found["mask"].dtype == torch.uint8


def test_cutmix_of_volumes():
    given = {"image": torch.rand(4, 1, 3, 16, 16), "mask": torch.zeros(4, 1, 3, 16, 16, dtype=torch.uint8)}
    found = Cutmix(p=1.0).batch(given, 1.0, random(1))
    changed = found["image"] != given["image"]
    assert changed.any()
    assert torch.equal(changed[:, :, 0], changed[:, :, 2])


def test_copied_objects_bring_their_masks():
    given = batch(4)
    given["mask"] = torch.zeros(4, 1, 32, 32, dtype=torch.uint8)
    for number in range(4):
        given["mask"][number, 0, 8 * number : 8 * number + 8, :8] = 1
    given["empty"] = torch.zeros(4, 1)
    found = CopyPaste(p=1.0).batch(given, 255.0, random())
    for number in range(4):
        origin = (found["image"][number, 0] / 10 - 1).round().long()
        others = origin[origin != number].unique()
        assert len(others) == 1
        partner = int(others[0])
        assert torch.equal(origin == partner, given["mask"][partner, 0] > 0)
        union = (given["mask"][number, 0] > 0) | (given["mask"][partner, 0] > 0)
        assert torch.equal(found["mask"][number, 0] > 0, union)
    classes = {"image": given["image"], "mask": given["mask"][:, 0].long() * torch.arange(1, 5).view(-1, 1, 1)}
    found = CopyPaste(p=1.0).batch(classes, 255.0, random())
    assert all(found["mask"][number].unique().numel() == 3 for number in range(4))
    with pytest.raises(ValueError, match="mask is 'body', but the batch has the masks"):
        CopyPaste(mask="body").batch(given, 255.0, random())


def test_only_in_batches():
    for kind in (Mixup(), Cutmix(), CopyPaste()):
        with pytest.raises(ValueError, match=r"model\.augmentation"):
            kind.sample(np.zeros((4, 4, 3)), {}, 255.0, random())


@pytest.mark.parametrize("step", [Mixup(), Cutmix(), CopyPaste()])
def test_boxes_are_not_left_behind(step):
    given = batch() | {"boxes": [torch.zeros(0, 4)] * 6, "labels": [torch.zeros(0)] * 6}
    with pytest.raises(ValueError, match="mixes images, masks and labels, but cannot mix boxes"):
        step.batch(given, 255.0, random())


@pytest.mark.parametrize("step", [Mixup(p=1.0, alpha=1.0), Cutmix(p=1.0), CopyPaste(p=1.0)])
def test_a_sample_of_weight_0_is_mixed_into_nobody(step):
    """A label that `clean` suspects, or a row of weight 0, does not come back by the partner."""
    given = batch() | {"weight": torch.tensor([1.0, 0, 1, 1, 0, 1])}
    changed = given | {"image": given["image"].clone(), "label": given["label"].clone(), "mask": given["mask"].clone()}
    for number in (1, 4):
        changed["image"][number], changed["label"][number], changed["mask"][number] = 255, 1, 1
    one, other = (step.batch(made, 255.0, random(3)) for made in (given, changed))
    counted = given["weight"] > 0
    for name in ("image", "label", "mask"):
        assert torch.equal(one[name][counted], other[name][counted])
    assert any(not torch.equal(one[name][counted], given[name][counted]) for name in ("image", "label"))


def test_pixels_that_do_not_count_are_pasted_nowhere():
    given = batch()
    valid = torch.ones(6, 32, 32, dtype=torch.bool)
    valid[:, :, :8] = False
    found = CopyPaste(p=1.0).batch(given | {"valid": valid}, 255.0, random())
    assert torch.equal(found["image"][..., :8], given["image"][..., :8])
    assert not torch.equal(found["image"], given["image"])
    assert torch.equal(found["valid"], valid)
