"""Windows of masks that are never decoded whole."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.targets import RunLengths
from masks import rle


@settings(max_examples=80, deadline=None)
@given(data=st.data(), height=st.integers(1, 14), width=st.integers(1, 14), order=st.sampled_from(["column", "row"]))
def test_a_window_is_that_of_the_whole_mask(data, height, width, order):
    share = data.draw(st.sampled_from([0.0, 0.2, 0.7, 1.0]))
    mask = np.random.default_rng(data.draw(st.integers(0, 10**6))).random((height, width)) < share
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = (top, left, data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left)))
    runs = rle.parse([rle.encode(mask, order=order)], height * width)
    found = np.zeros(window[2:], np.int32)
    rle.paint_window(found, runs, 70_000, (height, width), window, order)
    found = found == 70_000
    np.testing.assert_array_equal(found, mask[top : top + window[2], left : left + window[3]])


def test_a_target_cuts_windows_of_a_scene_of_a_billion_pixels(tmp_path):
    size = (30_000, 40_000)
    # columns 500 to 502, rows 29,990 to 29,999, and on into the next column
    starts = [column * size[0] + 29_990 + 1 for column in (500, 501, 502)]
    text = " ".join(f"{start} {length}" for start, length in zip(starts, (10, 10, 15), strict=True))
    (tmp_path / "train.csv").write_text(f"id,encoding\nscan,{text}\n")
    target = RunLengths("train.csv", id_column="id", value_column="encoding")
    target.prepare(pd.DataFrame({"image_id": ["scan"]}), tmp_path)
    row = SimpleNamespace(image_id="scan")
    found = target.read_window(row, size, (29_900, 400, 100, 200))["mask"]
    expected = np.zeros((1, 100, 200), np.uint8)
    expected[0, 90:, 100:103] = 1
    np.testing.assert_array_equal(found, expected)
    top = target.read_window(row, size, (0, 502, 10, 3))["mask"]
    assert np.argwhere(top[0]).tolist() == [[line, 1] for line in range(5)]
    target.texts["other"] = [(0, "5 9")]
    with pytest.raises(ValueError, match="train.csv, image 'other', its row 1: .*exceeds the mask"):
        target.read_window(SimpleNamespace(image_id="other"), (2, 3), (0, 0, 1, 1))


def test_instances_of_a_window(tmp_path):
    labels = np.random.default_rng(0).integers(0, 4, (12, 9))
    texts = rle.encode_instances(labels)
    (tmp_path / "t.csv").write_text("ImageId,EncodedPixels\n" + "".join(f"x,{text}\n" for text in texts.values()))
    target = RunLengths("t.csv", instances=True)
    target.prepare(pd.DataFrame({"image_id": ["x"]}), tmp_path)
    row = SimpleNamespace(image_id="x")
    found = target.read_window(row, labels.shape, (3, 2, 6, 5))["instances"]
    np.testing.assert_array_equal(found, target.read(row, labels.shape)["instances"][3:9, 2:7])
    np.testing.assert_array_equal(found, labels[3:9, 2:7])
