"""One look-up gives every pixel the class of its colour."""

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from masks.colours import UNKNOWN, ColourTable, packed, unpacked

COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


@given(st.dictionaries(COLOURS, st.one_of(st.integers(0, 253), st.just(255)), max_size=4), st.data())
def test_every_pixel_has_the_number_of_its_colour(numbers, data):
    image = data.draw(arrays(np.uint8, (3, 5, 3)))
    for place, colour in enumerate(numbers):
        image[place % 3, place] = colour
    table = pickle.loads(pickle.dumps(ColourTable(numbers)))
    found = table.read(image)
    expected = [[numbers.get(tuple(map(int, pixel)), UNKNOWN) for pixel in row] for row in image]
    np.testing.assert_array_equal(found, expected)
    assert len(pickle.dumps(table)) < 10_000  # for workers, also after reading


@given(COLOURS)
def test_packed_and_unpacked(colour):
    assert unpacked(int(packed(np.array(colour, np.uint8)))) == colour
