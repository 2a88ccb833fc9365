"""What the values of mask files mean."""

import numpy as np
import pytest
from PIL import Image

from datamodules.shapes import draw_shapes
from exploration.layouts.mask_values import class_file, colour_list, mask_values


def saved(folder, arrays, ending=".png"):
    files = []
    for number, array in enumerate(arrays):
        files.append(folder / f"{number}{ending}")
        Image.fromarray(array).save(files[-1])
    return files


def maps(values, count=6, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.choice(np.array(values), (12, 12)).astype(np.uint8) for _ in range(count)]


@pytest.mark.parametrize(
    ("values", "kind", "void", "listed"),
    [
        ([0, 1], "binary", False, None),
        ([0, 255], "binary", False, None),
        ([0], "binary", False, None),
        ([0, 1, 255], "binary", True, None),
        ([0, 1, 2], "classes", False, None),
        ([0, 1, 2, 255], "classes", True, None),
        ([1, 2, 3, 7], "classes", False, None),
        ([*range(19), 255], "classes", True, None),
        ([0, 85, 170, 255], "classes", False, [85, 170, 255]),
        ([0, 100, 200], "classes", False, [100, 200]),
    ],
)
def test_values_of_one_channel(tmp_path, values, kind, void, listed):
    found = mask_values(saved(tmp_path, maps(values)))
    assert (found.kind, found.void, found.listed) == (kind, void, listed)


def test_objects_and_classes_differ_by_their_components(tmp_path):
    drawings = [draw_shapes(np.random.default_rng(seed), 64) for seed in range(12)]
    (tmp_path / "ids").mkdir()
    (tmp_path / "kinds").mkdir()
    ids = [drawing.labels.astype(np.uint16) for drawing in drawings]
    assert mask_values(saved(tmp_path / "ids", ids)).kind == "instances"
    kinds = [np.array([0, *(kind + 1 for kind in one.kinds)], np.uint8)[one.labels] for one in drawings]
    assert mask_values(saved(tmp_path / "kinds", kinds)).kind == "classes"


def test_colours_and_their_names(tmp_path):
    table = np.array([[0, 0, 0], [128, 64, 128], [64, 0, 64]], np.uint8)
    found = mask_values(saved(tmp_path, [table[one] for one in maps([0, 1, 2])]))
    assert found.kind == "colours"
    assert found.values == [0x000000, 0x400040, 0x804080]
    assert sum(found.counts.values()) == 6 * 144
    assert colour_list(tmp_path, found.values) is None
    (tmp_path / "label_colors.txt").write_text("128 64 128\tRoad\n64 0 64\tTrain\n0 0 0\tVoid\n")
    assert colour_list(tmp_path, found.values) == {"Road": [0x804080], "Train": [0x400040], "Void": [0]}
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    with pytest.raises(ValueError, match="colours .*expected one for each class"):
        mask_values(saved(tmp_path, [noise]))


def test_gray_in_three_channels_is_one_channel(tmp_path):
    found = mask_values(saved(tmp_path, [np.repeat(one[..., None], 3, 2) for one in maps([0, 255])]))
    assert found.kind == "binary"


def test_names_of_classes(tmp_path):
    (tmp_path / "readme.txt").write_text("a\nb\n")
    (tmp_path / "classes.txt").write_text("background\nroad\ncar\n")
    assert class_file(tmp_path, 3) == ["background", "road", "car"]
    assert class_file(tmp_path, 4) is None
