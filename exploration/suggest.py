"""Selection of images to annotate next: uncertain and representative ones."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

SIDE = 16  # side of the thumbnail that describes an image without features


def uncertainty(
    predictions: Sequence[dict[str, np.ndarray]], output: str | None = None, known: np.ndarray | None = None
) -> float:
    """Return the disagreement of models about an image: the variance of their probabilities, averaged over pixels.

    Args:
        predictions: for each model, output name -> probabilities: maps `(C, H, W)` (or `(C, D, H, W)`) or image-level
            `(C,)`.
        output: name of the output (default: mean over all maps, or over all image-level outputs if there is no map).
        known: bool mask of pixels with data, `(H, W)` or `(D, H, W)` (default: all pixels).

    Raises:
        ValueError: if there are fewer than two models, an output is missing, or the shapes of an output differ.
    """
    if len(predictions) < 2:
        raise ValueError(f"image has {len(predictions)} predictions, expected two or more to measure disagreement")
    first = predictions[0]
    if output is not None:
        names = [output]
    else:
        names = [name for name, array in first.items() if array.ndim >= 3]
        names = names or [name for name, array in first.items() if array.ndim <= 1]
    if not names or names[0] not in first:
        raise ValueError(f"no output {output or 'with probabilities'} among {sorted(first)}")
    variances = []
    for name in names:
        shapes = {prediction[name].shape if name in prediction else None for prediction in predictions}
        if len(shapes) > 1:
            raise ValueError(f"output {name!r} has the shapes {sorted(map(str, shapes))} in different models")
        total, squares = np.zeros(first[name].shape), np.zeros(first[name].shape)
        for prediction in predictions:  # relative to the first one, for precision where all agree
            difference = prediction[name].astype(np.float64) - first[name]
            total += difference
            squares += difference**2
        variance = squares / len(predictions) - (total / len(predictions)) ** 2
        if known is not None and variance.shape[1:] == known.shape:
            variance = variance[:, known] if known.any() else np.zeros(1)
        variances.append(float(np.maximum(variance, 0).mean()))
    return float(np.mean(variances))


def describe(image: np.ndarray) -> np.ndarray:
    """Return a descriptor of an image `(H, W, C)`: its flattened 16 x 16 thumbnail, float32.

    It separates types of images (stain, brightness, layout). Features of a network do this better, if available.
    For a volume `(D, H, W, C)`, the middle slice is used.
    """
    image = image[len(image) // 2] if image.ndim == 4 else image
    planes = [
        cv2.resize(np.nan_to_num(plane).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        for plane in np.moveaxis(image, -1, 0)
    ]
    return np.stack(planes).ravel()


def centred(descriptors: np.ndarray) -> np.ndarray:
    """Subtract the mean of descriptors `(N, D)`: cosine similarities of positive thumbnails are all close to 1."""
    return descriptors - descriptors.mean(axis=0, dtype=np.float64)


def similarity(chosen: np.ndarray, every: np.ndarray) -> np.ndarray:
    """Return the cosine similarity `(n, N)` of descriptors `(n, D)` and `(N, D)`; negative values are set to 0."""
    rows, columns = (part.astype(np.float64) for part in (chosen, every))
    for part in (rows, columns):
        length = np.linalg.norm(part, axis=1, keepdims=True)
        part /= np.where(length > 0, length, 1)
    return np.clip(rows @ columns.T, 0, 1)


def coverage(similarities: np.ndarray, picked: Sequence[int]) -> float:
    """Return how well the picked rows represent all columns: the sum over columns of the maximum similarity."""
    return float(similarities[list(picked)].max(axis=0).sum()) if len(picked) else 0.0


def greedy_cover(similarities: np.ndarray, count: int) -> tuple[list[int], list[float]]:
    """Pick rows that cover the columns best, greedily: each time the row that adds most.

    The objective is submodular, so this reaches at least 1 - 1/e of the optimum (Nemhauser 1978).

    Args:
        similarities: `(n, N)` in 0..1.
        count: number of rows to pick, at most n.

    Returns:
        The picked rows in order, and the gain in `coverage` of each.
    """
    covered = np.zeros(similarities.shape[1])
    picked: list[int] = []
    gains: list[float] = []
    for _ in range(min(count, len(similarities))):
        added = np.maximum(similarities - covered, 0).sum(axis=1)
        added[picked] = -1
        best = int(added.argmax())
        picked.append(best)
        gains.append(float(added[best]))
        covered = np.maximum(covered, similarities[best])
    return picked, gains


def suggest(
    uncertainties: np.ndarray, descriptors: np.ndarray, n_uncertain: int = 16, n_pick: int = 8
) -> tuple[list[int], list[float]]:
    """Suggestive annotation (Yang et al., MICCAI 2017): pick the most representative of the most uncertain images.

    Args:
        uncertainties: uncertainty of every unlabelled image, `(N,)`.
        descriptors: descriptors of the same images, `(N, D)`.
        n_uncertain: number of candidates, the most uncertain images (K in the paper; default: 16).
        n_pick: number of images to annotate (k in the paper; default: 8).

    Returns:
        Indices in the order of picking, and the gain in coverage of each.
    """
    if not 1 <= n_pick <= n_uncertain:
        raise ValueError(f"n_pick is {n_pick} and n_uncertain {n_uncertain}, expected 1 <= n_pick <= n_uncertain")
    if len(uncertainties) != len(descriptors):
        raise ValueError(
            f"{len(uncertainties)} uncertainties and {len(descriptors)} descriptors, expected equal numbers"
        )
    candidates = np.argsort(-np.asarray(uncertainties), kind="stable")[:n_uncertain]
    picked, gains = greedy_cover(similarity(descriptors[candidates], descriptors), n_pick)
    return candidates[picked].tolist(), gains


def read_descriptors(path: Path | str, image_ids: Sequence[str]) -> np.ndarray:
    """Read descriptors `(N, D)` of images from an `.npz` with `image_id` `(M,)` and `descriptor` `(M, D)`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if arrays are missing or invalid, or an image has no descriptor.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"file of descriptors {path} does not exist")
    with np.load(path, allow_pickle=False) as content:
        if not {"image_id", "descriptor"} <= set(content.files):
            raise ValueError(f"{path} contains arrays {content.files}, expected image_id and descriptor")
        ids, values = content["image_id"].astype(str), content["descriptor"]
    if values.ndim != 2 or len(values) != len(ids):
        raise ValueError(f"{path}: descriptor is {values.shape} for {len(ids)} ids, expected (N, D)")
    place = {image_id: index for index, image_id in enumerate(ids.tolist())}
    missing = [image_id for image_id in image_ids if image_id not in place]
    if missing:
        raise ValueError(f"{path} has no descriptor of {len(missing)} images; the first is {missing[0]!r}")
    chosen = values[[place[image_id] for image_id in image_ids]]
    if not np.isfinite(chosen).all():
        raise ValueError(f"{path}: descriptor contains NaN or infinity, expected finite values")
    return chosen
