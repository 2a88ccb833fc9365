"""Images of a panel: a fixed set and the worst; and those of a report."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.gallery import Gallery, worst_median_best
from evaluation.panels import write_panel

ZERO = np.zeros((3, 64, 48), np.uint8)
IDS = np.zeros((64, 48), np.int32)


def test_gallery_keeps_the_first_and_the_worst(tmp_path):
    scores = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.1, "e": 0.95, "f": 0.3, "g": 0.2}
    for higher, expected in ((True, ["d", "g"]), (False, ["e", "c"])):
        gallery = Gallery(4, higher)
        for name, score in scores.items():
            gallery.add(name, score, ZERO, IDS, IDS)
        assert list(gallery.fixed) == ["a", "b"]
        assert [name for _, name, _ in gallery.worst] == expected
    write_panel(tmp_path / "panels/x.png", gallery.rows(), "title")
    panel = cv2.imread(str(tmp_path / "panels/x.png"))
    assert panel.shape == (36 + 4 * (18 + 258), 4 * 258, 3)
    assert [path.name for path in (tmp_path / "panels").iterdir()] == ["x.png"]
    gallery = Gallery(4)
    for name, score in [("x", np.nan), *scores.items(), ("h", np.nan)]:  # of which no pixel counts
        gallery.add(name, score, ZERO, IDS, IDS)
    assert list(gallery.fixed) == ["x", "a"]
    assert [name for _, name, _ in gallery.worst] == ["d", "g"]
    empty = Gallery(0)
    empty.add("a", 1.0, ZERO, IDS, IDS)
    assert empty.rows() == []


@pytest.mark.parametrize("higher", [True, False])
def test_a_good_image_of_a_small_set_is_not_among_the_worst(higher):
    gallery = Gallery(8, higher)
    for number, score in enumerate([0.5, 0.6, 0.7, 0.8, 0.9, 0.1, 0.95, 0.2]):
        gallery.add(str(number), score, ZERO, IDS, IDS)
    captions = [row.caption for row in gallery.rows()]
    assert len(captions) == 6
    assert [caption.split()[1] for caption in captions[4:]] == (["5", "7"] if higher else ["6", "4"])


@given(st.integers(0, 40), st.integers(0, 6))
def test_no_image_is_worst_median_and_best_at_once(number, count):
    order = [str(one) for one in range(number)]
    groups = worst_median_best(order, count)
    chosen = [one for ids in groups.values() for one in ids]
    assert len(chosen) == len(set(chosen)) <= 3 * count
    if number >= 3 and count:
        sizes = {len(ids) for ids in groups.values()}
        assert sizes == {min(count, number // 3)}
        assert groups["worst"][0] == "0"
        assert groups["best"][0] == order[-1]
        assert max(map(int, groups["worst"])) < min(map(int, groups["median"]))
        assert max(map(int, groups["median"])) < min(map(int, groups["best"]))
    elif count:
        assert len(chosen) == number
