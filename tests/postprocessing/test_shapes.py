"""Steps that decide which objects there are and what shape they have, against their references."""

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold
from skimage.measure import label, regionprops
from skimage.morphology import convex_hull_image, remove_small_objects

from evaluation.metrics import DicePerImage
from postprocessing import (
    ConvexHull,
    DistanceWatershed,
    FillHoles,
    HysteresisThreshold,
    LargestComponents,
    MinimumArea,
    Smooth,
    TripletThreshold,
    Watershed,
)
from postprocessing.area import large_components
from postprocessing.search import search
from postprocessing.search_workers import SearchImage


def blobs(seed=0, shape=(70, 90), level=0.4):
    smooth = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=shape), (0, 0), 3)
    return smooth > level * smooth.std()


def disc(shape, row, column, radius):
    rows, columns = np.indices(shape)
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def one(array):
    return {"mask": array[None]}


# --- which objects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pixels", [0, 1, 5, 40, 10**6])
def test_small_components_go_as_in_scikit_image(seed, pixels):
    mask = blobs(seed)
    expected = remove_small_objects(mask, max_size=pixels - 1) if pixels > 1 else mask
    np.testing.assert_array_equal(large_components(mask, pixels), expected)
    np.testing.assert_array_equal(MinimumArea(pixels)(one(mask))["mask"][0], expected)


def test_more_components_than_two_bytes_tell_apart():
    mask = np.zeros((600, 600), bool)
    mask[::2, ::2] = True  # 90,000 single pixels
    mask[:10, :10] = True
    kept = large_components(mask, 20)
    assert kept[:10, :10].all()
    assert kept.sum() == kept[:11, :11].sum()


def test_each_class_has_an_area_of_its_own():
    mask = np.zeros((2, 30, 30), bool)
    mask[:, 5:10, 5:10] = True
    step = MinimumArea([20, 30])
    found = step({"mask": mask})["mask"]
    assert found[0].any()
    assert not found[1].any()
    assert set(step.search_space()) == {"pixels[0]", "pixels[1]"}
    assert step.replaced(**{"pixels[1]": 10})({"mask": mask})["mask"].all() == mask.all()
    assert not MinimumArea([20, 30], total=True)({"mask": mask})["mask"][1].any()
    with pytest.raises(ValueError, match="pixels has 2 values, expected 1"):
        step(one(mask[0]))
    with pytest.raises(ValueError, match="has instances; give one"):
        MinimumArea([20], output="instances")({"instances": np.zeros((3, 3), np.int32)})


@pytest.mark.parametrize("count", [1, 2, 50])
def test_the_largest_stay(count):
    mask = blobs(1)
    found = LargestComponents(count)(one(mask))["mask"][0]
    labels = label(mask, connectivity=1)
    areas = sorted((region.area for region in regionprops(labels)), reverse=True)
    assert found.sum() == sum(areas[:count])
    assert (found <= mask).all()
    ids = LargestComponents(count, "instances")({"instances": labels.astype(np.int32)})["instances"]
    np.testing.assert_array_equal(ids > 0, found)
    assert not LargestComponents()(one(np.zeros((5, 5), bool)))["mask"].any()


# --- thresholds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connectivity", [1, 2])
def test_hysteresis_equals_scikit_image(connectivity):
    probabilities = np.random.default_rng(0).random((2, 60, 50)).astype(np.float32)
    found = HysteresisThreshold(0.6, 0.95, connectivity)({"mask": probabilities})["mask"]
    for channel, ours in zip(probabilities, found, strict=True):
        if connectivity == 1:
            np.testing.assert_array_equal(ours, apply_hysteresis_threshold(channel, 0.6, 0.95))
        labels = label(channel > 0.6, connectivity=connectivity)
        np.testing.assert_array_equal(ours, np.isin(labels, np.setdiff1d(labels[channel > 0.95], 0)))


def test_triplet_decides_with_the_top_and_cuts_at_the_bottom():
    probabilities = np.zeros((3, 20, 20), np.float32)
    probabilities[:, :10, :10] = 0.4
    probabilities[0, :5, :4] = 0.8  # 20 sure pixels
    probabilities[1, :5, :4] = 0.8
    probabilities[1, 0, 0] = 0.75  # 19: not above the top
    found = TripletThreshold(0.75, 20, 0.3)({"mask": probabilities})["mask"]
    assert found[0].sum() == 100
    assert not found[1:].any()
    assert not TripletThreshold(0.75, 0, 0.3)({"mask": probabilities})["mask"][2].any()
    # 20 pixels of a picture of 20² are 80 of one of 40²
    large = probabilities.repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(
        TripletThreshold(0.75, 20, 0.3, at=20)({"mask": large})["mask"].any((1, 2)), [True, False, False]
    )
    for wrong in ({"top": 0.2, "bottom": 0.3}, {"area": -1}, {"at": 0}):
        with pytest.raises(ValueError, match="TripletThreshold"):
            TripletThreshold(**wrong)


def test_search_finds_planted_triplets():
    """True masks reach 0.9 and end at 0.25; empty images show fainter discs that end at 0.6."""
    shape, cases = (64, 64), []
    for number in range(24):
        full = number % 2 == 1
        radius = 12 + number % 3
        truth = disc(shape, 32, 32, radius) & full
        probabilities = (
            np.where(disc(shape, 32, 32, radius - 6), 0.9, 0.27) * truth if full else 0.58 * disc(shape, 32, 32, 12)
        )
        cases.append(
            SearchImage(
                f"{number:02}",
                lambda p=probabilities: {"mask": p[None].astype(np.float32)},
                lambda t=truth: {"mask": t[None].astype(np.uint8)},
                None,
            )
        )
    result = search([TripletThreshold(0.5, 20, 0.5)], DicePerImage(), cases, processes=1)
    assert result.before < 0.6
    assert result.cross_fitted == 1
    assert result.steps[0].top >= 0.6
    assert result.steps[0].bottom <= 0.25


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_hulls_equal_scikit_image_on_each_object():
    mask = np.zeros((60, 80), bool)
    mask |= disc(mask.shape, 20, 20, 14) & ~disc(mask.shape, 20, 30, 10)
    mask[40:55, 50:54] = mask[51:55, 50:70] = True
    found = ConvexHull()(one(mask))["mask"][0]
    labels = label(mask, connectivity=2)
    expected = np.zeros(mask.shape, bool)
    for number in range(1, labels.max() + 1):
        expected |= convex_hull_image(labels == number, offset_coordinates=False)
    assert (found >= expected).all()
    assert (found != expected).sum() <= 0.05 * expected.sum()  # pixels on the very edge of the polygon
    ids = ConvexHull("instances")({"instances": labels.astype(np.int32)})["instances"]
    assert set(np.unique(ids)) == {0, 1, 2}
    np.testing.assert_array_equal(ids > 0, found)
    solid = ConvexHull(solidity=0.9)(one(mask))["mask"][0]
    np.testing.assert_array_equal(solid, mask)  # both are bent
    np.testing.assert_array_equal(ConvexHull(solidity=0.9)(one(disc((30, 30), 15, 15, 9)))["mask"][0].sum() > 0, True)


def test_holes_equal_scipy():
    for seed in range(4):
        mask = blobs(seed, level=-0.3)
        np.testing.assert_array_equal(FillHoles()(one(mask))["mask"][0], ndimage.binary_fill_holes(mask))


def test_smoothing():
    mask = disc((60, 60), 30, 30, 15)
    speck = mask.copy()
    speck[2, 2] = True
    speck[30, 30] = False
    opened = Smooth("open", 2)(one(speck))["mask"][0]
    closed = Smooth("close", 2)(one(speck))["mask"][0]
    assert not opened[2, 2]
    assert closed[30, 30]
    assert (closed >= speck).all()
    assert (opened <= speck).all()
    np.testing.assert_array_equal(
        Smooth("median", 1)(one(speck))["mask"][0], ndimage.median_filter(speck, 3, mode="mirror")
    )
    np.testing.assert_array_equal(Smooth("open", 0)(one(speck))["mask"][0], speck)
    edge = np.ones((20, 20), bool)
    np.testing.assert_array_equal(Smooth("open", 3)(one(edge))["mask"][0], edge)
    blurred = Smooth("gaussian", 2)(one(mask.astype(np.float32)))["mask"]
    assert 0 < blurred.min() + 0.1 < blurred.max()
    with pytest.raises(ValueError, match="expects probabilities"):
        Smooth("gaussian")(one(mask))
    with pytest.raises(ValueError, match="expects a bool mask"):
        Smooth("open")(one(mask.astype(np.float32)))
    with pytest.raises(ValueError, match="operation is 'shrink'"):
        Smooth("shrink")


# --- touching objects ------------------------------------------------------------------------------------------------


def cells(count=20, seed=3):
    """Touching discs on a ragged grid, and how many."""
    random, mask = np.random.default_rng(seed), np.zeros((160, 200), bool)
    for number in range(count):
        row, column = 20 + 30 * (number // 5), 20 + 34 * (number % 5)
        mask |= disc(mask.shape, row + random.integers(-1, 2), column + random.integers(-1, 2), random.integers(14, 17))
    return mask


def test_twenty_touching_cells_are_twenty():
    mask = cells()
    assert label(mask).max() < 20
    ids = DistanceWatershed(distance=7)(one(mask))["instances"]
    assert ids.dtype == np.int32
    assert ids.max() == len(np.unique(ids)) - 1 == 20
    np.testing.assert_array_equal(ids > 0, mask)


def test_pieces_of_one_seed_and_specks_stay_whole():
    mask = disc((60, 120), 30, 30, 12) | disc((60, 120), 30, 50, 12) | disc((60, 120), 30, 100, 12)
    mask[2, 2] = True
    ids = DistanceWatershed(distance=5, depth=3)(one(mask))["instances"]
    assert ids.max() == 4
    assert len(np.unique(ids[:, 88:113])) == 2
    assert ids[2, 2] > 0
    assert ids[30, 28] != ids[30, 52]
    assert not DistanceWatershed()(one(np.zeros((9, 9), bool)))["instances"].any()
    with pytest.raises(ValueError, match="distance 0"):
        DistanceWatershed(distance=0)


def test_overlapping_discs_are_two_with_a_border_and_one_without():
    body = (disc((60, 80), 30, 28, 16) | disc((60, 80), 30, 50, 16)).astype(np.float32)
    border = np.zeros_like(body)
    border[:, 38:41] = body[:, 38:41]
    step = Watershed(seed_threshold=0.5, mask_threshold=0.5)
    assert step({"body": body[None], "border": border[None]})["instances"].max() == 2
    assert step({"body": body[None], "border": 0 * border[None]})["instances"].max() == 1


def test_lines_stay_free_and_growing_stops_at_neighbours():
    body = (disc((60, 80), 30, 28, 16) | disc((60, 80), 30, 50, 16)).astype(np.float32)
    halo = disc((60, 80), 30, 28, 20) | disc((60, 80), 30, 50, 20)
    border = np.zeros_like(body)
    border[:, 38:41] = body[:, 38:41]
    prediction = {"body": np.maximum(body, 0.4 * halo)[None], "border": border[None]}
    plain = Watershed(seed_threshold=0.5, mask_threshold=0.5)(prediction)["instances"]
    lined = Watershed(seed_threshold=0.5, mask_threshold=0.5, line=True)(prediction)["instances"]
    assert ((plain > 0) & (lined == 0)).sum() >= 20
    assert label(lined > 0, connectivity=1).max() == 2
    grown = Watershed(seed_threshold=0.5, mask_threshold=0.5, grow=3)(prediction)["instances"]
    np.testing.assert_array_equal(grown[plain > 0], plain[plain > 0])
    assert (grown > 0).sum() > (plain > 0).sum() + 100
    assert not (grown > 0)[~halo].any()
    both = Watershed(seed_threshold=0.5, mask_threshold=0.5, grow=3, line=True)(prediction)["instances"]
    assert label(both > 0, connectivity=1).max() == 2
    with pytest.raises(ValueError, match="grow is -1"):
        Watershed(grow=-1)
