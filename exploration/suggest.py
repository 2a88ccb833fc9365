"""Which images to annotate next: the uncertain ones that stand for many."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

SIDE = 16  # of the thumbnail that describes an image where no features are given


def uncertainty(
    predictions: Sequence[dict[str, np.ndarray]], output: str | None = None, known: np.ndarray | None = None
) -> float:
    """How much models disagree about an image: the variance of their probabilities, averaged over its pixels.

    Args:
        predictions: of each model: output name -> probabilities, maps `(C, H, W)` (or `(C, D, H, W)`) or image-level
            `(C,)`.
        output: the output that counts. None takes all maps, or all image-level outputs where there is no map; their
            mean.
        known: bool `(H, W)` (or `(D, H, W)`), where the image holds data: the pixels of maps that count; all of them.

    Raises:
        ValueError: fewer than two models, an output that is missing, or outputs of different shapes.
    """
    if len(predictions) < 2:
        raise ValueError(f"{len(predictions)} predictions of an image; disagreement needs two models or more")
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
        for prediction in predictions:  # around the first one, so that nothing is lost where all agree
            difference = prediction[name].astype(np.float64) - first[name]
            total += difference
            squares += difference**2
        variance = squares / len(predictions) - (total / len(predictions)) ** 2
        if known is not None and variance.shape[1:] == known.shape:
            variance = variance[:, known] if known.any() else np.zeros(1)
        variances.append(float(np.maximum(variance, 0).mean()))
    return float(np.mean(variances))


def describe(image: np.ndarray) -> np.ndarray:
    """A descriptor of an image `(H, W, C)`: its 16 x 16 thumbnail, all channels after each other, float32.

    It tells kinds of images apart (stain, brightness, layout). Features of a network do so better: give those.
    A volume `(D, H, W, C)` is described by its middle slice.
    """
    image = image[len(image) // 2] if image.ndim == 4 else image
    planes = [
        cv2.resize(np.nan_to_num(plane).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        for plane in np.moveaxis(image, -1, 0)
    ]
    return np.stack(planes).ravel()


def centred(descriptors: np.ndarray) -> np.ndarray:
    """Descriptors `(N, D)` without their mean: thumbnails are all positive, and would all look alike to a cosine."""
    return descriptors - descriptors.mean(axis=0, dtype=np.float64)


def similarity(chosen: np.ndarray, every: np.ndarray) -> np.ndarray:
    """Cosine similarity `(n, N)` of descriptors `(n, D)` and `(N, D)`; negative ones are 0: opposites cover nothing."""
    rows, columns = (part.astype(np.float64) for part in (chosen, every))
    for part in (rows, columns):
        length = np.linalg.norm(part, axis=1, keepdims=True)
        part /= np.where(length > 0, length, 1)
    return np.clip(rows @ columns.T, 0, 1)


def coverage(similarities: np.ndarray, picked: Sequence[int]) -> float:
    """How well the picked rows stand for all columns: the sum over the columns of the best similarity."""
    return float(similarities[list(picked)].max(axis=0).sum()) if len(picked) else 0.0


def greedy_cover(similarities: np.ndarray, count: int) -> tuple[list[int], list[float]]:
    """Rows that cover the columns best, one after the other: each time the one that adds most.

    The objective is submodular, so this reaches at least 1 - 1/e of the best possible (Nemhauser 1978).

    Args:
        similarities: `(n, N)` in 0..1.
        count: rows to pick; fewer where there are fewer.

    Returns:
        The picked rows in order, and what each added to `coverage`.
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
    """Suggestive annotation (Yang et al., MICCAI 2017): of the most uncertain images those that stand for the others.

    Args:
        uncertainties: of every image that has no truth yet, `(N,)`.
        descriptors: of the same images, `(N, D)`.
        n_uncertain: candidates: so many most uncertain images (K of the paper, 16).
        n_pick: images to annotate (k of the paper, 8).

    Returns:
        Indices in the order of picking, and what each added to the cover.
    """
    if not 1 <= n_pick <= n_uncertain:
        raise ValueError(f"n_pick is {n_pick} and n_uncertain {n_uncertain}, expected 1 <= n_pick <= n_uncertain")
    if len(uncertainties) != len(descriptors):
        raise ValueError(f"{len(uncertainties)} uncertainties, but {len(descriptors)} descriptors")
    candidates = np.argsort(-np.asarray(uncertainties), kind="stable")[:n_uncertain]
    picked, gains = greedy_cover(similarity(descriptors[candidates], descriptors), n_pick)
    return candidates[picked].tolist(), gains


def read_descriptors(path: Path | str, image_ids: Sequence[str]) -> np.ndarray:
    """Descriptors `(N, D)` of images from an `.npz` with `image_id` `(M,)` and `descriptor` `(M, D)`.

    Raises:
        FileNotFoundError, ValueError: no such file, arrays missing, or images without a descriptor.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no descriptors {path}")
    with np.load(path, allow_pickle=False) as content:
        lacking = {"image_id", "descriptor"} - set(content.files)
        if lacking:
            raise ValueError(
                f"{path} lacks {sorted(lacking)}; it has {content.files}, expected image_id and descriptor"
            )
        ids, values = content["image_id"].astype(str), content["descriptor"]
    if values.ndim != 2 or len(values) != len(ids):
        raise ValueError(f"{path}: descriptor is {values.shape} for {len(ids)} ids, expected (N, D)")
    place = {image_id: index for index, image_id in enumerate(ids.tolist())}
    missing = [image_id for image_id in image_ids if image_id not in place]
    if missing:
        raise ValueError(f"{path} has no descriptor of {len(missing)} images; the first is {missing[0]!r}")
    chosen = values[[place[image_id] for image_id in image_ids]]
    if not np.isfinite(chosen).all():
        raise ValueError(f"{path}: descriptor holds values that are not finite")
    return chosen
