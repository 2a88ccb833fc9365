"""PNG through OpenCV: red is red, 16 bits stay, nothing half-written."""

import cv2
import numpy as np
import pytest
from PIL import Image

from files.png import read_png, write_png


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 3), (9, 7, 4)])
@pytest.mark.parametrize("bgr", [False, True])
def test_round_trip_is_exact(tmp_path, dtype, shape, bgr):
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    size = write_png(tmp_path / "a.png", image, bgr)
    assert size == (tmp_path / "a.png").stat().st_size
    back = read_png(tmp_path / "a.png", bgr)
    assert back.dtype == dtype
    assert (back == image.reshape(back.shape)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pure_red(tmp_path, dtype):
    top = np.iinfo(dtype).max
    red = np.zeros((4, 5, 3), dtype)
    red[..., 0] = top
    write_png(tmp_path / "rgb.png", red)
    write_png(tmp_path / "bgr.png", red[..., ::-1], bgr=True)
    for name in ("rgb.png", "bgr.png"):
        assert np.asarray(Image.open(tmp_path / name).convert("RGB"))[0, 0].tolist() == [255, 0, 0]
        assert read_png(tmp_path / name)[0, 0].tolist() == [top, 0, 0]
        assert read_png(tmp_path / name, bgr=True)[0, 0].tolist() == [0, 0, top]
        assert cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)[0, 0].tolist() == [0, 0, top]


def test_twelve_bits_in_sixteen(tmp_path):
    image = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    write_png(tmp_path / "a.png", image)
    assert (np.asarray(Image.open(tmp_path / "a.png")) == image).all()


@pytest.mark.parametrize("image", [np.zeros((3, 3), np.int16), np.zeros((3, 3, 2), np.uint8), np.zeros(3, np.uint8)])
def test_what_png_does_not_hold(tmp_path, image):
    with pytest.raises(ValueError, match="PNG supports 1, 3 or 4"):
        write_png(tmp_path / "a.png", image)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_damaged_file_is_named(tmp_path, content):
    write_png(tmp_path / "a.png", np.zeros((30, 30), np.uint8))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:20] if content is None else content)
    with pytest.raises(ValueError, match=r"a\.png is not a readable image"):
        read_png(tmp_path / "a.png")
