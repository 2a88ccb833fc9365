"""Groups of duplicate and near-duplicate images."""

from collections.abc import Sequence

import cv2
import numpy as np

from preprocessing.hashes import hamming

Pair = tuple[int, int]


def connected_groups(count: int, pairs: Sequence[Pair] | np.ndarray) -> np.ndarray:
    """Group items that are connected by pairs, directly or through other items.

    Args:
        count: number of items.
        pairs: pairs of indices of connected items, or an array `(P, 2)`.

    Returns:
        `(count,)` int64: for each item the smallest index in its group; a single item has its own index.
    """
    one, other = np.array(pairs, np.int64).reshape(-1, 2).T
    if not len(one):
        return np.arange(count)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(one), np.int8), (one, other)), (count, count))
    number = connected_components(graph, directed=False)[1]
    first = np.unique(number, return_index=True)[1]
    return first[number]


def equal_pairs(hashes: Sequence[str | None]) -> list[Pair]:
    """Return pairs (first, later) of items with equal hashes of bytes or pixels; None (unreadable) equals nothing."""
    first: dict[str, int] = {}
    pairs = []
    for index, value in enumerate(hashes):
        if value is not None and first.setdefault(value, index) != index:
            pairs.append((first[value], index))
    return pairs


def near_by_hash(hashes: np.ndarray, distance: int = 6, block: int = 2048) -> list[Pair]:
    """Find pairs of images whose perceptual hashes differ in few bits.

    Args:
        hashes: `(N,)` uint64 of `perceptual_hash`, or `(N, 8)` of `dihedral_hashes` to include rotated and flipped
            duplicates. Hash 0 (an image without structure) matches nothing.
        distance: maximum number of differing bits, of 64. Unrelated images differ in 32 bits on average; at 6, one in
            10^11 unrelated pairs matches.
        block: number of images compared with all others at once; memory is `block * N` bytes.

    Returns:
        `(i, j)` with i < j.
    """
    hashes = np.asarray(hashes, np.uint64)
    variants = hashes[:, None] if hashes.ndim == 1 else hashes
    upright, pairs = variants[:, 0], []
    for start in range(0, len(upright), block):
        part = upright[start : start + block]
        near = np.zeros((len(part), len(upright) - start), bool)
        for variant in variants.T:
            near |= hamming(part[:, None], variant[None, start:]) <= distance
        near &= (part != 0)[:, None] & (upright[start:] != 0)[None]
        ones, others = np.nonzero(near)
        later = others > ones
        pairs += zip((ones[later] + start).tolist(), (others[later] + start).tolist(), strict=True)
    return pairs


def thumbnail(image: np.ndarray, side: int = 64) -> np.ndarray:
    """Return a thumbnail `(C, side, side)` uint8 of an image `(H, W, C)`, each channel scaled to its range of values.

    For `near_by_correlation`, which ignores brightness and contrast. 16-bit and float channels keep their relevant
    levels, and 30,000 images of 4 channels take half a gigabyte. A constant channel is 0.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image is {image.shape}, expected (H, W, C)")
    planes = []
    for plane in np.moveaxis(image, -1, 0):
        small = cv2.resize(np.nan_to_num(plane).astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        low, high = float(small.min()), float(small.max())
        flat = high - low <= 1e-6 * max(1.0, abs(low), abs(high))
        planes.append(np.zeros_like(small) if flat else (small - low) * (255 / (high - low)))
    return np.round(np.stack(planes)).astype(np.uint8)


def near_by_correlation(thumbnails: np.ndarray, threshold: float = 0.95, block: int = 1024) -> list[Pair]:
    """Find pairs of images that correlate in EVERY channel (Human Protein Atlas 2018, 7th place: R, G, B and Y).

    Channels are compared separately because two fields of a slide may share all stains but one, which is the label.
    A channel that is constant in both images matches; one that is constant in only one of them does not. Images
    without structure in any channel match nothing.

    Args:
        thumbnails: `(N, C, h, w)` of any numeric type, may be memory-mapped; see `thumbnail`.
        threshold: minimum correlation of each channel; 0.95 finds noisy and JPEG duplicates but not neighbouring
            fields.
        block: number of images in memory at once, twice, as float32; pairs of blocks are multiplied.

    Returns:
        `(i, j)` with i < j.
    """
    if thumbnails.ndim != 4:
        raise ValueError(f"thumbnails are {thumbnails.shape}, expected (N, C, h, w)")
    pairs: list[Pair] = []
    for start in range(0, len(thumbnails), block):
        ones, ones_flat = _standardised(thumbnails[start : start + block])
        for other in range(start, len(thumbnails), block):
            same = other == start
            others, others_flat = (ones, ones_flat) if same else _standardised(thumbnails[other : other + block])
            rows, columns = _agreeing(ones, ones_flat, others, others_flat, threshold)
            kept = rows < columns if same else slice(None)
            pairs += zip((rows[kept] + start).tolist(), (columns[kept] + other).tolist(), strict=True)
    return sorted(pairs)


def _standardised(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return channels `(n, C, h * w)` float32 with mean 0 and norm 1, and which of them are constant `(n, C)`."""
    flat = np.asarray(part).reshape(*part.shape[:2], -1).astype(np.float32)
    largest = np.abs(flat).max(axis=2)
    flat -= flat.mean(axis=2, keepdims=True)
    length = np.linalg.norm(flat, axis=2)
    constant = length <= 1e-5 * np.maximum(largest, 1e-20) * np.sqrt(flat.shape[2])
    flat /= np.where(constant, 1, length)[..., None]
    flat[constant] = 0
    return flat, constant


def _agreeing(
    ones: np.ndarray, ones_flat: np.ndarray, others: np.ndarray, others_flat: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the pairs that match in every channel."""
    # The first channel as one matrix product; the others only for the few pairs that match in it.
    near = ones[:, 0] @ others[:, 0].T >= threshold
    near |= ones_flat[:, 0][:, None] & others_flat[:, 0][None]
    near &= (~ones_flat).any(axis=1)[:, None]
    rows, columns = np.nonzero(near)
    for channel in range(1, ones.shape[1]):
        agree = np.zeros(len(rows), bool)
        for cut in range(0, len(rows), 4096):
            i, j = rows[cut : cut + 4096], columns[cut : cut + 4096]
            correlation = np.einsum("np,np->n", ones[i, channel], others[j, channel])
            agree[cut : cut + 4096] = (correlation >= threshold) | (ones_flat[i, channel] & others_flat[j, channel])
        rows, columns = rows[agree], columns[agree]
    return rows, columns
