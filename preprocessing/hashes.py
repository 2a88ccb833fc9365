"""Hashes of images: of the file, of the decoded pixels, and perceptual."""

import hashlib
from pathlib import Path

import cv2
import numpy as np

SIDE, BITS = 32, 8


def bytes_hash(path: Path | str) -> str:
    """Return the MD5 of a file, to find byte-for-byte duplicates (Cdiscount: equal bytes are the same product).

    A file that was saved again differs. Not meant for security.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def pixel_hash(image: np.ndarray) -> str:
    """Return a hash of shape, type and decoded pixels; equal for duplicates that were saved again without loss."""
    digest = hashlib.sha256(f"{image.shape} {image.dtype}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()[:32]


def perceptual_hash(image: np.ndarray) -> np.uint64:
    """Return a 64-bit hash that is robust to scaling, lossy compression, brightness and contrast; see `hamming`.

    The DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010): gray, 32 x 32,
    the 8 x 8 lowest frequencies without the constant row and column, one bit each for "above the median". An image
    without structure has hash 0, which matches nothing.

    Args:
        image: `(H, W)` or `(H, W, C)` of any numeric type; channels are averaged, NaN is 0.
    """
    return _bits(_small_gray(image))


def dihedral_hashes(image: np.ndarray) -> np.ndarray:
    """Return the perceptual hashes `(8,)` uint64 of the 8 rotations and flips of an image, the original first."""
    gray = _small_gray(image)
    turns = [np.rot90(side, turn) for side in (gray, gray[:, ::-1]) for turn in range(4)]
    return np.array([_bits(turn) for turn in turns], np.uint64)


def hamming(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the number of differing bits, 0..64, of hashes; `hamming(a[:, None], b[None])` is `(N, M)` uint8."""
    return np.bitwise_count(np.bitwise_xor(np.asarray(one, np.uint64), np.asarray(other, np.uint64)))


def _small_gray(image: np.ndarray) -> np.ndarray:
    """`(32, 32)` float32 mean of the channels."""
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"image is {image.shape}, expected (H, W) or (H, W, C)")
    gray = np.nan_to_num(image if image.ndim == 2 else image.mean(axis=2, dtype=np.float32)).astype(np.float32)
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _bits(gray: np.ndarray) -> np.uint64:
    spread = float(gray.max() - gray.min())
    if spread <= 1e-6 * max(1.0, float(np.abs(gray).max())):
        return np.uint64(0)
    lowest = cv2.dct(np.ascontiguousarray((gray - gray.mean()) / spread))[1 : BITS + 1, 1 : BITS + 1]
    return np.packbits(lowest.ravel() > np.median(lowest)).view(">u8")[0].astype(np.uint64)
