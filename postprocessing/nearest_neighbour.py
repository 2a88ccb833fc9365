"""Labels of the nearest training image, if it is near enough."""

from pathlib import Path

import numpy as np

from files.tables import read_csv
from postprocessing.dataset_step import DatasetContext, DatasetStep, stacked
from predictions.store import PredictionStore

CHUNK = 1024  # images compared with all training images at a time


class NearestNeighbour(DatasetStep):
    """Replace the probabilities of an image by the labels of the training image with the most similar features.

    Human Protein Atlas 2018, 1st place: features of a network trained by ArcFace to tell antibodies apart; a cosine
    above 0.65 indicates the same antibody. Out of fold, an image never takes labels from its own fold, which includes
    its own.

    Args:
        train: folder written by `python cli.py features … --split train`: `features.npy` and `ids.csv`.
        test: folder of `--split test`; None if only out-of-fold images are processed.
        threshold: cosine similarity that the nearest image must exceed (default: 0.65).
        output: name of the probabilities `(K,)`.

    Raises:
        ValueError: missing or inconsistent files, an image without features, a threshold outside -1..1.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> import pandas as pd
        >>> from postprocessing import NearestNeighbour
        >>> from postprocessing.dataset_step import DatasetContext
        >>> folder = tempfile.TemporaryDirectory()
        >>> for split, ids, features in (("train", "ab", [[1, 0], [0, 1]]), ("test", "x", [[0.1, 0.9]])):
        ...     path = Path(folder.name, split)
        ...     path.mkdir()
        ...     np.save(path / "features.npy", np.array(features, np.float32))
        ...     pd.DataFrame({"image_id": list(ids)}).to_csv(path / "ids.csv", index=False)
        >>> step = NearestNeighbour(f"{folder.name}/train", f"{folder.name}/test")
        >>> around = DatasetContext(labels=lambda: {"a": np.array([1, 0]), "b": np.array([0, 1])})
        >>> step({"x": np.array([0.5, 0.5], np.float32)}, around)["x"]  # b is nearest
        array([0., 1.], dtype=float32)
        >>> folder.cleanup()
    """

    def __init__(self, train: str, test: str | None = None, threshold: float = 0.65, output: str = "label") -> None:
        if not -1 <= threshold <= 1:
            raise ValueError(f"NearestNeighbour: threshold is {threshold}, expected a cosine in -1..1")
        self.train, self.test, self.threshold, self.output = train, test, threshold, output

    def __call__(self, probabilities: dict[str, np.ndarray], around: DatasetContext) -> dict[str, np.ndarray]:
        ids, matrix = stacked(probabilities, self)
        known_ids, known = read_features(self.train)
        place = {name: number for number, name in enumerate(known_ids)}
        if around.fold_of:
            own = known[rows_of(ids, place, self.train)]
        else:
            if self.test is None:
                raise ValueError(
                    "NearestNeighbour: test is not set; run `features --split test` and set test to its folder"
                )
            test_ids, features = read_features(self.test)
            own = features[rows_of(ids, {name: number for number, name in enumerate(test_ids)}, self.test)]
        labels, classes = around.labels(), matrix.shape[1]
        usable = np.array([name in labels for name in known_ids])
        known_folds = np.array([around.fold_of.get(name, -1) for name in known_ids])
        result = dict(zip(ids, matrix.astype(np.float32), strict=True))
        for start in range(0, len(ids), CHUNK):
            chunk = ids[start : start + CHUNK]
            cosine = own[start : start + CHUNK] @ known.T
            cosine[:, ~usable] = -np.inf
            if around.fold_of:
                folds = np.array([around.fold_of[name] for name in chunk])
                cosine[folds[:, None] == known_folds] = -np.inf
            nearest = cosine.argmax(1)
            for row, (name, index) in enumerate(zip(chunk, nearest, strict=True)):
                if cosine[row, index] > self.threshold:
                    result[name] = as_vector(labels[known_ids[index]], classes, known_ids[index])
        return result


def read_features(folder: str) -> tuple[list[str], np.ndarray]:
    """Read ids, and features `(N, F)` float32 normalised to length 1."""
    files = Path(folder) / "ids.csv", Path(folder) / "features.npy"
    if not all(file.is_file() for file in files):
        raise ValueError(
            f"NearestNeighbour: {folder} has no ids.csv and features.npy; make them with `python cli.py features`"
        )
    PredictionStore(folder).check_sources()
    ids = read_csv(files[0])["image_id"].tolist()
    features = np.load(files[1]).astype(np.float32)
    if features.ndim != 2 or len(features) != len(ids):
        raise ValueError(
            f"NearestNeighbour: features in {folder} are {features.shape}, expected ({len(ids)}, F) as in ids.csv"
        )
    return ids, features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def rows_of(ids: list[str], place: dict[str, int], folder: str) -> list[int]:
    """Rows of the given images in the features."""
    missing = [name for name in ids if name not in place]
    if missing:
        raise ValueError(f"NearestNeighbour: {folder} has no features of image {missing[0]!r}; run `features` again")
    return [place[name] for name in ids]


def as_vector(label: np.ndarray, classes: int, image_id: str) -> np.ndarray:
    """Convert a class number to flags `(K,)`; flags of 0 and 1 are unchanged."""
    label = np.asarray(label)
    if label.shape == (classes,):
        return label.astype(np.float32)
    if label.size == 1 and label.dtype.kind in "iu":
        return (np.arange(classes) == int(label.reshape(()))).astype(np.float32)
    raise ValueError(
        f"NearestNeighbour: the label of {image_id!r} has shape {label.shape}, expected ({classes},) or a class number"
    )
