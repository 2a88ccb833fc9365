"""Retrieval metrics: are the nearest embeddings of the same class?"""

import numpy as np

from evaluation.metrics.base import Arrays, CompetitionMetric, require_array

BLOCK = 512  # queries compared at a time


class _Retrieval(CompetitionMetric):
    """Base class: a row has the embedding and the class; every image queries all others by cosine similarity."""

    def __init__(self, output: str, target: str) -> None:
        super().__init__()
        self.output, self.target = output, target

    def image(self, prediction: Arrays, targets: Arrays) -> np.ndarray:
        embedding = np.asarray(require_array(prediction, self.output, "prediction"))
        label = np.asarray(require_array(targets, self.target, "target"))
        if embedding.ndim != 1 or embedding.dtype.kind != "f":
            raise ValueError(
                f"prediction {self.output!r} is {embedding.dtype} {embedding.shape}, expected an embedding (D,)"
            )
        if label.size != 1:
            raise ValueError(f"target {self.target!r} is {label.shape}, expected a class number ()")
        return np.concatenate([embedding.astype(np.float64), [float(label.reshape(-1)[0])]])

    def reduce(self, rows: np.ndarray) -> float:
        embeddings, labels = rows[:, :-1], rows[:, -1]
        embeddings = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(1e-12)
        scores = []
        for start in range(0, len(rows), BLOCK):
            near = embeddings[start : start + BLOCK] @ embeddings.T
            queries = np.arange(start, start + len(near))
            near[np.arange(len(near)), queries] = -np.inf  # an image does not find itself
            order = np.argsort(-near, axis=1, kind="stable")[:, :-1]
            right = labels[order] == labels[queries, None]
            scores.append(self.scored(right[right.any(1)]))  # skip classes of a single image
        found = np.concatenate(scores)
        return float(found.mean()) if len(found) else float("nan")

    def scored(self, right: np.ndarray) -> np.ndarray:
        """Score of each query; `right` is bool `(Q, N − 1)`: neighbours of its class, nearest first."""
        raise NotImplementedError

    def image_score(self, row: np.ndarray) -> float:
        """nan: undefined for a single embedding."""
        return float("nan")


class RetrievalRecall(_Retrieval):
    """Share of images with an image of their class among their k nearest (Recall@k of metric learning).

    Images whose class has no other image are excluded.

    Args:
        k: number of neighbours (default: 1).
        output: name of the embedding `(D,)` in the prediction.
        target: name of the class number in the target.

    Example:
        >>> import numpy as np
        >>> from evaluation import RetrievalRecall
        >>> metric = RetrievalRecall()
        >>> embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.2]])
        >>> rows = [metric.image({"embedding": x}, {"label": np.array(y)}) for x, y in zip(embeddings, (0, 0, 1, 1))]
        >>> round(metric.reduce(np.stack(rows)), 3)  # of the last image the nearest is of another class
        0.75
    """

    def __init__(self, k: int = 1, output: str = "embedding", target: str = "label") -> None:
        super().__init__(output, target)
        if k < 1:
            raise ValueError(f"RetrievalRecall: k is {k}, expected 1 or more")
        self.k = k

    def scored(self, right: np.ndarray) -> np.ndarray:
        return np.asarray(right[:, : self.k].any(1), np.float64)


class RetrievalMeanAveragePrecision(_Retrieval):
    """Mean over images of the average precision of the ranking of all others (mAP of retrieval).

    Args:
        k: number of neighbours to rank; precisions are divided by min(k, number of relevant images) (default: all).
        output: name of the embedding `(D,)` in the prediction.
        target: name of the class number in the target.

    Example:
        >>> import numpy as np
        >>> from evaluation import RetrievalMeanAveragePrecision
        >>> metric = RetrievalMeanAveragePrecision()
        >>> embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.2]])
        >>> rows = [metric.image({"embedding": x}, {"label": np.array(y)}) for x, y in zip(embeddings, (0, 0, 1, 1))]
        >>> round(metric.reduce(np.stack(rows)), 3)  # the mean of 1, 1, 1 and 1 / 3
        0.833
    """

    def __init__(self, k: int | None = None, output: str = "embedding", target: str = "label") -> None:
        super().__init__(output, target)
        if k is not None and k < 1:
            raise ValueError(f"RetrievalMeanAveragePrecision: k is {k}, expected 1 or more")
        self.k = k

    def scored(self, right: np.ndarray) -> np.ndarray:
        there = right.sum(1)
        right = right[:, : self.k]
        precision = right.cumsum(1) / np.arange(1, right.shape[1] + 1)
        return (precision * right).sum(1) / np.minimum(there, right.shape[1])
