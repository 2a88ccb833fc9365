import numpy as np
import pytest

from ensembling.votes import union_of_agreeing, vote


def labels(*sets, classes=6):
    """Members that name classes."""
    return [np.isin(np.arange(classes), list(one)).astype(np.float32) * 0.9 for one in sets]


def named(result):
    return np.flatnonzero(result).tolist()


SEVEN = labels({0, 1}, {0, 1}, {0, 1}, {0}, {2}, {1, 2}, set())


def test_four_of_seven_keep_a_class():
    assert named(vote(SEVEN, votes=4)) == [0, 1]  # 0 and 1 have four votes, 2 has two
    assert named(vote(SEVEN)) == [0, 1]  # more than half of seven
    assert named(vote(SEVEN, votes=5)) == []


def test_an_empty_row_takes_the_union_and_then_the_commonest():
    assert named(vote(SEVEN, votes=5, fallback="union")) == [0, 1, 2]
    silent = labels(*[set()] * 7)
    assert named(vote(silent, votes=4, fallback="union")) == []
    assert named(vote(silent, votes=4, fallback="union", commonest=[5, 1, 3])) == [1, 3, 5]
    # no fallback where a class has won, however many others were named
    assert named(vote(SEVEN, votes=4, fallback="union", commonest=[5])) == [0, 1]


def test_a_tie_is_no_majority():
    assert named(vote(labels({0}, {0}, {1}, {1}))) == []
    assert named(vote(labels({0}, {0}, {0}, {1}))) == [0]
    assert named(vote(labels({0, 1}, {1}))) == [1]
    assert named(vote(labels({0, 1}, {1}), votes=5)) == [1]  # never more than there are members


def test_masks_are_voted_pixel_by_pixel_and_fall_back_by_channel():
    random = np.random.default_rng(0)
    members = [random.random((2, 9, 7)).astype(np.float32) for _ in range(5)]
    expected = (np.stack(members) > 0.4).sum(axis=0) >= 3
    np.testing.assert_array_equal(vote(members, threshold=0.4), expected)
    apart = [np.zeros((2, 4, 4), np.float32) for _ in range(3)]
    for number, member in enumerate(apart):
        member[0, number, 0] = 1  # channel 0: three masks that do not meet; channel 1: all agree on a pixel
        member[1, 3, 3] = 1
        member[1, number, 1] = 1
    result = vote(apart, fallback="union")
    assert result[0].sum() == 3
    assert np.argwhere(result[1]).tolist() == [[3, 3]]
    assert not vote(apart)[0].any()


def test_a_threshold_for_each_class():
    members = [np.array([0.3, 0.3], np.float32)] * 2
    assert vote(members, threshold=[0.2, 0.4]).tolist() == [True, False]
    assert vote([np.array([True, False])] * 2).tolist() == [True, False]


def disc(centre, radius=6, side=40):
    rows, columns = np.mgrid[:side, :side]
    return ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2).astype(np.float32)[None]


def test_a_mask_that_agrees_with_none_is_left_out_of_the_union():
    one, other, outlier = disc((10, 10)), disc((10, 11)), disc((30, 30))
    empty = np.zeros_like(one)
    result = union_of_agreeing([one, outlier, other, empty], dice=0.7)
    np.testing.assert_array_equal(result, (one + other) > 0)
    assert not union_of_agreeing([one, outlier, empty, empty]).any()  # two empty masks agree with nothing
    # a third of them is needed: a pair is not enough
    assert not union_of_agreeing([one, other, outlier], least=3).any()
    assert union_of_agreeing([one, other, one], least=3).any()


def test_the_least_dice_counts_as_agreement():
    one, other = np.zeros((1, 1, 4), bool), np.zeros((1, 1, 4), bool)
    one[0, 0, :2], other[0, 0, 1:3] = True, True  # Dice 2 * 1 / 4
    assert union_of_agreeing([one, other], dice=0.5).sum() == 3
    assert union_of_agreeing([one, other], dice=0.51).sum() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vote([]), "no member"),
        (lambda: vote(SEVEN, votes=0), "votes is 0"),
        (lambda: vote(SEVEN, threshold=[0.5]), "1 thresholds, expected 6"),
        (lambda: vote(labels(set()), commonest=[6]), "expected 0 to 5"),
        (lambda: vote([np.zeros(3), np.zeros(4)]), "shapes"),
        (lambda: union_of_agreeing([disc((9, 9))], dice=0), "dice 0"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
