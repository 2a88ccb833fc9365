"""Overlaps of the objects of two instance maps; among tens of thousands of objects few pairs share pixels."""

from typing import NamedTuple

import numpy as np

from masks.ids import consecutive

MAX_CELLS = 1 << 22  # of the joint histogram; above, pairs are sorted


class Overlaps(NamedTuple):
    """Pairs of a true and a predicted object that share pixels.

    Attributes:
        true: `(P,)` index of the true object, from 0 in order of ids.
        predicted: `(P,)` index of the predicted object.
        iou: `(P,)` float64, above 0.
        true_areas: `(T,)` pixels of every true object.
        predicted_areas: `(N,)` pixels of every predicted object.
    """

    true: np.ndarray
    predicted: np.ndarray
    iou: np.ndarray
    true_areas: np.ndarray
    predicted_areas: np.ndarray

    def best_of_true(self) -> np.ndarray:
        """Highest IoU of each true object with any predicted one, `(T,)`; 0 without overlap."""
        best = np.zeros(len(self.true_areas))
        np.maximum.at(best, self.true, self.iou)
        return best

    def best_of_predicted(self) -> np.ndarray:
        """Highest IoU of each predicted object with any true one, `(N,)`; 0 without overlap."""
        best = np.zeros(len(self.predicted_areas))
        np.maximum.at(best, self.predicted, self.iou)
        return best


def object_overlaps(predicted: np.ndarray, true: np.ndarray) -> Overlaps:
    """Overlapping objects of two instance maps `(H, W)`; ids need not be consecutive, 0 is background."""
    if predicted.shape != true.shape:
        raise ValueError(f"predicted instances are {predicted.shape}, expected {true.shape} as the true instances")
    (found, found_ids), (real, real_ids) = consecutive(predicted), consecutive(true)
    rows, columns = len(real_ids) + 1, len(found_ids) + 1
    if rows * columns <= MAX_CELLS:
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
