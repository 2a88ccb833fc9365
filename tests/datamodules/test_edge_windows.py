"""Windows along the edges of masks, of targets or of a coarse run."""

import numpy as np
import pytest

from datamodules.edge_windows import EdgeWindows
from datamodules.row import row_with
from predictions.store import PredictionStore
from preprocessing.edge_patches import edge_pixels

SIZE = (40, 50)


def disc(radius, centre=(20, 25)):
    y, x = np.ogrid[: SIZE[0], : SIZE[1]]
    return ((y - centre[0]) ** 2 + (x - centre[1]) ** 2) < radius**2


MASKS = {"a": disc(10), "b": np.zeros(SIZE, bool), "c": disc(5, (10, 10))}
ROWS = [row_with({"image_id": name, "path": name}) for name in MASKS]


def prepared(windows, arrays):
    windows.prepare(ROWS, lambda row: SIZE, lambda row: arrays[row.image_id])
    return windows


@pytest.mark.parametrize("kind", ["mask", "instances", "classes"])
@pytest.mark.parametrize("min_cover", [1, 3])
def test_every_edge_pixel_is_covered_and_every_window_has_an_edge(kind, min_cover):
    make = {
        "mask": lambda mask: mask[None].astype(np.uint8),
        "instances": lambda mask: mask.astype(np.int32) * 4,
        "classes": lambda mask: mask.astype(np.int64),
    }[kind]
    arrays = {name: {"mask": make(mask)} for name, mask in MASKS.items()}
    windows = prepared(EdgeWindows(12, min_cover), arrays)
    cover = {name: np.zeros(SIZE, int) for name in MASKS}
    for number in range(len(windows)):
        index, row = windows.row(number, np.random.default_rng(0))
        assert row.image_id == ROWS[index].image_id
        top, left, height, width = row.window
        assert (height, width) == (12, 12)
        place = np.s_[top : top + height, left : left + width]
        cover[row.image_id][place] += 1
        assert MASKS[row.image_id][place].any()
        assert not MASKS[row.image_id][place].all()
    assert not cover["b"].any(), "an empty image has no edge"
    for name in "ac":
        edge = tuple(edge_pixels(MASKS[name]).T)
        assert (cover[name][edge] >= min_cover).all()


def test_void_pixels_make_no_edge():
    arrays = {name: {"mask": mask[None].astype(np.uint8)} for name, mask in MASKS.items()}
    arrays["a"] |= {"mask": np.ones((1, *SIZE), np.uint8), "valid": disc(10)}
    arrays["c"] |= {"mask": np.zeros((1, *SIZE), np.uint8)}
    windows = prepared(EdgeWindows(12), arrays)
    assert {row.image_id for row in (windows.row(n, None)[1] for n in range(len(windows)))} == {"a"}


def test_edges_of_a_coarse_run_are_scaled_to_the_image(tmp_path):
    """The run has predicted at half the size; its out-of-fold store is that of `val`."""
    run = tmp_path / "coarse" / "fold0"
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    store = PredictionStore(run / "predictions" / "val")
    store.begin(list(MASKS), "made by a test")
    for name, mask in MASKS.items():
        store.write(name, {"mask": mask[None, ::2, ::2].astype(np.float32)})
    store.finish()
    windows = prepared(EdgeWindows(14, 2, str(tmp_path / "coarse")), {})
    cover = {name: np.zeros(SIZE, bool) for name in MASKS}
    for number in range(len(windows)):
        _, row = windows.row(number, None)
        top, left, height, width = row.window
        cover[row.image_id][top : top + height, left : left + width] = True
    assert not cover["b"].any()
    for name in "ac":
        assert cover[name][tuple(edge_pixels(MASKS[name]).T)].mean() > 0.98


def test_what_cannot_be_done_is_said():
    with pytest.raises(ValueError, match="size is 0 and min_cover 2"):
        EdgeWindows(0)
    with pytest.raises(ValueError, match=r"target 'mask' is not read from files, only \['border'\] are"):
        prepared(EdgeWindows(12), {name: {"border": mask[None]} for name, mask in MASKS.items()})
    with pytest.raises(ValueError, match="no training image has an edge in 'mask'"):
        prepared(EdgeWindows(12), {name: {"mask": np.zeros((1, *SIZE), np.uint8)} for name in MASKS})
