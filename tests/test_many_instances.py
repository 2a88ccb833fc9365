"""70,000 objects of one pixel each keep their ids, from the files of truth to the submission."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from datamodules.cache import _pack, _unpack
from datamodules.dataset import to_sample
from datamodules.targets import RunLengths, TouchingBorders
from ensembling.stacking.objects import Objects, choose, overlaps
from postprocessing import (
    ConnectedComponents,
    ConvexHull,
    DistanceWatershed,
    FillHoles,
    LargestComponents,
    MinimumArea,
    ObjectScore,
    Watershed,
    rle,
)
from predictions.store import PredictionStore
from submissions import InstanceRunLengths

COUNT = 70_000
SIZE = (500, 560)
LABELS = np.zeros(SIZE, np.int32)  # each pixel alone among background
LABELS[::2, ::2] = np.arange(1, COUNT + 1).reshape(250, 280)


def same(found):
    """Whether these are the objects, however they are numbered."""
    return len(np.unique(found[found > 0])) == COUNT and ((found > 0) == (LABELS > 0)).all()


@pytest.fixture(scope="module")
def texts():
    """Run lengths of every object."""
    return list(rle.encode_instances(LABELS).values())


def test_run_lengths(texts, tmp_path):
    pd.DataFrame({"ImageId": "a", "EncodedPixels": texts}).to_csv(tmp_path / "train.csv", index=False)
    target = RunLengths("train.csv", instances=True)
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    assert (target.read(SimpleNamespace(image_id="a"), SIZE)["instances"] == LABELS).all()


@pytest.mark.parametrize("factor", [1, 30_000, 2**45])
def test_touching_borders(factor):
    ids = LABELS.astype(np.int64) * factor
    found = TouchingBorders(width=1).derive({"instances": ids})
    assert (found["body"][0] == (LABELS > 0)).all()
    between = np.zeros(SIZE, bool)
    between[:-1:2, 1:-1:2] = between[1:-1:2, :-1:2] = True  # a pixel of the gap beside two objects
    assert (found["border"][0] == between).all()


def test_steps():
    mask = {"mask": (LABELS > 0)[None], "body": (LABELS > 0)[None].astype(np.float32)}
    for step in (
        ConnectedComponents(),
        DistanceWatershed(distance=1, depth=0),
        Watershed(border=None, min_seed_size=1),
        Watershed(border=None, min_seed_size=1, grow=1, line=True),
    ):
        assert same(step(mask)["instances"]), type(step).__name__
    ids = {"instances": LABELS, "object_scores": np.ones(COUNT)}
    for step in (
        MinimumArea(1, output="instances"),
        LargestComponents(COUNT, output="instances"),
        FillHoles("instances"),
        ObjectScore(0.5),
        ConvexHull("instances"),
    ):
        assert (step(ids)["instances"] == LABELS).all(), type(step).__name__
    large = LABELS.astype(np.int64) * 2**40
    assert (MinimumArea(1, output="instances")({"instances": large})["instances"] == large).all()
    assert not MinimumArea(2, output="instances")({"instances": large})["instances"].any()


def test_store_and_submission(tmp_path):
    store = PredictionStore(tmp_path / "store")
    store.write("a", {"instances": LABELS})
    assert (store.read("a")["instances"] == LABELS).all()
    format_ = InstanceRunLengths()
    format_.write([("a", {"instances": LABELS})], tmp_path / "s.csv")
    assert same(format_.read(tmp_path / "s.csv", {"a": SIZE})["a"]["instances"])


def test_cache_and_samples():
    content, stored = _pack(LABELS)
    field = ("instances", LABELS.dtype.str, list(LABELS.shape), 0, stored)
    assert (_unpack(np.frombuffer(content.tobytes(), np.uint8), field) == LABELS).all()
    row = SimpleNamespace(image_id="a", weight=1.0)
    for kind in (np.int32, np.uint32, np.int64):
        arrays = {"instances": LABELS.astype(kind)}
        sample = to_sample(row, np.zeros((*SIZE, 1), np.uint8), arrays, np.zeros(0, np.float32))
        assert (sample["instances"].numpy() == LABELS).all()


def test_objects_of_a_second_level():
    objects = Objects([LABELS], [np.arange(COUNT)])
    assert (overlaps(objects, LABELS) == 1).all()
    ids, scores = choose(objects, np.linspace(0, 1, COUNT))
    assert (ids == LABELS).all()
    assert len(scores) == COUNT
