"""Candidates by differences of Gaussians, and the file that lists candidates."""

import csv

import numpy as np
import pytest

from postprocessing import Blobs, Clusters
from submissions import Points, SubmissionError


def balls(*centres, sigma=3.0, shape=(40, 48, 56)):
    axes = np.indices(shape)
    found = [
        np.exp(-sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) / (2 * sigma**2)) for centre in centres
    ]
    return np.max(found, axis=0).astype(np.float32)[None]


def test_two_touching_nodules_are_two_blobs_and_one_cluster():
    prediction = {"mask": balls((20, 20, 20), (20, 20, 29), (10, 40, 45))}
    blobs = Blobs(max_sigma=6)(prediction)["candidates"]
    assert sorted(map(tuple, blobs[:, :3].astype(int))) == [(10, 40, 45), (20, 20, 20), (20, 20, 29)]
    assert len(Clusters(value=0.3)(prediction)["candidates"]) == 2
    assert blobs.shape[1] == Clusters()(prediction)["candidates"].shape[1]
    assert (np.diff(blobs[:, -1]) <= 0).all()


def test_sizes_and_places_follow_the_spacing():
    spacing = [2.0, 1.0, 1.0]
    axes = np.indices((30, 48, 48)) * np.array(spacing).reshape(3, 1, 1, 1)
    ball = np.exp(-((axes - np.array([30, 20, 25]).reshape(3, 1, 1, 1)) ** 2).sum(0) / (2 * 4.0**2)).astype(np.float32)
    for settings, more in (({"spacing": spacing}, {}), ({}, {"spacing": np.array(spacing)})):
        found = Blobs(min_sigma=2, max_sigma=8, **settings)({"mask": ball[None]} | more)["candidates"]
        assert found.shape == (1, 14)
        np.testing.assert_allclose(found[0, 6:9], [30, 20, 25], atol=1)
        volume = 4 / 3 * np.pi * (np.sqrt(2) * 4.0) ** 3 / 2
        assert 0.6 < found[0, 12] / volume < 1.6


def test_masks_are_refused():
    with pytest.raises(ValueError, match="expects probabilities"):
        Blobs()({"mask": np.zeros((1, 8, 8), bool)})


def test_the_list_reads_back(tmp_path):
    predictions = {
        "a": Blobs(max_sigma=6)({"mask": balls((20, 20, 20), (10, 40, 45)), "spacing": np.array([2.5, 0.7, 0.7])}),
        "b": Blobs()({"mask": np.zeros((1, 8, 8, 8), np.float32)}),
    }
    path = tmp_path / "points.csv"
    Points().write(predictions.items(), path)
    rows = list(csv.reader(open(path)))
    assert rows[0] == ["seriesuid", "coordX", "coordY", "coordZ", "probability"]
    found = Points().read(path, dict.fromkeys("ab", (8, 8)))
    np.testing.assert_allclose(found["a"]["candidates"][:, 6:9], predictions["a"]["candidates"][:, 6:9], atol=1e-3)
    assert {row[0] for row in rows[1:]} == {"a"}
    assert found["b"]["candidates"].shape == (0, 14)  # predicted, without a row
    (tmp_path / "sample.csv").write_text("seriesuid,coordX,coordY,coordZ,probability\nb,0,0,0,0\na,0,0,0,0\n")
    Points().write(predictions.items(), path, tmp_path / "sample.csv")
    with pytest.raises(SubmissionError, match=r"1 ids without a prediction \['b'\]"):
        Points().write([("a", predictions["a"])], path, tmp_path / "sample.csv")
    path.write_text("seriesuid,coordX,coordY,coordZ,probability\na,1,2,3,0.5\na,1,2,3,7\n")
    with pytest.raises(SubmissionError, match="row 3.*probability is 7"):
        Points().read(path, dict.fromkeys("ab", (8, 8)))
