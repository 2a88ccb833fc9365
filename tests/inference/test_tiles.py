import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.tiles import (
    StripMerge,
    cover_of_axes,
    plan_axis,
    read_window,
    tile_origins,
    to_bytes,
    window_weights,
)

WINDOWS = ("gaussian", "pyramid", "constant")


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300), st.integers(1, 90), st.floats(0, 0.95), st.booleans())
def test_origins_cover_every_pixel_with_the_asked_overlap(size, tile, overlap, margin):
    origins = tile_origins(size, tile, overlap, margin)
    assert origins == sorted(set(origins))
    seen = np.zeros(size, int)
    for origin in origins:
        seen[max(origin, 0) : max(origin + tile, 0)] += 1
    assert seen.min() >= 1
    if size <= tile and (not margin or len(origins) == 1):
        assert len(origins) == 1
        # centred: what hangs over differs by one pixel at most
        assert 0 <= (origins[0] + tile - size) + origins[0] <= 1
        return
    assert max(np.diff(origins), default=0) <= max(1, tile * (1 - overlap) + 1e-6)
    if margin:
        assert seen.min() >= tile // max(1, int(tile * (1 - overlap) + 1e-6))
    else:
        assert origins[0] == 0
        assert origins[-1] == size - tile


@given(st.integers(1, 90), st.integers(1, 64), st.sampled_from([0.0, 0.25, 0.5, 2 / 3, 0.75, 0.9]))
def test_margin_covers_every_pixel_as_often_as_asked_also_within_a_tile(size, tile, overlap):
    origins = tile_origins(size, tile, overlap, margin=True)
    step = max(1, math.floor(tile * (1 - overlap) + 1e-6))
    cover = np.zeros(size, int)
    for origin in origins:
        cover[max(0, origin) : max(0, origin + tile)] += 1
    assert cover.min() >= tile // step
    assert all(-tile < origin < size for origin in origins)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 100), st.integers(1, 60), st.floats(0, 0.9), st.integers(1, 9))
def test_every_pixel_is_covered_as_often_as_asked(size, tile, overlap, cover):
    """On an axis of any length, shorter than a tile too; tiles that no pixel needs are few."""
    if cover > tile:
        with pytest.raises(ValueError, match=f"expected 1 to {tile}, the pixels of a tile"):
            tile_origins(size, tile, overlap, cover=cover)
        return
    origins = tile_origins(size, tile, overlap, cover=cover)
    assert origins == sorted(set(origins))
    seen = [sum(origin <= pixel < origin + tile for origin in origins) for pixel in range(size)]
    assert min(seen) >= cover
    assert all(origin + tile > 0 and origin < size for origin in origins)
    if overlap == 0 and tile % cover == 0:
        assert max(seen) <= 2 * cover


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("cover", range(1, 30))
def test_covers_along_axes_multiply(axes, cover):
    covers = cover_of_axes(cover, axes)
    assert np.prod(covers) >= cover
    assert sorted(covers) == covers
    assert max(covers) - min(covers) <= 1
    assert np.prod([*covers[:-1], covers[-1] - 1]) < cover


def test_margin_gives_three_or_more_tiles_to_every_pixel_of_the_border_too():
    axes = [plan_axis(size, 32, 0.5, "constant", margin=True) for size in (75, 101)]
    seen = np.zeros((75, 101), int)
    for top in axes[0].origins:
        for left in axes[1].origins:
            seen[max(top, 0) : max(top + 32, 0), max(left, 0) : max(left + 32, 0)] += 1
    assert seen.min() >= 4
    without = tile_origins(75, 32, 0.5)
    assert sum(origin <= 0 for origin in without) == 1


@pytest.mark.parametrize(
    ("size", "tile", "overlap"), [(0, 4, 0.5), (4, 0, 0.5), (4, 4, 1.0), (4, 4, -0.1), (4, 4, float("nan"))]
)
def test_impossible_plans_are_refused(size, tile, overlap):
    with pytest.raises(ValueError, match=r"overlap in \[0, 1\), got size="):
        tile_origins(size, tile, overlap)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("tile", [1, 2, 7, 32])
def test_windows_are_symmetric_positive_and_highest_in_the_centre(window, tile):
    weights = window_weights(tile, window)
    assert weights.shape == (tile,)
    assert (weights > 0).all()
    assert torch.equal(weights, weights.flip(0))
    assert weights.max() == weights[tile // 2]
    if window != "constant" and tile > 2:
        assert (weights[: tile // 2].diff() > 0).all()


def test_unknown_window_lists_the_known_ones():
    with pytest.raises(ValueError, match="'hann', expected gaussian, pyramid or constant"):
        window_weights(8, "hann")


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.integers(1, 64), st.floats(0, 0.9), st.sampled_from(WINDOWS), st.booleans())
def test_weights_add_up_to_one_on_every_pixel(size, tile, overlap, window, margin):
    axis = plan_axis(size, tile, overlap, window, margin)
    total = np.zeros(size)
    for origin, weights in zip(axis.origins, axis.weights.numpy(), strict=True):
        inside = slice(max(0, -origin), min(tile, size - origin))
        total[origin + inside.start : origin + inside.stop] += weights[inside]
    np.testing.assert_allclose(total, 1, atol=1e-6)


NUMPY_MODES = {"reflect": "reflect", "replicate": "edge", "constant": "constant"}


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(-8, 8),
    st.integers(-8, 8),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from(sorted(NUMPY_MODES)),
)
def test_windows_equal_crops_of_a_padded_image(height, width, top, left, rows, columns, padding):
    # a window that lies wholly outside the image does not occur
    top, left = max(top, 1 - rows), max(left, 1 - columns)
    top, left = min(top, height - 1), min(left, width - 1)
    image = torch.arange(2.0 * 3 * height * width).reshape(2, 3, height, width) + 1
    over = [(max(0, -top), max(0, top + rows - height)), (max(0, -left), max(0, left + columns - width))]
    expected = image.numpy()
    for axis, (pad, size) in enumerate(zip(over, (height, width), strict=True), start=2):
        mode = "edge" if padding == "reflect" and max(pad) >= size else NUMPY_MODES[padding]
        expected = np.pad(expected, [pad if a == axis else (0, 0) for a in range(4)], mode=mode)
    expected = expected[:, :, max(top, 0) :][:, :, :rows][..., max(left, 0) :][..., :columns]
    np.testing.assert_array_equal(read_window(image, top, left, rows, columns, padding).numpy(), expected)


def test_a_window_inside_the_image_is_a_view():
    image = torch.zeros(1, 1, 9, 9)
    assert read_window(image, 1, 2, 4, 5, "reflect").untyped_storage().data_ptr() == image.untyped_storage().data_ptr()


def merged(tiles, rows, columns, dtype=torch.float32):
    merge = StripMerge(rows, columns, dtype)
    for row in range(len(rows.origins)):
        for column in range(len(columns.origins)):
            merge.add(column, tiles[row, column])
        merge.finish_row()
    return merge.result


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap", "margin"),
    [
        (37, 53, 16, 0.25, False),
        (37, 53, 16, 0.8, False),
        (40, 16, 16, 0.5, True),
        (9, 61, 16, 0.6, False),
        (37, 53, 16, 0.0, False),
    ],
)
def test_merge_equals_a_full_map_with_a_count_map(window, height, width, tile, overlap, margin):
    rows, columns = (plan_axis(size, tile, overlap, window, margin) for size in (height, width))
    generator = torch.Generator().manual_seed(0)
    tiles = torch.rand(len(rows.origins), len(columns.origins), 2, 3, tile, tile, generator=generator)
    weights = np.outer(window_weights(tile, window), window_weights(tile, window))
    total, count = np.zeros((2, 3, height, width)), np.zeros((height, width))
    for i, top in enumerate(rows.origins):
        for j, left in enumerate(columns.origins):
            for y in range(max(top, 0), min(top + tile, height)):
                line = slice(max(left, 0), min(left + tile, width))
                inside = slice(line.start - left, line.stop - left)
                total[:, :, y, line] += tiles[i, j, :, :, y - top, inside].numpy() * weights[y - top, inside]
                count[y, line] += weights[y - top, inside]
    expected = total / count
    np.testing.assert_allclose(merged(tiles, rows, columns).numpy(), expected, atol=1e-6)
    as_bytes = merged(tiles, rows, columns, torch.uint8)
    assert as_bytes.dtype == torch.uint8
    np.testing.assert_allclose(as_bytes.numpy(), expected * 255, atol=0.5 + 1e-3)


def test_a_tile_is_never_changed_even_an_expanded_one():
    rows = columns = plan_axis(12, 8, 0.5, "gaussian")
    tile = torch.tensor(0.25).expand(1, 2, 8, 8)
    tiles = {(i, j): tile for i in range(len(rows.origins)) for j in range(len(columns.origins))}
    np.testing.assert_allclose(merged(tiles, rows, columns).numpy(), 0.25, atol=1e-7)
    assert tile.stride()[-2:] == (0, 0)
    assert (tile == 0.25).all()


def test_half_precision_tiles_are_added_up_in_float32():
    axis = plan_axis(64, 16, 0.9, "constant")
    value = torch.tensor(0.7).bfloat16()
    tiles = {(i, j): value.expand(1, 1, 16, 16) for i in range(len(axis.origins)) for j in range(len(axis.origins))}
    result = merged(tiles, axis, axis)
    assert result.dtype == torch.float32
    # some 250 additions: bfloat16 would be off by 1e-2
    np.testing.assert_allclose(result.numpy(), value.item(), atol=1e-5)


def test_a_tile_of_another_size_names_both():
    axis = plan_axis(12, 8, 0.5, "gaussian")
    with pytest.raises(ValueError, match=r"\(4, 4\) pixels, expected \(8, 8\)"):
        StripMerge(axis, axis).add(0, torch.zeros(1, 1, 4, 4))


def test_the_strip_and_the_result_are_all_that_is_kept():
    rows, columns = plan_axis(400, 32, 0.25, "gaussian"), plan_axis(50, 32, 0.25, "gaussian")
    merge = StripMerge(rows, columns, torch.uint8)
    for _ in rows.origins:
        for column in range(len(columns.origins)):
            merge.add(column, torch.zeros(1, 2, 32, 32))
            assert merge.strip.shape == (1, 2, 32, 50)
        merge.finish_row()
    assert merge.strip is None
    assert merge.result.shape == (1, 2, 400, 50)


def test_bytes_are_rounded_and_clipped():
    values = torch.tensor([-0.1, 0.0, 0.4999 / 255, 0.5001 / 255, 0.5, 1.0, 1.5])
    assert to_bytes(values).tolist() == [0, 0, 0, 1, 128, 255, 255]
