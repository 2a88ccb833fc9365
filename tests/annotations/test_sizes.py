import pytest

from annotations.sizes import declared_size


@pytest.mark.parametrize(("height", "width"), [(480, 640), ("480", " 640 "), (480.0, "640.0")])
def test_sides_are_numbers_or_texts(height, width):
    assert declared_size(height, width) == (480, 640)


@pytest.mark.parametrize("side", [None, 0, "", "0", "wide", -5, [640], float("inf"), float("nan")])
def test_a_side_that_is_no_number_above_0_is_not_declared(side):
    assert declared_size(side, 640) is None
    assert declared_size(480, side) is None
