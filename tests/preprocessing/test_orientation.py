"""Orientation: nothing but flips and transpositions, every voxel keeps its place in the world."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from preprocessing.orientation import axis_codes, orientation_to, reorient, upright

CODES = ["".join(letters) for order in permutations(("RL", "AP", "SI")) for letters in product(*order)]


def tilted(seed: int, degrees: float = 20) -> np.ndarray:
    """An affine with uneven spacing, turned a little, of (slice, row, column)."""
    random = np.random.default_rng(seed)
    axis = random.normal(size=3)
    axis /= np.linalg.norm(axis)
    angle = np.deg2rad(random.uniform(-degrees, degrees))
    cross = np.cross(np.eye(3), axis)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, 0.7], [0, 0.8, 0], [2.5, 0, 0]])
    affine[:3, 3] = random.normal(size=3) * 100
    return affine


def worlds(volume: np.ndarray, affine: np.ndarray) -> dict[int, np.ndarray]:
    """Place of every voxel by its value, which is its own."""
    index = np.argwhere(np.ones(volume.shape, bool))
    places = index @ affine[:3, :3].T + affine[:3, 3]
    return dict(zip(volume[tuple(index.T)].tolist(), places, strict=True))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CODES), st.sampled_from(CODES), st.integers(0, 1000))
def test_every_voxel_keeps_its_place_and_the_way_back_is_exact(first, second, seed):
    volume = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    one, one_affine, _ = reorient(volume, tilted(seed), first)
    other, other_affine, turn = reorient(one, one_affine, second)
    assert (axis_codes(one_affine), axis_codes(other_affine)) == (first, second)
    places, moved = worlds(volume, tilted(seed)), worlds(other, other_affine)
    for value, place in places.items():
        np.testing.assert_allclose(moved[value], place, atol=1e-9)
    np.testing.assert_array_equal(turn.undo(other), one)
    stacked = np.stack([one, one + 100])
    np.testing.assert_array_equal(turn.undo(turn.apply(stacked)), stacked)
    assert turn.sides(one.shape) == other.shape


def test_lps_and_ras_copies_of_a_volume_become_equal():
    random = np.random.default_rng(0)
    volume = random.integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    affine = np.array([[0, 0, 0.7, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 4], [0, 0, 0, 1]], float)
    assert axis_codes(affine) == "RAS"
    mirrored = volume[:, ::-1, ::-1]
    mirrored_affine = affine.copy()
    mirrored_affine[:3, 1:3] *= -1
    mirrored_affine[:3, 3] += affine[:3, 1] * 5 + affine[:3, 2] * 6
    assert axis_codes(mirrored_affine) == "LPS"
    one, one_affine, _ = reorient(volume, affine, "RAS")
    other, other_affine, _ = reorient(mirrored, mirrored_affine, "RAS")
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(one_affine, other_affine)


def test_codes_are_those_of_nibabel_for_the_file_axes():
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    for seed, codes in enumerate(CODES):
        affine = orientation_to(tilted(seed), codes).affine(tilted(seed), (4, 5, 6))
        file_affine = affine[:, [2, 1, 0, 3]]  # x first
        assert "".join(nibabel.aff2axcodes(file_affine)) == axis_codes(affine) == codes


@pytest.mark.parametrize("codes", ["RAX", "RA", "RLS", "ras", "RASA"])
def test_codes_that_are_none(codes):
    with pytest.raises(ValueError, match="expected three letters"):
        orientation_to(np.eye(4), codes)


def test_an_affine_that_is_none():
    with pytest.raises(ValueError, match="three independent directions"):
        axis_codes(np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"volume is \(2, 2\), expected \(D, H, W\)"):
        reorient(np.zeros((2, 2)), np.eye(4), "RAS")


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_eight_exif_variants_of_one_picture_give_the_same_array(shape):
    picture = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    transpose = Image.Transpose
    stored_as = {  # how a camera that was held so stores the picture
        1: None,
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_90,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_270,
    }
    for tag, way in stored_as.items():
        image = Image.fromarray(picture)
        stored = image if way is None else image.transpose(way)
        np.testing.assert_array_equal(upright(np.asarray(stored), tag), picture)
        stored.getexif()[0x0112] = tag
        np.testing.assert_array_equal(upright(np.asarray(stored), tag), np.asarray(ImageOps.exif_transpose(stored)))


def test_no_ninth_exif_variant():
    with pytest.raises(ValueError, match="expected 1 to 8"):
        upright(np.zeros((2, 2)), 9)
