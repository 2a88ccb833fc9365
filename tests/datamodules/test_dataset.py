"""Rows as samples: draws that repeat, features, weights, types that a tensor can have."""

import numpy as np
import pandas as pd
import pytest
import torch

from augmentations import Colour, Geometry
from datamodules.dataset import EvaluationDataset, TrainingDataset, to_sample
from datamodules.decoder import Decoder
from datamodules.lazy_images import LazyImage, LazyImages
from datamodules.row import row_with
from datamodules.samplers import Draw
from datamodules.targets import TouchingBorders
from datamodules.unreadable import UnreadableFallback
from datamodules.windows import GridWindows
from tests.datamodules.memory import Arrays, Images

SIDE = 16
RANDOM = np.random.default_rng(0)
IMAGES = {name: RANDOM.integers(0, 255, (SIDE, SIDE, 3), np.uint8) for name in "ab"}
IDS = {name: np.zeros((SIDE, SIDE), np.int32) for name in "ab"}
for ids in IDS.values():  # two objects that touch, off the centre
    ids[1:5, 2:8], ids[5:9, 2:5] = 1, 2
TABLE = pd.DataFrame(
    {"image_id": ["a", "b"], "path": ["a", "b"], "weight": [1.0, 0.5], "source": "train", "age": [3, 4]}
)


def training(augmentation=(), features=(), windows=None, targets=None):
    target = Arrays({name: {"instances": ids, "mask": (ids > 0)[None].astype(np.uint8)} for name, ids in IDS.items()})
    decoder = Decoder(Images(IMAGES), [target])
    if windows is not None:
        rows = TrainingDataset(TABLE, decoder, [], [], []).rows
        windows.prepare(rows, decoder.size, decoder.target_arrays)
    return TrainingDataset(TABLE, decoder, targets or [], list(augmentation), list(features), windows)


def equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]) if torch.is_tensor(value) else value == other[name], name


def test_a_sample_is_that_of_its_draw_alone():
    augmentation = [Geometry(d4=1.0, rotate=[0, 40]), Colour(brightness=0.3, noise=[0.05, 0.1])]
    data = training(augmentation)
    first = data[Draw(0, 5)]
    data[Draw(1, 6)]
    np.random.random(3)  # noqa: NPY002
    equal(data[Draw(0, 5)], first)
    assert not torch.equal(data[Draw(0, 6)]["image"], first["image"])
    equal(data[4 % 2], data[Draw(0, 0)])  # a plain number is both the image and the seed


def test_plain_samples_hold_the_files_their_features_and_weights():
    data = training(features=["age"])
    sample = data[Draw(1, 0)]
    assert sample["image_id"] == "b"
    np.testing.assert_array_equal(sample["image"].movedim(0, -1), IMAGES["b"])
    np.testing.assert_array_equal(sample["mask"][0], IDS["b"] > 0)
    assert sample["features"].tolist() == [4]
    assert sample["weight"] == 0.5
    assert "instances" not in sample, "their number differs between images"
    data.weigh(np.array([1, 3]))
    assert data[Draw(1, 0)]["weight"] == 1.5
    assert data[Draw(0, 0)]["weight"] == 1.0
    assert "features" not in training()[Draw(0, 0)]


def test_targets_are_derived_after_augmentation():
    """The borders of a turned image are those of its turned objects."""
    borders = TouchingBorders()
    turned = [np.rot90(each, turns) for each in (IDS["a"], IDS["a"][::-1]) for turns in range(4)]
    expected = {borders.derive({"instances": each})["border"].tobytes() for each in turned}
    data = training([Geometry(d4=1.0)], targets=[borders])
    found = {data[Draw(0, seed)]["border"].numpy().tobytes() for seed in range(40)}
    assert found == expected


def test_windows_are_the_samples_of_an_epoch():
    data = training(windows=GridWindows(8))
    assert len(data) == 8
    samples = [data[Draw(number, 0)] for number in range(8)]
    assert [sample["image_id"] for sample in samples] == ["a"] * 4 + ["b"] * 4
    quarters = [samples[number]["image"] for number in range(4)]
    whole = torch.cat([torch.cat(quarters[:2], 2), torch.cat(quarters[2:], 2)], 1)
    np.testing.assert_array_equal(whole.movedim(0, -1), IMAGES["a"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.uint8, torch.uint8), (np.uint16, torch.int32), (np.uint32, torch.int64), (np.uint64, torch.int64),
        (np.int32, torch.int32), (np.float32, torch.float32), (np.float64, torch.float64),
    ],
)  # fmt: skip
def test_arrays_get_a_type_that_torch_computes_with(given, expected):
    array = np.arange(6).reshape(1, 2, 3).astype(given)
    row = row_with({"image_id": "a", "weight": 2})
    sample = to_sample(row, np.zeros((2, 3, 1), np.uint8), {"ids": array, "label": given(4)}, np.zeros(0))
    assert sample["ids"].dtype == expected
    assert sample["ids"].tolist() == array.tolist()
    assert sample["label"].shape == ()
    assert sample["original_size"] == (2, 3)


def test_values_too_large_for_a_tensor_are_an_error():
    row = row_with({"image_id": "a", "weight": 1})
    with pytest.raises(ValueError, match=r"uint64 values up to 9223372036854775808 are too large"):
        to_sample(row, np.zeros((1, 1, 1), np.uint8), {"ids": np.array([[2**63]], np.uint64)}, np.zeros(0))


def test_evaluation_reads_in_order_replaces_damaged_files_and_leaves_large_ones():
    table = TABLE.assign(image_id=["a", "c"], path=["a", "c"])
    decoder = Decoder(Images(IMAGES, windowed=True), [])
    plain = EvaluationDataset(table, decoder, [], [])
    np.testing.assert_array_equal(plain[0]["image"].movedim(0, -1), IMAGES["a"])
    with pytest.raises(ValueError, match="c is damaged"):
        plain[1]
    fallback = UnreadableFallback(decoder, plain.rows)
    lenient = EvaluationDataset(table, decoder, [], [], fallback)
    assert lenient[0]["unreadable"] == ""
    assert lenient[1]["unreadable"] == "c is damaged"
    assert not lenient[1]["image"].any()
    lazy = EvaluationDataset(table, decoder, [], ["age"], fallback, LazyImages(decoder, lambda size: True, fallback))
    sample = lazy[0]
    assert isinstance(sample["image"], LazyImage)
    assert sample["original_size"] == (SIDE, SIDE)
    assert sample["features"].tolist() == [3]
