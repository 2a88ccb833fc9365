"""Groups of pictures that are the same, or nearly."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from preprocessing.hashes import hamming

Pair = tuple[int, int]


def connected_groups(count: int, pairs: Iterable[Pair] | np.ndarray) -> np.ndarray:
    """Group of each of `count` items such that both items of every pair share it, also through others.

    Args:
        count: number of items.
        pairs: indices of two items that belong together; an array `(P, 2)` is taken as it is.

    Returns:
        `(count,)` int64: the smallest index of the item's group; an item alone has its own.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other = np.array(pairs if isinstance(pairs, np.ndarray) else list(pairs), np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), (count, count))
    number = connected_components(graph, directed=False)[1]
    first = np.unique(number, return_index=True)[1]
    return first[number]


def equal_pairs(hashes: Sequence[str | None]) -> list[Pair]:
    """Pairs (first, later) of items with one hash: of bytes or of pixels. None equals nothing: it could not be read."""
    first: dict[str, int] = {}
    pairs = []
    for index, value in enumerate(hashes):
        if value is not None and first.setdefault(value, index) != index:
            pairs.append((first[value], index))
    return pairs


def near_by_hash(hashes: np.ndarray, distance: int = 6, block: int = 2048) -> list[Pair]:
    """Pairs of pictures whose perceptual hashes differ in few bits.

    Args:
        hashes: `(N,)` uint64 of `perceptual_hash`, or `(N, 8)` of `dihedral_hashes` to find turned and mirrored copies
            as well. Hash 0 (a picture without structure) is near nothing.
        distance: most bits that may differ, of 64. Unrelated pictures differ in 32 on average; at 6 chance alone joins
            one pair in 10^11.
        block: pictures compared with all others at once; bounds the memory to `block * N` bytes.

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
    """`(C, side, side)` uint8 of an image `(H, W, C)`: each channel from its smallest to its largest value.

    Made for `near_by_correlation`, to which brightness and contrast are nothing: 16-bit and float channels keep the
    levels that matter, and 30,000 images of 4 channels fit into half a gigabyte. A constant channel is 0.
    """
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"an image is (H, W, C), found {image.shape}")
    planes = []
    for plane in np.moveaxis(image, -1, 0):
        small = cv2.resize(np.nan_to_num(plane).astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        low, high = float(small.min()), float(small.max())
        flat = high - low <= 1e-6 * max(1.0, abs(low), abs(high))
        planes.append(np.zeros_like(small) if flat else (small - low) * (255 / (high - low)))
    return np.round(np.stack(planes)).astype(np.uint8)


def near_by_correlation(thumbnails: np.ndarray, threshold: float = 0.95, block: int = 1024) -> list[Pair]:
    """Pairs of images that correlate in EVERY channel (Human Protein Atlas 2018, 7th place: each of R, G, B, Y).

    Channels are compared apart because two fields of a slide may share all stains but one, and that one is the label.
    A channel that is constant in both images agrees, one that is constant in a single one does not; images in which
    no channel has structure are near nothing.

    Args:
        thumbnails: `(N, C, h, w)` of any number type, also memory-mapped; see `thumbnail`.
        threshold: least correlation of each channel; 0.95 finds noisy and JPEG copies and leaves neighbours apart.
        block: images in memory at once, as float32, twice; pairs of blocks are multiplied.

    Returns:
        `(i, j)` with i < j.
    """
    if thumbnails.ndim != 4:
        raise ValueError(f"thumbnails are (N, C, h, w), found {thumbnails.shape}")
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
    """Channels `(n, C, h * w)` float32 with mean 0 and length 1, and which of them are constant `(n, C)`."""
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
    """Row and column of the pairs that agree in every channel."""
    # The first channel as one matrix product; the others only where it agreed, which is seldom.
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
