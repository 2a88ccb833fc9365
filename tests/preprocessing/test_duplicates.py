"""Copies are found, neighbours are not, groups are transitive."""

import itertools
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.duplicates import connected_groups, equal_pairs, near_by_correlation, near_by_hash, thumbnail
from preprocessing.hashes import dihedral_hashes, perceptual_hash


@pytest.fixture(scope="module")
def fields(competition_data) -> list[np.ndarray]:
    """Four real fields `(512, 512, 4)` of fluorescence: red, green, blue, yellow."""
    folder = competition_data / "hpa_rgby_cm4ai_512"
    names = sorted(file.name.removesuffix("_red.png") for file in folder.glob("*_red.png"))
    colours = ("red", "green", "blue", "yellow")
    return [
        np.stack([cv2.imread(str(folder / f"{n}_{c}.png"), cv2.IMREAD_GRAYSCALE) for c in colours], -1) for n in names
    ]


def jpeg(image: np.ndarray, quality: int = 60) -> np.ndarray:
    planes = [
        cv2.imdecode(cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
        for plane in np.moveaxis(image, -1, 0)
    ]
    return np.stack(planes, -1)


def near(images: list[np.ndarray], **options: float) -> list[tuple[int, int]]:
    return near_by_correlation(np.stack([thumbnail(image) for image in images]), **options)


# --- real fields -----------------------------------------------------------------------------------------------------


def test_fields_of_one_slide_are_not_duplicates(fields):
    assert near(fields) == []


def test_a_noisy_and_a_jpeg_copy_are_found(fields):
    noise = np.random.default_rng(0).normal(0, 8, fields[1].shape)
    noisy = np.clip(fields[1] + noise, 0, 255).astype(np.uint8)
    found = near([*fields, noisy, jpeg(fields[2])])
    assert found == [(1, len(fields)), (2, len(fields) + 1)]


def test_brightness_and_size_do_not_matter(fields):
    copy = cv2.resize(fields[0], (300, 300), interpolation=cv2.INTER_AREA).astype(np.uint16) * 100 + 37
    assert near([*fields, copy]) == [(0, len(fields))]


@pytest.mark.parametrize("channel", range(4))
def test_a_copy_with_one_channel_replaced_is_not_found(fields, channel):
    copy = fields[0].copy()
    copy[..., channel] = fields[1][..., channel]
    assert near([fields[0], copy]) == []


def test_turned_copies_are_found_by_dihedral_hashes_only(fields):
    images = [field[..., 1] for field in fields]
    images.append(np.ascontiguousarray(np.rot90(images[0][:, ::-1])))
    upright = near_by_hash(np.array([perceptual_hash(image) for image in images]))
    every = near_by_hash(np.stack([dihedral_hashes(image) for image in images]))
    assert (0, len(fields)) not in upright
    assert (0, len(fields)) in every


# --- properties ------------------------------------------------------------------------------------------------------


def test_correlation_equals_numpys_whatever_the_blocks():
    random = np.random.default_rng(5)
    base = random.standard_normal((12, 3, 8, 8))
    images = np.concatenate([base, base + random.normal(0, 0.25, base.shape), base + random.normal(0, 0.6, base.shape)])
    expected = [
        (i, j)
        for i, j in itertools.combinations(range(len(images)), 2)
        if all(np.corrcoef(images[i, c].ravel(), images[j, c].ravel())[0, 1] >= 0.9 for c in range(3))
    ]
    assert 5 < len(expected) < 40
    for block in (1, 5, 36, 1000):
        assert near_by_correlation(images, 0.9, block) == expected


def test_constant_channels():
    random = np.random.default_rng(2)
    image = random.random((3, 16, 16))
    image[1] = 0.1  # no exact float, so its variance is not quite 0
    other_value, one_constant, blank = image.copy(), image.copy(), np.full_like(image, 0.3)
    other_value[1] = 7.7
    one_constant[1] = random.random((16, 16))
    found = near_by_correlation(np.stack([image, other_value, one_constant, blank, blank + 1]))
    assert found == [(0, 1)]  # blank ones tell nothing; equal pixels find those


def test_memory_is_bounded_by_the_block():
    images = np.random.default_rng(0).integers(0, 255, (1500, 1, 32, 32), np.uint8)
    tracemalloc.start()
    near_by_correlation(images, block=64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 64 * 32 * 32 * 4  # some blocks as float32; all images would be three times that


def test_near_hashes_equal_a_loop_whatever_the_blocks():
    random = np.random.default_rng(9)
    hashes = random.integers(1, 2**63, 50, dtype=np.uint64)
    hashes = np.concatenate([hashes, hashes[:20] ^ np.uint64(0b1011), [np.uint64(0)] * 2])
    expected = [
        (i, j)
        for i, j in itertools.combinations(range(len(hashes)), 2)
        if hashes[i] and hashes[j] and int(hashes[i] ^ hashes[j]).bit_count() <= 3
    ]
    assert len(expected) >= 20
    for block in (1, 7, 500):
        assert sorted(near_by_hash(hashes, 3, block)) == expected


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_groups_are_the_connected_components(case):
    count, pairs = case
    reach = np.eye(count, dtype=bool)
    for one, other in pairs:
        reach[one, other] = reach[other, one] = True
    for _ in range(count):
        reach = reach @ reach
    assert connected_groups(count, pairs).tolist() == reach.argmax(axis=1).tolist()


def test_groups_are_transitive_across_kinds():
    bytes_, pixels = ["a", "b", "a", "c", "d"], ["1", "2", "3", "3", "4"]
    assert connected_groups(5, [*equal_pairs(bytes_), *equal_pairs(pixels)]).tolist() == [0, 1, 0, 0, 4]
    assert connected_groups(4, [(2, 3), (1, 2)]).tolist() == [0, 1, 1, 1]


def test_what_could_not_be_read_equals_nothing():
    assert equal_pairs([None, "a", None, "a"]) == [(1, 3)]


def test_thumbnail_of_float_and_nan_and_constant():
    image = np.full((20, 30, 3), np.nan, np.float32)
    image[..., 1] = 5
    image[:10, :, 2] = 1e-3
    small = thumbnail(image)
    assert small.shape == (3, 64, 64)
    assert not small[:2].any()
    assert (small[2].min(), small[2].max()) == (0, 255)
