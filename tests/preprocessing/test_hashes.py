"""Fingerprints see what they should and nothing else."""

import hashlib

import cv2
import numpy as np
import pytest
from PIL import Image

from preprocessing.hashes import bytes_hash, dihedral_hashes, hamming, perceptual_hash, pixel_hash


@pytest.fixture
def picture() -> np.ndarray:
    noise = np.random.default_rng(3).standard_normal((120, 160, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 8)
    return np.clip(smooth / smooth.std() * 40 + 120, 0, 255).astype(np.uint8)


def test_bytes_hash_is_md5_also_of_files_larger_than_a_chunk(tmp_path):
    content = np.random.default_rng(0).bytes((1 << 20) + 17)
    (tmp_path / "a").write_bytes(content)
    assert bytes_hash(tmp_path / "a") == hashlib.md5(content).hexdigest()


def test_a_file_saved_again_has_other_bytes_and_equal_pixels(picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "a.png", compress_level=1)
    Image.fromarray(picture).save(tmp_path / "b.png", compress_level=9)
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    a, b, c = (tmp_path / f"{name}.png" for name in "abc")
    assert bytes_hash(a) == bytes_hash(c) != bytes_hash(b)
    assert pixel_hash(np.asarray(Image.open(a))) == pixel_hash(np.asarray(Image.open(b)))


def test_pixel_hash_sees_shape_type_and_a_single_level(picture):
    other = picture.copy()
    other[5, 5, 1] ^= 1
    hashes = {pixel_hash(p) for p in (picture, other, picture.reshape(160, 120, 3), picture.astype(np.uint16))}
    assert len(hashes) == 4


def test_perceptual_hash_survives_what_people_do_to_pictures(picture):
    known = perceptual_hash(picture)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    changed = [
        jpeg,
        cv2.resize(picture, (90, 70), interpolation=cv2.INTER_AREA),
        picture // 2 + 60,
        picture.astype(np.uint16) * 257,
        picture.astype(np.float64) / 255,
        picture.mean(axis=2),
    ]
    assert max(int(hamming(known, perceptual_hash(other))) for other in changed) <= 6


def test_unrelated_pictures_are_far_apart():
    random = np.random.default_rng(1)
    hashes = [perceptual_hash(cv2.GaussianBlur(random.standard_normal((64, 64)), (0, 0), 4)) for _ in range(60)]
    distances = hamming(np.array(hashes)[:, None], np.array(hashes)[None])[np.triu_indices(60, 1)]
    assert 28 < distances.mean() < 36
    assert distances.min() > 6


def test_dihedral_hashes_are_those_of_the_turned_pictures(picture):
    square = picture[:120, :120]
    turned = [np.rot90(side, turn) for side in (square, square[:, ::-1]) for turn in range(4)]
    expected = np.array([perceptual_hash(np.ascontiguousarray(turn)) for turn in turned])
    found = dihedral_hashes(square)
    assert found[0] == perceptual_hash(square)
    assert hamming(found, expected).max() <= 2  # a median near two coefficients may round differently
    assert len(set(found.tolist())) == 8


def test_a_picture_without_structure_has_hash_0():
    assert perceptual_hash(np.full((40, 50), 17, np.uint8)) == 0
    assert perceptual_hash(np.full((40, 50, 4), np.nan)) == 0


def test_hamming_counts_bits():
    assert hamming(np.uint64(0), np.uint64(2**64 - 1)) == 64
    assert hamming(np.array([[1], [7]], np.uint64), np.array([1, 0], np.uint64)).tolist() == [[0, 1], [2, 3]]


def test_no_picture_is_an_error():
    with pytest.raises(ValueError, match=r"\(0, 4\)"):
        perceptual_hash(np.zeros((0, 4)))
