"""Patches: inside the image, repeatable, with the promised share of foreground, covering."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.patches import balanced_patches, coarse_places, grid_patches, random_patches


def cut(array, window):
    axes = len(window) // 2
    return array[
        tuple(slice(first, first + length) for first, length in zip(window[:axes], window[axes:], strict=True))
    ]


def inside(windows, size):
    axes = len(size)
    windows = np.asarray(windows)
    return (windows[:, :axes] >= 0).all() and (windows[:, :axes] + windows[:, axes:] <= size).all()


def scene(size, seed=0, blobs=6, radius=5):
    random, mask = np.random.default_rng(seed), np.zeros(size, bool)
    for _ in range(blobs):
        centre = [random.integers(side) for side in size]
        grid = np.ogrid[tuple(slice(side) for side in size)]
        mask |= sum((axis - place) ** 2 for axis, place in zip(grid, centre, strict=True)) < radius**2
    return mask


@pytest.mark.parametrize(("size", "patch"), [((300, 400), 32), ((300, 400), (20, 50)), ((40, 60, 50), 12)])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.5, 1.0])
def test_share_of_patches_with_foreground(size, patch, ratio):
    mask, count = scene(size), 2000
    windows = balanced_patches(size, patch, count, mask, np.random.default_rng(1), ratio)
    share = np.mean([cut(mask, window).any() for window in windows])
    assert abs(share - ratio) <= 3 * np.sqrt(ratio * (1 - ratio) / count)
    assert inside(windows, size)


def test_share_with_coarse_places():
    size, count, ratio = (1000, 1200), 2000, 0.25
    mask = scene(size, blobs=8, radius=20)
    places = coarse_places(mask, 32)
    windows = balanced_patches(size, 128, count, places, np.random.default_rng(1), ratio, cell=32)
    share = np.mean([cut(mask, window).any() for window in windows])
    assert abs(share - ratio) <= 3 * np.sqrt(ratio * (1 - ratio) / count)
    assert inside(windows, size)


def test_coarse_places_are_the_cells_with_foreground():
    mask = scene((70, 50, 33), radius=4)
    expected = {tuple(place // 8) for place in np.argwhere(mask)}
    assert {tuple(place) for place in coarse_places(mask, 8)} == expected


@settings(max_examples=60, deadline=None)
@given(
    size=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    patch=st.integers(1, 50),
    seed=st.integers(0, 99),
    foreground=st.booleans(),
)
def test_a_patch_never_leaves_the_image(size, patch, seed, foreground):
    random = np.random.default_rng(seed)
    mask = random.random(size) < (0.1 if foreground else 0)
    mask = np.asarray(mask, bool)
    windows = balanced_patches(size, patch, 20, mask, random, 0.5)
    assert inside(windows, size)
    assert (windows[:, len(size) :] == np.minimum(patch, size)).all()
    assert inside(random_patches(size, patch, 20, random), size)


@settings(max_examples=60, deadline=None)
@given(
    size=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    patch=st.integers(1, 50),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
)
def test_a_grid_covers_every_pixel(size, patch, overlap):
    windows = grid_patches(size, patch, overlap)
    assert inside(windows, size)
    assert len(set(windows)) == len(windows)
    covered = np.zeros(size, bool)
    for window in windows:
        cut(covered, window)[...] = True
    assert covered.all()


def test_grid_overlaps_at_least_as_told():
    firsts = sorted({window[0] for window in grid_patches((100, 10), (10, 10), 0.25)})
    assert firsts == [*range(0, 90, 7), 90]


def test_same_seed_same_patches():
    mask = scene((200, 200))
    one, same, other = (
        balanced_patches((200, 200), 16, 50, mask, np.random.default_rng(seed), 0.5) for seed in (3, 3, 4)
    )
    assert (one == same).all()
    assert (one != other).any()


def test_positions_and_a_mask_mean_the_same():
    mask = scene((90, 80))
    from_mask = balanced_patches((90, 80), 16, 50, mask, np.random.default_rng(3), 0.5)
    assert (from_mask == balanced_patches((90, 80), 16, 50, np.argwhere(mask), np.random.default_rng(3), 0.5)).all()


def test_positive_patches_are_not_centred():
    places = np.array([[100, 100]])
    windows = balanced_patches((200, 200), 16, 500, places, np.random.default_rng(0), 1.0)
    assert set((100 - windows[:, 0]).tolist()) == set(range(16))


def test_all_foreground_and_none():
    full = balanced_patches((30, 30), 8, 20, np.ones((30, 30), bool), np.random.default_rng(0), 0.0, tries=3)
    assert inside(full, (30, 30))
    empty = balanced_patches((30, 30), 8, 20, np.zeros((30, 30), bool), np.random.default_rng(0), 1.0)
    assert inside(empty, (30, 30))


@pytest.mark.parametrize(
    "arguments",
    [
        {"places": np.zeros((9, 9), bool)},
        {"places": np.array([[30, 0]])},
        {"places": np.array([[4, 0]]), "cell": 8},
        {"places": np.zeros((30, 30), bool), "cell": 8},
        {"places": np.zeros((30, 30), bool), "pos_ratio": 1.5},
    ],
)
def test_what_makes_no_sense_is_refused(arguments):
    with pytest.raises(ValueError, match="place|pos_ratio|mask"):
        balanced_patches((30, 30), 8, 5, rng=np.random.default_rng(0), **arguments)
