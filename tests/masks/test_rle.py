import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from masks import rle

CONVENTIONS = list(itertools.product(["column", "row"], [0, 1], [False, True]))
MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12))


def reference(mask, order, base, relative):
    """Pixel by pixel, as slowly as can be."""
    height, width = mask.shape
    if order == "column":
        pixels = [mask[y, x] for x in range(width) for y in range(height)]
    else:
        pixels = [mask[y, x] for y in range(height) for x in range(width)]
    numbers, end = [], 0
    for value, run in itertools.groupby(enumerate(pixels), key=lambda pair: pair[1]):
        run = list(run)
        if value:
            numbers += [run[0][0] - end if relative else run[0][0] + base, len(run)]
            end = run[0][0] + len(run)
    return " ".join(str(number) for number in numbers)


def random_masks(number, seed=0):
    random = np.random.default_rng(seed)
    for _ in range(number):
        shape = random.integers(1, 14, 2)
        yield random.random(shape) < random.choice([0, 0.05, 0.5, 0.95, 1])


@pytest.mark.parametrize(("order", "base", "relative"), CONVENTIONS)
def test_round_trip_of_a_thousand_masks(order, base, relative):
    for mask in random_masks(1000):
        text = rle.encode(mask, order, base, relative)
        assert text == reference(mask, order, base, relative)
        decoded = rle.decode(text, mask.shape, order, base, relative)
        assert decoded.dtype == bool
        assert decoded.flags.c_contiguous or decoded.flags.f_contiguous
        np.testing.assert_array_equal(decoded, mask)


@settings(max_examples=300, deadline=None)
@given(MASKS, st.sampled_from(CONVENTIONS))
def test_round_trip_property(mask, convention):
    np.testing.assert_array_equal(rle.decode(rle.encode(mask, *convention), mask.shape, *convention), mask)


def test_golden_vectors():
    mask = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]], np.uint8)
    # down the columns: 0 1 0 | 1 1 0 | 1 0 0 | 0 0 1
    assert rle.encode(mask) == "2 1 4 2 7 1 12 1"
    assert rle.encode(mask, base=0) == "1 1 3 2 6 1 11 1"
    assert rle.encode(mask, relative=True) == "1 1 1 2 1 1 4 1"
    # along the rows: 0 1 1 0 | 1 1 0 0 | 0 0 0 1
    assert rle.encode(mask, order="row") == "2 2 5 2 12 1"
    assert rle.encode(mask, order="row", base=0) == "1 2 4 2 11 1"
    assert rle.encode(mask, order="row", relative=True) == "1 2 1 2 5 1"


def siim_decode(text, width, height):
    """How the SIIM-ACR organisers describe their run lengths."""
    numbers = [int(word) for word in text.split()]
    mask, position = np.zeros(width * height, bool), 0
    for gap, length in zip(numbers[::2], numbers[1::2], strict=True):
        position += gap
        mask[position : position + length] = True
        position += length
    return mask.reshape(width, height).T


def test_relative_is_what_siim_means():
    for mask in random_masks(200, seed=1):
        text = rle.encode(mask, relative=True)
        np.testing.assert_array_equal(siim_decode(text, mask.shape[1], mask.shape[0]), mask)


def test_equal_to_pycocotools():
    """COCO's counts are gaps and lengths down the columns: our relative pairs, and the gap that is left."""
    for mask in random_masks(500, seed=2):
        counts = [int(word) for word in rle.encode(mask, relative=True).split()]
        counts += [mask.size - sum(counts)] if sum(counts) < mask.size else []
        height, width = mask.shape
        ours = coco.frPyObjects({"counts": counts, "size": [height, width]}, height, width)
        np.testing.assert_array_equal(coco.decode([ours])[..., 0], mask)
        assert ours["counts"] == coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]


@pytest.mark.parametrize(
    ("mask", "text"),
    [
        (np.zeros((1, 1)), ""),
        (np.ones((1, 1)), "1 1"),
        (np.zeros((3, 5)), ""),
        (np.ones((3, 5)), "1 15"),
        (np.arange(15).reshape(3, 5) == 14, "15 1"),
        (np.arange(15).reshape(3, 5) == 10, "3 1"),
        (np.ones((1, 7)), "1 7"),
        (np.ones((7, 1)), "1 7"),
    ],
)
def test_corners(mask, text):
    assert rle.encode(mask.astype(bool)) == text
    np.testing.assert_array_equal(rle.decode(text, mask.shape), mask)


def test_a_transposed_size_is_not_the_mask():
    mask = np.zeros((3, 5), bool)
    mask[0] = True
    assert rle.encode(mask) == "1 1 4 1 7 1 10 1 13 1"
    assert rle.encode(mask, order="row") == "1 5"
    assert (rle.decode(rle.encode(mask), (5, 3)) != mask.T).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int8, np.int32, np.int64, bool])
@pytest.mark.parametrize("top", [1, 255])
def test_types_and_layouts_of_masks(dtype, top):
    if dtype == np.int8 and top == 255:
        pytest.skip("int8 holds no 255")
    mask = np.random.default_rng(0).random((9, 6)) < 0.4
    wanted = rle.encode(mask)
    array = (mask * top).astype(dtype)
    views = array, np.asfortranarray(array), np.repeat(array, 2, 1)[:, ::2], array[::-1][::-1]
    for view in views:
        assert rle.encode(view) == wanted
    before = array.copy()
    rle.encode(array, order="row")
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.full((2, 2), 0.7), "threshold the probabilities first"),
        (np.ones((2, 2), np.float32), "threshold the probabilities first"),
        (np.array([[0, 2]]), r"values \[0, 2\], expected 0 and 1"),
        (np.array([[0, 1, 255]]), "mask has values"),
        (np.array([[0, -1]]), "mask has values"),
        (np.ones((1, 2, 2), bool), r"mask is \(1, 2, 2\), expected \(H, W\)"),
    ],
)
def test_what_is_no_mask_is_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        rle.encode(mask)


@pytest.mark.parametrize("text", ["", "  ", None, math.nan, np.float64("nan")])
def test_nothing_is_an_empty_mask(text):
    assert rle.decode(text, (4, 3)).tolist() == [[False] * 3] * 4


@pytest.mark.parametrize(
    ("text", "convention", "message"),
    [
        ("1 2 3", {}, "3 numbers, expected pairs of start and length"),
        ("-1", {}, "have 1 numbers"),
        ("1 2 x 3", {}, "contain 'x', expected integers"),
        ("1 2.5", {}, "contain '2.5'"),
        ("1-2", {}, "contain '1-2'"),
        ("1_0 2", {}, "contain '1_0'"),
        ("nan", {}, "contain 'nan'"),
        ("٣ 1", {}, "contain '٣'"),
        ("3 0", {}, r"pair 1, '3 0', has a length of 0, expected 1 or more"),
        ("1 1 3 -2", {}, "pair 2, '3 -2', has a length of -2"),
        ("0 1", {}, "pair 1, '0 1', starts before the first pixel, which is number 1"),
        ("-1 1", {"base": 0}, "starts before the first pixel, which is number 0"),
        ("12 2", {}, "pair 1, '12 2', exceeds the mask's 12 pixels"),
        ("13 1", {}, "exceeds"),
        ("12 1", {"base": 0}, "exceeds"),
        ("5 1 4 1", {}, "pair 2, '4 1', starts inside or before"),
        ("5 2 6 1", {}, "pair 2, '6 1', starts inside or before"),
        ("5 1 5 1", {}, "pair 2, '5 1', starts inside or before"),
        ("2 3 -1 2", {"relative": True}, "pair 2, '-1 2', starts inside or before"),
        ("-1 3", {"relative": True}, "pair 1, '-1 3', starts before the first pixel, which is number 0"),
        ("2 3 6 2", {"relative": True}, "pair 2, '6 2', exceeds"),
        ("9223372036854775807 9223372036854775807", {}, "exceeds"),
        ("9223372036854775807 1 2 3", {"relative": True}, "pair 1.*exceeds"),
        ("99999999999999999999999 1", {}, "exceeds"),
        ("1 4611686018427387904 2 4611686018427387904", {}, "exceeds"),
        ("-9223372036854775808 1", {}, "before the first pixel"),
    ],
)
def test_bad_run_lengths_are_refused(text, convention, message):
    with pytest.raises(rle.RunLengthError, match=message):
        rle.decode(text, (4, 3), **convention)
    if "exceeds" not in message:
        with pytest.raises(rle.RunLengthError, match=message):
            rle.parse([text], None, **convention)


def test_runs_that_touch_are_runs():
    assert rle.decode("1 2 3 2", (4, 1)).all()
    assert rle.decode("0 2 0 2", (4, 1), relative=True).all()


def plain_decode(text, size, base, relative):
    """None for anything that is no mask."""
    words = text.split()
    if len(words) % 2 or not all(word.isascii() and word.removeprefix("-").isdigit() for word in words):
        return None
    flat, position = [False] * size, 0
    for first, length in zip(map(int, words[::2]), map(int, words[1::2]), strict=True):
        start = position + first if relative else first - base
        if start < position or length < 1 or start + length > size:
            return None
        flat[start : start + length] = [True] * length
        position = start + length
    return flat


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.text(alphabet="0123456789 -+._x\t\n\xa0٣", max_size=20),
        st.lists(st.integers(-2, 14), max_size=8).map(lambda numbers: " ".join(map(str, numbers))),
        st.text(max_size=20),
    ),
    st.sampled_from([(0, False), (1, False), (1, True)]),
)
def test_any_text_is_a_mask_or_an_error(text, convention):
    base, relative = convention
    wanted = plain_decode(text, 12, base, relative)
    if wanted is None:
        with pytest.raises(rle.RunLengthError):
            rle.decode(text, (3, 4), "row", base, relative)
    else:
        assert rle.decode(text, (3, 4), "row", base, relative).ravel().tolist() == wanted


@pytest.mark.parametrize("call", [rle.encode, rle.encode_instances])
def test_the_order_has_two_names(call):
    with pytest.raises(ValueError, match="is 'columns', expected 'column' or 'row'"):
        call(np.zeros((2, 2), np.uint8), order="columns")
    with pytest.raises(ValueError, match="is 'F', expected 'column' or 'row'"):
        rle.decode("1 1", (2, 2), order="F")


# --- instances -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64])
@pytest.mark.parametrize(("order", "base", "relative"), CONVENTIONS)
def test_instances_equal_their_masks_one_by_one(order, base, relative, dtype):
    random = np.random.default_rng(3)
    for _ in range(20):
        labels = random.choice([0, 0, 0, 3, 4, 120], random.integers(1, 15, 2)).astype(dtype)
        ids = [int(i) for i in np.unique(labels) if i]
        wanted = {i: rle.encode(labels == i, order, base, relative) for i in ids}
        texts = rle.encode_instances(labels, order, base, relative)
        assert texts == wanted
        assert list(texts) == ids
        decoded = rle.decode_instances(list(texts.values()), labels.shape, order, base, relative)
        assert decoded.dtype == np.int32
        np.testing.assert_array_equal(decoded, np.searchsorted([0, *ids], labels))


def test_no_instances():
    assert rle.encode_instances(np.zeros((3, 4), np.int32)) == {}
    assert rle.encode_instances(np.zeros((0, 4), np.int32)) == {}
    np.testing.assert_array_equal(rle.decode_instances([], (3, 4)), np.zeros((3, 4)))
    np.testing.assert_array_equal(rle.decode_instances([""], (3, 4)), np.zeros((3, 4)))


def test_what_is_no_label_image_is_refused():
    for wrong in (np.zeros((3, 4), bool), np.zeros((3, 4)), np.zeros((1, 3, 4), int)):
        with pytest.raises(ValueError, match="integer ids"):
            rle.encode_instances(wrong)
    with pytest.raises(ValueError, match="id is -1"):
        rle.encode_instances(np.array([[0, 2, -1]]))


def test_overlapping_objects_are_refused_by_number():
    with pytest.raises(rle.RunLengthError, match="object 3 overlaps object 1 at pixel 6") as caught:
        rle.decode_instances(["5 2", "1 2", "6 4"], (4, 3))
    assert caught.value.number == 2
    # the overlap need not be with the neighbour in the list, nor with the run before it in the same object
    with pytest.raises(rle.RunLengthError, match="object 2 overlaps object 1"):
        rle.decode_instances(["1 10", "2 1 12 1"], (4, 3))


def test_the_faulty_object_is_named():
    with pytest.raises(rle.RunLengthError) as caught:
        rle.decode_instances(["1 1", "2 1", "3 99"], (4, 3))
    assert caught.value.number == 2


def test_real_nuclei_survive(competition_data):
    from skimage.io import imread

    for path in sorted((competition_data / "dsb2018" / "labels").glob("*.png"))[:10]:
        labels = imread(path)
        texts = rle.encode_instances(labels)
        assert len(texts) == len(np.unique(labels)) - 1
        np.testing.assert_array_equal(rle.decode_instances(list(texts.values()), labels.shape) > 0, labels > 0)
        for number, text in list(texts.items())[:5]:
            np.testing.assert_array_equal(rle.decode(text, labels.shape), labels == number)
