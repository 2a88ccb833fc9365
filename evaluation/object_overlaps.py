"""Which objects of two label images share pixels; of tens of thousands of each there are few such pairs."""

from typing import NamedTuple

import numpy as np

from masks.ids import consecutive

MOST = 1 << 22  # cells of a joint histogram; above, pairs are sorted


class Overlaps(NamedTuple):
    """Pairs of a true and a predicted object that have pixels in common.

    Attributes:
        true: `(P,)` index of the true object, from 0 by rising id.
        predicted: `(P,)` index of the predicted one.
        iou: `(P,)` float64, above 0.
        true_areas: `(T,)` of all true objects.
        predicted_areas: `(N,)` of all predicted ones.
    """

    true: np.ndarray
    predicted: np.ndarray
    iou: np.ndarray
    true_areas: np.ndarray
    predicted_areas: np.ndarray

    def best_of_true(self) -> np.ndarray:
        """Highest IoU of each true object with any predicted one, `(T,)`; 0 without any."""
        best = np.zeros(len(self.true_areas))
        np.maximum.at(best, self.true, self.iou)
        return best

    def best_of_predicted(self) -> np.ndarray:
        """Highest IoU of each predicted object with any true one, `(N,)`; 0 without any."""
        best = np.zeros(len(self.predicted_areas))
        np.maximum.at(best, self.predicted, self.iou)
        return best


def object_overlaps(predicted: np.ndarray, true: np.ndarray) -> Overlaps:
    """The pairs of objects of two label images `(H, W)`; ids need not be consecutive, 0 is background."""
    if predicted.shape != true.shape:
        raise ValueError(f"predicted instances are {predicted.shape}, true ones {true.shape}")
    (found, found_ids), (real, real_ids) = consecutive(predicted), consecutive(true)
    rows, columns = len(real_ids) + 1, len(found_ids) + 1
    if rows * columns <= MOST:
        places = real.astype(np.intp).ravel()
        places *= columns
        places += found.ravel()
        joint = np.bincount(places, minlength=rows * columns).reshape(rows, columns)
        areas = joint.sum(1)[1:], joint.sum(0)[1:]
        pairs = np.nonzero(joint[1:, 1:])
        shared = joint[1:, 1:][pairs]
    else:
        both = (real > 0) & (found > 0)
        places, shared = np.unique(real[both].astype(np.int64) * columns + found[both], return_counts=True)
        pairs = places // columns - 1, places % columns - 1
        areas = np.bincount(real.ravel(), minlength=rows)[1:], np.bincount(found.ravel(), minlength=columns)[1:]
    (true_places, predicted_places), (true_areas, predicted_areas) = pairs, areas
    union = true_areas[true_places] + predicted_areas[predicted_places] - shared
    return Overlaps(true_places, predicted_places, shared / union, true_areas, predicted_areas)
