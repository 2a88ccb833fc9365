"""One row as image and target arrays: whole, by windows, with void pixels, of external data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamodules.decoder import Decoder, derive
from datamodules.row import row_with
from datamodules.windows import with_window
from preprocessing import Clahe
from tests.datamodules.memory import Arrays, Images

SIZE = (9, 12)


def row(image_id="a", **columns):
    return row_with({"image_id": image_id, "path": image_id, "weight": 1.0, "source": "train"} | columns)


def decoder_of(windowed=False, targets_windowed=False, void=True):
    rng = np.random.default_rng(0)
    images = {"a": rng.integers(1, 255, (*SIZE, 3), np.uint8)}
    arrays = {"mask": rng.integers(0, 2, (2, *SIZE), np.uint8), "ids": rng.integers(0, 5, SIZE, np.int32)}
    hidden = {"a": rng.random(SIZE) < 0.3} if void else None
    reader = Images(images, hidden, windowed)
    return Decoder(reader, [Arrays({"a": arrays}, targets_windowed)]), images["a"], arrays, hidden


@pytest.mark.parametrize("windowed", [False, True])
@pytest.mark.parametrize("targets_windowed", [False, True])
@pytest.mark.parametrize("void", [False, True])
@given(st.integers(0, 6), st.integers(0, 8), st.integers(1, 3), st.integers(1, 4))
def test_a_window_is_the_crop_of_the_whole(windowed, targets_windowed, void, top, left, height, width):
    decoder, *_ = decoder_of(windowed, targets_windowed, void)
    whole, arrays = decoder.read(row())
    window = with_window(row(), (top, left, height, width))
    place = np.s_[top : top + height, left : left + width]
    image, found = decoder.read(window)
    np.testing.assert_array_equal(image, whole[place])
    for part in (found, decoder.target_arrays(window)):
        hidden = "valid" in arrays and not arrays["valid"][place].all()
        assert set(part) == {"mask", "ids"} | ({"valid"} if hidden else set())
        for name, array in part.items():
            np.testing.assert_array_equal(array, arrays[name][(..., *place)])


def test_targets_have_nothing_where_the_reader_has_no_data():
    decoder, image, arrays, hidden = decoder_of()
    read, found = decoder.read(row())
    np.testing.assert_array_equal(read, image)
    np.testing.assert_array_equal(found["valid"], ~hidden["a"])
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], np.where(hidden["a"], 0, array))
    for name, array in decoder.target_arrays(row()).items():
        np.testing.assert_array_equal(array, found[name])


def test_strips_of_an_image_read_its_target_and_its_void_pixels_once():
    decoder, *_ = decoder_of()

    class Whole(Arrays):
        """A target that reads no windows."""

    target = Whole(decoder.targets[0].arrays)
    decoder = Decoder(decoder.reader, [target])
    whole = decoder.target_arrays(row())
    target.opened.clear(), decoder.reader.opened.clear()
    strips = [decoder.target_arrays(with_window(row(), (top, 0, 3, SIZE[1]))) for top in (0, 3, 6)]
    np.testing.assert_array_equal(np.concatenate([strip["ids"] for strip in strips]), whole["ids"])
    assert target.opened == decoder.reader.opened == ["a"]


def test_targets_that_are_not_over_pixels_open_no_image():
    images = Images({"a": np.zeros((*SIZE, 1), np.uint8)}, {"a": np.ones(SIZE, bool)})
    decoder = Decoder(images, [Arrays({"a": {"label": np.int64(3), "boxes": np.zeros((1, 4), np.float32)}})])
    assert decoder.target_arrays(row())["label"] == 3
    assert images.opened == []


def test_external_rows_have_their_own_reader_and_targets():
    own, *_ = decoder_of(void=False)
    other = Images({"a": np.full((2, 2, 1), 7, np.uint8)}), [Arrays({"a": {"mask": np.ones((1, 2, 2), np.uint8)}})]
    decoder = Decoder(own.reader, own.targets, others={"more": other})
    assert decoder.size(row()) == SIZE
    assert decoder.size(row(source="more")) == (2, 2)
    image, arrays = decoder.read(row(source="more"))
    assert (image == 7).all()
    assert arrays["mask"].all()
    assert set(map(id, decoder.parts())) == set(map(id, [own.reader, *own.targets, other[0], *other[1]]))


def test_preprocessing_changes_the_image_alone():
    plain, image, *_ = decoder_of(void=False)
    step = Clahe()
    decoder = Decoder(plain.reader, plain.targets, [step])
    read, arrays = decoder.read(row())
    np.testing.assert_array_equal(read, step.image(image))
    assert (read != image).any()
    np.testing.assert_array_equal(arrays["mask"], plain.read(row())[1]["mask"])


def test_check_raises_what_reading_would(tmp_path):
    decoder, *_ = decoder_of(void=False)
    path = tmp_path / "a.png"
    with pytest.raises(ValueError, match=r"a\.png does not exist"):
        decoder.check(row(path=path))
    path.write_bytes(b"x")
    decoder.check(row(path=path))
    decoder.targets[0].arrays.clear()
    with pytest.raises(KeyError):
        decoder.check(row(path=path))
    decoder.targets[0].windowed = True
    with pytest.raises(KeyError):
        decoder.check(row(path=path))
    decoder.check(row(path=path), by_windows=True)  # it may be too large to be read whole


def test_derived_arrays_end_where_void_begins():
    class Copy(Arrays):
        def derive(self, sample):
            return {"copy": np.ones_like(sample["mask"])}

    valid = np.ones(SIZE, bool)
    valid[:4] = False
    mask = np.ones((1, *SIZE), np.uint8)
    found = derive([Copy({})], {"mask": mask, "valid": valid})
    np.testing.assert_array_equal(found["copy"][0], valid)
    assert "valid" not in derive([Copy({})], {"mask": mask})
