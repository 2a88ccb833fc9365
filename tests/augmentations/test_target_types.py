"""Truth of any type: integers come back exact, maps of floats keep their type and move as the picture does."""

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode, v2

from augmentations import CopyPaste, Geometry, Mixup, Resize, TimmPolicy
from augmentations.steps import Steps

SIZE = (24, 32)
INTEGERS = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
FLOATS = ("float16", "float32", "float64")
FLIPS = {
    "albumentations": [A.HorizontalFlip(p=1)],
    "torchvision": [v2.RandomHorizontalFlip(1.0)],
    "geometry": [Geometry(affine=0, hflip=1.0)],
}
MOVES = {  # the nearest pixel, with parts from outside
    "albumentations": [A.Affine(rotate=(-40, 40), translate_percent=(-0.2, 0.2), p=1), A.Transpose(p=0.5)],
    "elastic": [A.ElasticTransform(alpha=60, sigma=5, p=1), A.RandomResizedCrop((20, 20), p=1)],
    "torchvision": [v2.RandomAffine(40, (0.2, 0.2)), v2.RandomResizedCrop((20, 20))],
    "geometry": [Geometry(affine=1.0, rotate=40, translate=0.2, elastic=2.0, elastic_p=1.0)],
    "policies": [TimmPolicy("rand-m9-n3"), v2.TrivialAugmentWide()],
}  # fmt: skip


def values(kind, random, size=SIZE):
    """Numbers of a type, the smallest and the largest among them."""
    dtype = np.dtype(kind)
    if kind == "bool":
        return random.random(size) < 0.5
    facts = np.iinfo(dtype)
    few = random.integers(facts.min, facts.max, 20, dtype, endpoint=True)
    return random.choice(np.concatenate([few, [facts.min, facts.max]]).astype(dtype), size)


def run(steps, arrays, seed=0, image=None):
    image = np.random.default_rng(1).integers(0, 255, (*SIZE, 3), np.uint8) if image is None else image
    return Steps(steps)(image, dict(arrays), 255.0, seed, np.random.default_rng(seed))


@pytest.mark.parametrize("library", FLIPS)
@pytest.mark.parametrize("kind", [*INTEGERS, *FLOATS])
def test_flips_are_those_of_numpy(library, kind):
    random = np.random.default_rng(0)
    make = values if kind in INTEGERS else lambda kind, random, size=SIZE: random.normal(0, 1e3, size).astype(kind)
    arrays = {"one": make(kind, random), "several": make(kind, random, (5, *SIZE))}
    _, found = run(FLIPS[library], arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert (found[name] == array[..., ::-1]).all()
    assert found.get("valid", np.ones(1)).all()


@pytest.mark.parametrize("library", MOVES)
@pytest.mark.parametrize("kind", INTEGERS)
def test_no_integer_is_invented(library, kind):
    """Several types side by side, so that one could change another."""
    random = np.random.default_rng(0)
    arrays = {"one": values(kind, random), "ids": values("int32", random, (2, *SIZE)), "mask": values("uint8", random)}
    place = np.arange(SIZE[0] * SIZE[1], dtype=np.int32).reshape(SIZE)
    for seed in range(3):
        _, found = run(MOVES[library], arrays | {"place": place}, seed)
        valid = found.get("valid", np.ones(found["one"].shape[-2:], bool))
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            taken = array.reshape(*array.shape[:-2], -1)[..., found["place"]]
            assert (found[name] == taken)[..., valid].all()


def smooth(random, kind="float32"):
    """A map of numbers far from those of a picture, smooth enough to be interpolated."""
    return cv2.GaussianBlur(random.normal(0, 5e3, SIZE), (0, 0), 3).astype(kind)


def inner(valid):
    """Without the rim, where a picture is mixed with what lies outside."""
    return cv2.erode(valid.astype(np.uint8), np.ones((3, 3)), borderValue=0) > 0


LINEAR = {
    "albumentations": [A.Affine(rotate=(20, 30), scale=(0.8, 1.2), p=1), A.RandomBrightnessContrast(p=0)],
    "perspective": [A.Perspective(p=1), A.GridDistortion(p=1), A.RandomScale(p=1)],
    "nested": [A.OneOf([A.Rotate(30, p=1), A.OpticalDistortion(p=1)], p=1), A.Resize(30, 30)],
    "torchvision": [v2.RandomRotation((20, 30), InterpolationMode.BILINEAR), v2.Resize((30, 30)), v2.Pad(3)],
    "geometry": [Geometry(affine=1.0, rotate=30, perspective=0.1, elastic=1.0, elastic_p=1.0)],
}


@pytest.mark.parametrize("library", LINEAR)
@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("alone", [True, False])
def test_maps_of_floats_move_as_the_picture(library, kind, alone):
    random = np.random.default_rng(0)
    picture = smooth(random, "float32")
    heat = picture.astype(kind)
    other = {} if alone else {"mask": values("uint8", random), "boxes": np.array([[2, 3, 20, 18]], np.float32)}
    for seed in range(4):
        image, found = run(
            LINEAR[library], {"heat": heat, "heats": np.stack([heat, -heat])} | other, seed, picture[..., None]
        )
        valid = inner(found.get("valid", np.ones(found["heat"].shape, bool)))
        assert found["heat"].dtype == found["heats"].dtype == np.dtype(kind)
        assert valid.mean() > 0.3
        # OpenCV places doubles to a 32nd of a pixel
        near = {
            "float16": {"atol": 8.0, "rtol": 1e-2},
            "float32": {"atol": 0.5, "rtol": 1e-3},
            "float64": {"atol": 40.0},
        }[kind]
        np.testing.assert_allclose(found["heat"][valid].astype(float), image[..., 0][valid], **near)
        np.testing.assert_allclose(found["heats"][1][valid], -found["heats"][0][valid])
        if not alone:  # they move as they would without
            _, without = run(LINEAR[library], other, seed, picture[..., None])
            assert (without["mask"] == found["mask"]).all()
            np.testing.assert_array_equal(without["boxes"], found["boxes"])


@pytest.mark.parametrize("library", LINEAR)
def test_nothing_under_void_reaches_a_pixel_that_counts(library):
    random = np.random.default_rng(0)
    heat, valid = smooth(random), np.ones(SIZE, bool)
    valid[8:14, 10:20] = False
    results = []
    for value in (0, 1e6):
        given = {"heat": np.where(valid, heat, np.float32(value)), "valid": valid, "mask": values("uint8", random)}
        results.append(run(LINEAR[library], given, 3)[1])
    assert (results[0]["valid"] == results[1]["valid"]).all()
    assert not results[0]["valid"].all()
    counted = results[0]["valid"]
    assert np.abs(results[0]["heat"] - results[1]["heat"])[counted].max() == 0


@pytest.mark.parametrize("step", [TimmPolicy("rand-m9-n2"), v2.RandAugment(), v2.TrivialAugmentWide()])
def test_policies_refuse_maps_of_floats_by_name(step):
    with pytest.raises(ValueError, match="target 'height' is float32"):
        run([step], {"height": smooth(np.random.default_rng(0))})


@pytest.mark.parametrize("steps", [FLIPS["albumentations"], FLIPS["geometry"], FLIPS["torchvision"]])
def test_what_is_no_number_is_refused_by_name(steps):
    with pytest.raises(ValueError, match="target 'phase' is complex64"):
        run(steps, {"phase": np.zeros(SIZE, np.complex64)})


DUAL = [
    A.D4(p=1), A.RandomRotate90(p=1), A.Transpose(p=1), A.RandomGridShuffle(p=1), A.SafeRotate(p=1),
    A.Morphological(p=1),
    A.ShiftScaleRotate(p=1), A.PiecewiseAffine(p=1), A.ThinPlateSpline(p=1), A.CropAndPad(percent=0.1, p=1),
    A.CoarseDropout(p=1), A.GridDropout(p=1), A.XYMasking(1, 1, 3, 3, p=1),
    A.LongestMaxSize(40), A.SmallestMaxSize(20), A.CropNonEmptyMaskIfExists(16, 16),
    A.RandomSizedCrop((12, 20), (16, 16)),
    A.PadIfNeeded(40, 40), A.CenterCrop(16, 16), A.RandomCropFromBorders(p=1), A.PixelDropout(p=1), A.Erasing(p=1),
]  # fmt: skip


@pytest.mark.parametrize("step", DUAL, ids=lambda step: type(step).__name__)
def test_every_transform_takes_every_truth(step):
    random = np.random.default_rng(0)
    arrays = {kind: values(kind, random) for kind in INTEGERS} | {kind: smooth(random, kind) for kind in FLOATS}
    _, found = run([step], arrays)
    assert {name: array.dtype for name, array in found.items() if name != "valid"} == {
        name: array.dtype for name, array in arrays.items()
    }
    assert len({array.shape for array in found.values()}) == 1


# --- on the device ---------------------------------------------------------------------------------------------------


def batch(random, kind):
    make = (lambda size: values(kind, random, size)) if kind in INTEGERS else lambda size: random.normal(0, 1e3, size)
    truth = {"one": make((4, *SIZE)), "several": make((4, 3, *SIZE))}
    truth = {name: torch.from_numpy(array.astype(kind)) for name, array in truth.items()}
    return {"image": torch.from_numpy(random.random((4, 3, *SIZE), np.float32))} | truth


TENSORS = ("bool", "uint8", "int8", "int16", "int32", "int64", *FLOATS)


@pytest.mark.parametrize("kind", TENSORS)
def test_flips_of_a_batch_are_exact(kind):
    given = batch(np.random.default_rng(0), kind)
    found = Geometry(affine=0, hflip=1.0).batch(given, 1.0, np.random.default_rng(0))
    for name in ("one", "several"):
        assert found[name].dtype == given[name].dtype
        assert torch.equal(found[name], given[name].flip(-1))


@pytest.mark.parametrize("kind", TENSORS)
@pytest.mark.parametrize("step", [Geometry(affine=0.7, rotate=30, d4=0.5), Resize(20), Resize(16, "crop")])
def test_types_of_a_batch_stay(kind, step):
    given = batch(np.random.default_rng(0), kind)
    found = step.batch(given, 1.0, np.random.default_rng(0))
    for name in ("one", "several"):
        assert found[name].dtype == given[name].dtype
        if kind in INTEGERS:
            assert set(found[name].unique().tolist()) <= set(given[name].unique().tolist()) | {0}


@pytest.mark.parametrize("step", [Geometry(affine=0.7, rotate=30, scale=[0.7, 1.3]), Resize(20), Resize(40)])
def test_maps_of_a_batch_move_as_pictures(step):
    random = np.random.default_rng(0)
    picture = torch.from_numpy(np.stack([smooth(random) for _ in range(4)]))
    valid = torch.ones(4, *SIZE, dtype=torch.bool)
    valid[:, 5:9, 5:9] = False
    results = []
    for value in (0.0, 1e6):
        heat = picture.masked_fill(~valid, value)
        given = {"image": picture[:, None], "heat": heat, "heats": heat[:, None].double(), "valid": valid}
        results.append(step.batch(given, 1.0, np.random.default_rng(0)))
    counted = results[0]["valid"]
    assert torch.equal(counted, results[1]["valid"])
    assert 0.3 < counted.float().mean() < 1
    assert torch.equal(results[0]["heat"][counted], results[1]["heat"][counted])
    counted = torch.from_numpy(np.stack([inner(plane) for plane in counted.numpy()]))
    torch.testing.assert_close(results[0]["heat"][counted], results[0]["image"][:, 0][counted], atol=0.5, rtol=1e-3)
    torch.testing.assert_close(
        results[0]["heats"][:, 0].float()[counted], results[0]["heat"][counted], atol=0.5, rtol=1e-3
    )


def test_swap_of_sides_leaves_maps_of_numbers():
    random = np.random.default_rng(0)
    heat = random.random((3, *SIZE)).astype(np.float32)
    step = Geometry(affine=0, hflip=1.0, swap=[[1, 2]])
    found = step.batch({"image": torch.zeros(3, 1, *SIZE), "heat": torch.from_numpy(heat)}, 1.0, random)
    assert (found["heat"].numpy() == heat[..., ::-1]).all()
    assert (step.sample(np.zeros((*SIZE, 1)), {"heat": heat[0]}, 1.0, random)[1]["heat"] == heat[0, :, ::-1]).all()


@pytest.mark.parametrize("kind", [torch.int8, torch.int16, torch.int32, torch.int64])
def test_numbers_of_classes_have_no_mean(kind):
    given = {"image": torch.zeros(2, 1, *SIZE), "classes": torch.ones(2, *SIZE, dtype=kind)}
    with pytest.raises(ValueError, match="classes holds class numbers"):
        Mixup(p=1.0).batch(given, 1.0, np.random.default_rng(0))


def test_what_is_pasted_brings_its_numbers():
    mask = torch.zeros(2, 1, *SIZE, dtype=torch.uint8)
    mask[0, 0, :4], mask[1, 0, -4:] = 1, 1
    depth = torch.stack([torch.full((1, *SIZE), 10.0), torch.full((1, *SIZE), 2.0)])
    given = {"image": torch.zeros(2, 1, *SIZE), "mask": mask, "depth": depth}
    found = CopyPaste(p=1.0).batch(given, 1.0, np.random.default_rng(0))
    assert (found["depth"][0, 0, -4:] == 2).all()
    assert (found["depth"][0, 0, :-4] == 10).all()
    assert (found["mask"][0, 0].sum(1) > 0).sum() == 8
