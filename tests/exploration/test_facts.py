"""Facts of images of every type are those of their numbers."""

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from datamodules.readers import ImageReader
from exploration.facts import Examiner

WHOLE = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")


@pytest.mark.parametrize("kind", [*WHOLE, "float16", "float32", "float64"])
def test_statistics_of_every_type(tmp_path, kind):
    low, high = (0, 2) if kind == "bool" else (0 if kind[0] == "u" else -100, 127 if kind == "int8" else 200)
    image = np.random.default_rng(0).integers(low, high, (40, 50)).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", image)
    row = SimpleNamespace(image_id="a", path=tmp_path / "a.tif")
    facts = Examiner(ImageReader("unchanged"), {}, {}).facts(row, "train")
    assert facts.error is None
    assert facts.dtype == ("uint8" if kind == "bool" else kind)
    np.testing.assert_allclose(facts.mean, image.mean(dtype=np.float64))
    np.testing.assert_allclose(
        facts.percentiles[:, 0][[0, -1]], np.percentile(image.astype(np.float64), [1, 99]), atol=3
    )


def test_a_file_of_several_pages_is_an_entry(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 8, 8), np.uint8), photometric="minisblack")
    row = SimpleNamespace(image_id="a", path=tmp_path / "a.tif")
    assert "a.tif has 2 pages" in Examiner(ImageReader(), {}, {}).facts(row, "train").error
