"""The chance of augmentation by class, in workers and on the device."""

import albumentations
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from augmentations import ByClass, Colour, Geometry
from augmentations.by_class import class_chances, classes_of
from datamodules import ImageDataModule
from datamodules.targets import Labels
from evaluation.cross_validation import CrossValidation
from evaluation.folds import make_folds, write_folds

DRAWS = 3000
SIGMAS = 4.5  # of a binomial count: one seed in 150 000 would fail


def random(seed=0):
    return np.random.default_rng(seed)


def inverted(**settings):
    """Turns white to black, so that who was chosen shows."""
    return ByClass([Colour(invert=1.0)], **settings)


def close(count, draws, chance):
    return abs(count - draws * chance) <= SIGMAS * np.sqrt(draws * chance * (1 - chance)) + 1e-9


def test_the_formula():
    counts = np.array([400, 100, 25, 1, 0])
    found = class_chances(counts, p=0.1, beta=0.5, p_max=0.9)
    np.testing.assert_allclose(found, [0.1, 0.2, 0.4, 0.9, 0.9])  # the square roots of 1, 4, 16, 400: 0.1 · 20 is cut
    np.testing.assert_allclose(class_chances(counts, 0.1, 1.0, 1.0)[:3], [0.1, 0.4, 1.0])
    np.testing.assert_allclose(class_chances(counts, 0.3, 0.0, 0.9)[:4], 0.3)


@pytest.fixture(scope="module")
def labels():
    """Images of three classes, 90, 9 and 1 of them; one in ten of the first has the second, too."""
    single = {f"{number}": np.array(int(number >= 90) + int(number >= 99)) for number in range(100)}
    multi = {name: np.eye(4, dtype=np.float32)[int(value)] for name, value in single.items()}
    for number in range(0, 90, 10):
        multi[f"{number}"][1] = 1
    multi["50"][:] = 0
    return {"label": single, "kinds": multi}.__getitem__


def test_each_class_in_workers_has_its_chance(labels):
    step = inverted(p=0.1, beta=0.5, p_max=0.8)
    step.prepare(labels)
    image, generator = np.full((2, 2, 1), 255, np.uint8), random()
    for number, chance in enumerate((0.1, 0.1 * np.sqrt(10), 0.8)):
        given = {"label": np.array(number)}
        count = sum(not step.sample(image, given, 255.0, generator)[0].any() for _ in range(DRAWS))
        assert close(count, DRAWS, chance), (number, count / DRAWS, chance)


def test_each_class_on_the_device_has_its_chance(labels):
    step = inverted(p=0.1, beta=0.5, p_max=0.8)
    step.prepare(labels)
    names = ["0", "95", "99"] * DRAWS
    batch = {"image": torch.full((len(names), 1, 1, 1), 255, dtype=torch.uint8), "image_id": names}
    chosen = (step.batch(batch, 255.0, random())["image"] == 0).view(DRAWS, 3).sum(0).tolist()
    for count, chance in zip(chosen, (0.1, 0.1 * np.sqrt(10), 0.8), strict=True):
        assert close(count, DRAWS, chance)


def test_several_classes_take_the_largest_chance_and_none_the_first(labels):
    step = inverted(target="kinds", p=0.1, beta=1.0, p_max=0.9)
    step.prepare(labels)
    # 89 of class 0 (one image lost all), 9 + 8 of class 1, 1 of class 2
    expected = {"1": 0.1, "0": 0.1 * 89 / 17, "95": 0.1 * 89 / 17, "99": 0.9, "50": 0.1}
    for name, chance in expected.items():
        assert step.of_image[name] == pytest.approx(chance)
    image, given = np.full((1, 1, 1), 255, np.uint8), {"kinds": np.array([1, 1, 0, 0], np.float32)}
    generator = random()
    count = sum(not step.sample(image, given, 255.0, generator)[0].any() for _ in range(DRAWS))
    assert close(count, DRAWS, 0.1 * 89 / 17)


def test_only_the_chosen_change_with_their_masks_and_boxes(labels):
    step = ByClass([Geometry(hflip=1.0)], p=0.0, p_max=1.0, beta=1.0)
    step.chances, step.of_image = np.array([0.0, 1.0]), {"a": 0.0, "b": 1.0, "c": 1.0}
    images = torch.arange(3 * 3 * 4 * 4).view(3, 3, 4, 4).to(torch.uint8)
    boxes = [torch.tensor([[0.0, 1, 1, 3]])] * 3
    batch = {
        "image": images,
        "image_id": ["a", "b", "c"],
        "mask": images[:, :1] % 2 > 0,
        "boxes": boxes,
        "labels": [torch.tensor([5])] * 3,
        "label": torch.tensor([0, 1, 1]),
        "weight": torch.ones(3),
    }
    found = step.batch(batch, 255.0, random())
    assert torch.equal(found["image"][0], images[0].float())
    assert torch.equal(found["image"][1:], images[1:].flip(-1).float())
    assert torch.equal(found["mask"][1:], batch["mask"][1:].flip(-1))
    assert torch.equal(found["mask"][0], batch["mask"][0])
    assert [box.tolist() for box in found["boxes"]] == [[[0, 1, 1, 3]], [[3, 1, 4, 3]], [[3, 1, 4, 3]]]
    assert torch.equal(found["label"], batch["label"])
    assert torch.equal(batch["image"], torch.arange(144).view(3, 3, 4, 4).to(torch.uint8))


def test_valid_is_full_where_nothing_moved():
    step = ByClass([Geometry(affine=1.0, translate=0.9)])
    step.chances, step.of_image = np.array([0.0, 1.0]), {"a": 0.0, "b": 1.0}
    found = step.batch({"image": torch.ones(2, 1, 8, 8), "image_id": ["a", "b"]}, 1.0, random(3))
    assert found["valid"][0].all()
    assert not found["valid"][1].all()


def test_the_frequencies_are_those_of_the_training_fold(tmp_path):
    """A rare class that the validation fold holds is not counted; nested albumentations from another library run."""
    kinds = ["a"] * 8 + ["b"] * 4
    (tmp_path / "train").mkdir()
    for number in range(12):
        Image.fromarray(np.full((8, 8, 3), 255, np.uint8)).save(tmp_path / "train" / f"{number:02d}.png")
    rows = pd.DataFrame({"image_id": [f"{number:02d}" for number in range(12)], "kind": kinds})
    rows.to_csv(tmp_path / "labels.csv", index=False)
    step = ByClass([albumentations.InvertImg(p=1.0)], target="kind", p=0.25, beta=1.0, p_max=1.0)
    data = ImageDataModule(
        str(tmp_path),
        "train/*.png",
        [Labels("kind", "labels.csv", classes=["a", "b"], name="kind")],
        augmentation=[step],
        folds=str(tmp_path / "folds.csv"),
        batch_size=4,
        num_workers=0,
        samples_per_image=20,
    )
    folds = make_folds(data.fold_table(CrossValidation(k=2, duplicates=False)), CrossValidation(k=2, duplicates=False))
    folds["fold"] = [0] * 2 + [1] * 6 + [0] * 2 + [1] * 2
    write_folds(folds, tmp_path / "folds.csv")
    data.setup("fit")
    np.testing.assert_allclose(step.chances, [0.25, 0.75])  # 6 and 2 in training
    seen = {0: [0, 0], 1: [0, 0]}
    for batch in data.train_dataloader():
        for kind, image in zip(batch["kind"].tolist(), batch["image"], strict=True):
            seen[kind][0] += 1
            seen[kind][1] += not image.any()
    assert close(seen[0][1], seen[0][0], 0.25)
    assert close(seen[1][1], seen[1][0], 0.75)
    with pytest.raises(ValueError, match=r"data\.targets has no target 'label'"):
        data.training_labels("label")


def test_what_cannot_be():
    for settings in ({"p": 0.9, "p_max": 0.5}, {"p": -0.1}, {"p_max": 1.1}, {"beta": -1.0}):
        with pytest.raises(ValueError, match="expected 0 <= p <= p_max <= 1"):
            inverted(**settings)
    with pytest.raises(ValueError, match="class frequencies are unknown before the start of a fit"):
        inverted().sample(np.zeros((1, 1, 1), np.uint8), {"label": np.array(0)}, 255.0, random())
    with pytest.raises(ValueError, match=r"target is 'label', but the sample has \['mask'\]"):
        inverted().sample(np.zeros((1, 1, 1), np.uint8), {"mask": np.zeros((1, 1))}, 255.0, random())
    for value in (np.zeros((4, 4), np.uint8), np.array([3.5], np.float32)):
        with pytest.raises(ValueError, match="expected the class or classes of an image"):
            classes_of(value)
    with pytest.raises(ValueError, match="no training image has a class of 'label'"):
        inverted().prepare(lambda name: {"a": np.zeros(3, np.float32)})
    step = ByClass([Geometry(crop=[2, 2])])
    step.chances, step.of_image = np.ones(1), {"a": 1.0}
    with pytest.raises(ValueError, match="put crops outside ByClass"):
        step.batch({"image": torch.ones(1, 1, 8, 8), "image_id": ["a"]}, 1.0, random())
    with pytest.raises(ValueError, match="image 'b' is not in the training table"):
        step.batch({"image": torch.ones(1, 1, 8, 8), "image_id": ["b"]}, 1.0, random())
    step = ByClass([albumentations.HorizontalFlip()])
    step.chances, step.of_image = np.ones(1), {"a": 1.0}
    with pytest.raises(ValueError, match=r"HorizontalFlip works on single images; put it into data\.augmentation"):
        step.batch({"image": torch.ones(1, 1, 8, 8), "image_id": ["a"]}, 1.0, random())
