"""One file per channel: order, subsets, what is missing."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from datamodules import RgbyDataModule
from datamodules.readers import ImageReadError, RgbyReader

COLOURS = ["red", "green", "blue", "yellow"]


@pytest.fixture
def root(tmp_path):
    for number, colour in enumerate(COLOURS):
        for name in ("a", "b_c"):
            plane = np.full((6, 8), 40 * number + 10, np.uint8)
            plane[number] = 255
            Image.fromarray(plane).save(tmp_path / f"{name}_{colour}.png")
    return tmp_path


def row(root, name="a", ending="png"):
    return SimpleNamespace(image_id=name, path=f"{root}/{name}_{{channel}}.{ending}")


@pytest.mark.parametrize("channels", [COLOURS, ["green"], ["yellow", "red"], ["red", "green", "blue"]])
def test_channels_come_in_the_order_asked_for(root, channels):
    reader = RgbyReader(channels=channels)
    image = reader.read(row(root))
    assert image.shape == (6, 8, len(channels))
    for place, colour in enumerate(channels):
        number = COLOURS.index(colour)
        assert (image[number, :, place] == 255).all()
        assert (image[5, :, place] == 40 * number + 10).all()
    assert reader.size(row(root)) == (6, 8)
    assert [file.split("_")[-1] for file in reader.files(row(root))] == [f"{channel}.png" for channel in channels]


def test_table_of_ids_and_a_missing_channel(root):
    data = RgbyDataModule(root=str(root), images="*_{channel}.png", targets=[])
    assert data.table()["image_id"].tolist() == ["a", "b_c"]
    (root / "b_c_yellow.png").unlink()
    with pytest.raises(FileNotFoundError, match="1 images lack a channel \\(first: 'b_c'\\): missing .*b_c_yellow.png"):
        data.table()
    three = RgbyReader(channels=["red", "green", "blue"])
    assert len(RgbyDataModule(root=str(root), images="*_{channel}.png", targets=[], reader=three).table()) == 2
    with pytest.raises(ValueError, match=r"expected \{channel\} in place of the colour"):
        RgbyDataModule(root=str(root), images="*.png", targets=[]).table()


def test_sixteen_bits_and_channels_that_differ(root):
    for colour in COLOURS:
        Image.fromarray(np.full((4, 4), 60_000, np.uint16)).save(root / f"w_{colour}.tif")
    image = RgbyReader().read(row(root, "w", "tif"))
    assert image.dtype == np.uint16
    assert (image == 60_000).all()
    Image.fromarray(np.zeros((4, 5), np.uint16)).save(root / "w_blue.tif")
    with pytest.raises(ImageReadError, match=r"'w': channel blue is \(4, 5\) uint16, but red is \(4, 4\)"):
        RgbyReader().read(row(root, "w", "tif"))


def test_tinted_files_want_a_plane(root):
    plane = np.arange(48, dtype=np.uint8).reshape(6, 8)
    tinted = np.zeros((6, 8, 3), np.uint8)
    tinted[..., 0] = tinted[..., 1] = plane
    Image.fromarray(tinted).save(root / "a_yellow.png")
    with pytest.raises(ImageReadError, match="a_yellow.png is tinted: .*reader.planes.yellow"):
        RgbyReader().read(row(root))
    np.testing.assert_array_equal(RgbyReader(planes={"yellow": 1}).read(row(root))[..., 3], plane)
    gray = np.repeat(plane[..., None], 3, axis=2)
    Image.fromarray(gray).save(root / "a_yellow.png")
    np.testing.assert_array_equal(RgbyReader().read(row(root))[..., 3], plane)


def test_real_fields_keep_their_channels(competition_data):
    folder = competition_data / "hpa_rgby_cm4ai_512"
    data = RgbyDataModule(root=str(folder), images="*_{channel}.png", targets=[])
    table = data.table()
    assert len(table) == 4
    for record in table.itertuples(index=False):
        image = data.reader.read(record)
        for place, colour in enumerate(COLOURS):
            expected = np.asarray(Image.open(folder / f"{record.image_id}_{colour}.png"))
            np.testing.assert_array_equal(image[..., place], expected)
