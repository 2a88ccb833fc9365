"""One sampling for all geometry: against its parts, on the device and in a worker, image, masks and boxes together."""

import itertools

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from augmentations import Geometry
from augmentations.geometry import D4
from augmentations.maps import Warp
from augmentations.warp import coordinates, warp_images
from augmentations.warp_cv2 import ImageWarp

EVERYTHING = {
    "d4": 1.0,
    "affine": 1.0,
    "rotate": 30.0,
    "scale": [0.8, 1.2],
    "shear": 8.0,
    "translate": 0.1,
    "perspective": 0.05,
    "elastic": 2.0,
    "elastic_p": 1.0,
    "grid": 0.2,
    "grid_p": 1.0,
    "optical": 0.1,
    "optical_p": 1.0,
}
SOME = [
    {"d4": 1.0},
    {"hflip": 1.0, "vflip": 0.5},
    {"affine": 1.0, "rotate": 45.0},
    {"affine": 1.0, "scale": [0.8, 1.2], "shear": 10.0, "translate": 0.2},
    {"affine": 1.0, "perspective": 0.1},
    {"elastic": 3.0, "elastic_p": 1.0},
    {"grid": 0.3, "grid_p": 1.0},
    {"optical": 0.2, "optical_p": 1.0},
    {"crop": [40, 32]},
    {"crop": [40, 40], "crop_area": [0.3, 0.9], "crop_ratio": [0.8, 1.25]},
    EVERYTHING,
]


def smooth(height=64, width=64, channels=3, count=2, seed=0):
    """Asymmetric pictures without sharp edges, in 0..255."""
    noise = torch.rand(count, channels, height // 8, width // 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, (height, width), mode="bicubic", align_corners=False).clamp(0, 1) * 255


def blob(height=64, width=64, count=2):
    """A mask and instance ids that no symmetry keeps, as truth of the same picture."""
    mask = torch.zeros(count, 1, height, width, dtype=torch.uint8)
    mask[:, :, 8:40, 12:28] = 1
    mask[:, :, 30:40, 12:50] = 1
    return mask


def batch(**size):
    mask = blob(**size)
    return {
        "image": mask.repeat(1, 3, 1, 1) * 200,
        "mask": mask,
        "classes": mask[:, 0].long() * 7,
        "label": torch.ones(2, 4),
    }


def random(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("settings", SOME)
def test_image_mask_and_classes_move_together(settings):
    """The image is its own mask in grey: where the mask says 1, the image is bright."""
    for seed in range(4):
        found = Geometry(**settings).batch(batch(), 255.0, random(seed))
        assert found["mask"].dtype == torch.uint8
        assert set(found["mask"].unique().tolist()) <= {0, 1}
        assert torch.equal(found["classes"], found["mask"][:, 0].long() * 7)
        bright = found["image"][:, 0] > 100
        assert (bright != (found["mask"][:, 0] > 0)).float().mean() < 0.015
        assert found["image"].shape[2:] == found["mask"].shape[2:] == found["classes"].shape[1:]
        assert torch.equal(found["label"], torch.ones(2, 4))


@pytest.mark.parametrize("settings", SOME)
def test_the_worker_does_what_the_device_does(settings):
    """The same draw through OpenCV on bytes and through torch: to interpolation and rounding."""
    images = smooth(72, 56, count=1).round()
    mask = blob(72, 56, count=1)
    for seed in range(3):
        geometry = Geometry(**settings)
        device = geometry.batch({"image": images.to(torch.uint8), "mask": mask}, 255.0, random(seed))
        image = images[0].permute(1, 2, 0).numpy().astype(np.uint8)
        worker, arrays = geometry.sample(image, {"mask": mask[0].numpy()}, 255.0, random(seed))
        apart = np.abs(worker.astype(float) - device["image"][0].permute(1, 2, 0).numpy())
        inside = arrays.get("valid", np.ones(worker.shape[:2], bool))
        inside = cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) > 0
        assert np.quantile(apart[inside], 0.99) < 4
        assert (arrays["mask"] != device["mask"][0].numpy()).mean() < 0.01
        if "valid" in device:
            assert (inside != device["valid"][0].numpy()).mean() < 0.12
            assert (arrays.get("valid", np.ones(worker.shape[:2], bool)) != device["valid"][0].numpy()).mean() < 0.02


def test_all_in_one_is_each_after_the_other():
    """A turn, a zoom and a shift in one sampling against three; the fused one is the sharper."""
    images = smooth(96, 96, count=1)

    def warp(matrix, field=None):
        return Warp((96, 96), matrix[None], field, None, None, None, np.array([False]), "reflect")

    def about_centre(linear, shift=(0, 0)):
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = 47.5 - linear @ np.array([47.5, 47.5]) + shift
        return matrix

    angle = np.deg2rad(20)
    turn = about_centre(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))
    zoom, shift = about_centre(np.eye(2) / 1.1), about_centre(np.eye(2), (5, -3))
    field = np.random.default_rng(0).standard_normal((1, 2, 6, 6)).astype(np.float32) * 1.5
    steps = images
    for matrix, moved in ((turn, None), (zoom, None), (shift, field)):
        part = warp(matrix, moved)
        steps = warp_images(steps, coordinates(part, (96, 96), images.device), "reflect")
    whole = warp(turn @ zoom @ shift)
    # The field of the last step is seen through the earlier ones: q = T Z (S p + d) = T Z S p + (T Z) d.
    bent = np.einsum("ij,njhw->nihw", (turn @ zoom)[:2, :2], field).astype(np.float32)
    fused = warp_images(images, coordinates(whole._replace(field=bent), (96, 96), images.device), "reflect")
    apart = (fused - steps).abs()[..., 16:-16, 16:-16]
    assert apart.mean() < 1.5
    assert apart.max() < 12


def test_identity_gives_the_very_pixels():
    for picture in (smooth(33, 48), smooth(33, 48).to(torch.uint8)):
        found = Geometry(affine=1.0, elastic=0, d4=0).batch({"image": picture}, 255.0, random())
        torch.testing.assert_close(found["image"], picture.float(), atol=1e-3, rtol=0)
        assert "valid" not in found


# --- flips and turns -------------------------------------------------------------------------------------------------


def elements(size=8):
    """What each element of the square's symmetries makes of an asymmetric picture, on the device."""
    picture = torch.arange(size * size, dtype=torch.float32).view(1, 1, size, size)
    results = []
    for linear in D4:
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        centre = np.array([(size - 1) / 2] * 2)
        matrix[:2, 2] = centre - linear @ centre
        warp = Warp((size, size), matrix[None], None, None, None, None, np.array([True]), "constant")
        found = warp_images(picture, coordinates(warp, (size, size), picture.device), "constant")
        image = ImageWarp(warp, (size, size)).image(picture[0].permute(1, 2, 0).numpy())
        torch.testing.assert_close(found[0, 0], torch.from_numpy(image[..., 0]), atol=1e-3, rtol=0)
        results.append(image[..., 0])
    return picture[0, 0].numpy(), results


def test_eight_distinct_invertible_elements():
    picture, results = elements()
    assert len({result.tobytes() for result in results}) == 8
    expected = [np.rot90(mirrored, k) for mirrored in (picture, picture[:, ::-1]) for k in range(4)]
    assert {np.ascontiguousarray(e).tobytes() for e in expected} == {r.tobytes() for r in results}
    for one in D4:
        assert any(np.array_equal(one @ other, np.eye(2)) for other in D4)


@pytest.mark.parametrize("border", ["constant", "reflect"])
def test_lossless_pixels_on_both_paths(border):
    """Symmetries and crops move pixels: bytes come back as bytes, values are neither made nor lost."""
    picture = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    geometry = Geometry(d4=1.0, border=border)
    seen = set()
    for seed in range(80):
        found = geometry.batch({"image": picture}, 255.0, random(seed))["image"]
        assert torch.allclose(found, found.round(), atol=1e-3)
        for before, after in zip(picture, found, strict=True):
            assert torch.equal(before.flatten().sort().values.float(), after.round().flatten().sort().values)
        image = picture[0].permute(1, 2, 0).numpy()
        moved, _ = geometry.sample(image, {}, 255.0, random(seed))
        assert moved.dtype == np.uint8
        seen.add(moved.tobytes())
    assert len(seen) == 8
    crop = Geometry(crop=[16, 12], hflip=0.5, border=border)
    for seed in range(10):
        found = crop.batch({"image": picture}, 255.0, random(seed))["image"]
        assert found.shape == (2, 3, 16, 12)
        assert torch.allclose(found, found.round(), atol=1e-3)
        moved, _ = crop.sample(picture[0].permute(1, 2, 0).numpy(), {}, 255.0, random(seed))
        windows = np.lib.stride_tricks.sliding_window_view(picture[0].permute(1, 2, 0).numpy(), (16, 12), (0, 1))
        windows = windows.transpose(0, 1, 3, 4, 2)
        assert any((windows == candidate).all((2, 3, 4)).any() for candidate in (moved, moved[:, ::-1]))


def test_a_rectangle_keeps_its_sides():
    picture = torch.arange(6 * 10.0).view(1, 1, 6, 10)
    found = {
        Geometry(d4=1.0).batch({"image": picture}, 255.0, random(seed))["image"].round().numpy().tobytes()
        for seed in range(40)
    }
    assert len(found) == 4


def test_a_smaller_picture_lies_in_the_middle():
    picture = torch.full((1, 1, 10, 12), 9.0)
    found = Geometry(crop=[16, 16], affine=1.0, rotate=[0, 0]).batch({"image": picture}, 255.0, random())
    expected = torch.zeros(16, 16)
    expected[3:13, 2:14] = 9
    torch.testing.assert_close(found["image"][0, 0], expected, atol=1e-3, rtol=0)
    image, arrays = Geometry(crop=[16, 16]).sample(picture[0].permute(1, 2, 0).numpy(), {}, 255.0, random())
    np.testing.assert_array_equal(image[..., 0], expected)
    np.testing.assert_array_equal(arrays["valid"], expected > 0)


# --- ranges ----------------------------------------------------------------------------------------------------------


def test_a_turn_by_90_degrees_is_counter_clockwise_as_albumentations():
    import albumentations

    picture = smooth(32, 32, count=1)
    ours = Geometry(affine=1.0, rotate=[90, 90]).batch({"image": picture}, 255.0, random())["image"]
    theirs = albumentations.Affine(rotate=(90, 90), p=1.0)(image=picture[0].permute(1, 2, 0).numpy())["image"]
    torch.testing.assert_close(ours[0].permute(1, 2, 0), torch.from_numpy(theirs), atol=2, rtol=0)
    torch.testing.assert_close(ours[0], torch.rot90(picture[0], 1, (1, 2)), atol=1e-2, rtol=0)


def test_area_of_a_disc_follows_the_scale():
    y, x = torch.meshgrid(torch.arange(128) - 63.5, torch.arange(128) - 63.5, indexing="ij")
    disc = ((x**2 + y**2) < 30**2).to(torch.uint8)[None, None].repeat(64, 1, 1, 1)
    found = Geometry(affine=1.0, scale=[0.8, 1.2]).batch({"image": disc, "mask": disc}, 255.0, random())["mask"]
    ratio = found.flatten(1).sum(1) / disc[0].sum()
    assert ratio.min() >= 0.63
    assert ratio.max() <= 1.45
    assert ratio.max() - ratio.min() > 0.5
    half = Geometry(affine=1.0, scale=[0.5, 0.5]).batch({"image": disc, "mask": disc}, 255.0, random())["mask"]
    assert (half[0].sum() / disc[0].sum()).item() == pytest.approx(0.25, rel=0.03)


def test_angles_cover_their_range_and_chances_are_kept():
    warp = Geometry(affine=0.5, rotate=[0, 45], d4=0.0).draw(4000, (32, 32), random())
    angles = np.rad2deg(np.arctan2(warp.matrix[:, 1, 0], warp.matrix[:, 0, 0]))
    assert 0.47 < warp.exact.mean() < 0.53
    moved = np.sort(angles[~warp.exact])
    assert moved[0] >= -1e-9
    assert moved[-1] <= 45 + 1e-9
    assert np.abs(np.quantile(moved, [0.25, 0.5, 0.75]) - [11.25, 22.5, 33.75]).max() < 2


def test_crops_take_their_share():
    warp = Geometry(crop=[32, 64], crop_area=[0.25, 0.5], crop_ratio=[0.75, 1.33]).draw(2000, (120, 200), random())
    corners = np.einsum("nij,jk->nik", warp.matrix, np.array([[-0.5, 63.5], [-0.5, 31.5], [1, 1]]))[:, :2]
    sides = corners[..., 1] - corners[..., 0]
    share = sides.prod(1) / (120 * 200)
    assert 0.2 < share.min() < 0.3
    assert share.max() <= 0.5 + 1e-9
    assert corners[..., 0].min() >= -0.5 - 1e-9
    assert (corners[..., 1] <= np.array([200, 120]) - 0.5 + 1e-9).all()
    assert 0.74 < (sides[:, 0] / sides[:, 1] / 2).min() < (sides[:, 0] / sides[:, 1] / 2).max() < 1.34


def test_grid_distortion_keeps_the_frame():
    columns, rows, _ = Geometry(grid=0.3, grid_p=1.0)._stretches(3, (40, 60), random())
    assert columns.shape == (3, 60)
    assert rows.shape == (3, 40)
    assert np.abs(columns[:, [0, -1]]).max() < 1e-4
    places = columns + np.arange(60)
    assert (np.diff(places, axis=1) > 0).all()  # nothing folds over
    assert np.abs(columns).max() > 2


def test_pincushion_and_barrel():
    """Corners move outwards or inwards along their radius, the middle stays."""
    for share in (0.2, -0.2):
        warp = Geometry().draw(1, (33, 33), random())._replace(radial=np.array([share], np.float32))
        places = coordinates(warp, (33, 33), torch.device("cpu"))[0]
        assert places[16, 16].abs().max() < 1e-6
        # (1 + k r²) with r = 1 at the corner of the frame, just outside the corner pixel
        reach = 16**2 * 2 * 4 / (33**2 * 2)
        assert places[0, 0, 0].item() == pytest.approx(-(32 / 33) * (1 + share * reach), abs=1e-4)


# --- borders and boxes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("border", ["constant", "reflect"])
def test_what_lies_outside(border):
    picture = torch.full((2, 1, 32, 32), 100, dtype=torch.uint8)
    given = {"image": picture, "mask": torch.ones(2, 1, 32, 32, dtype=torch.uint8)}
    found = Geometry(affine=1.0, rotate=[45, 45], border=border).batch(given, 255.0, random())
    if border == "reflect":
        assert "valid" not in found
        assert (found["image"] - 100).abs().max() < 1e-3
        assert (found["mask"] == 1).all()
        return
    valid = found["valid"]
    assert valid.dtype == torch.bool
    assert 0.75 < valid.float().mean() < 0.9
    assert (found["mask"][:, 0] == valid).all()
    assert found["image"][:, 0][~valid].max() < 60  # half a pixel may still reach in
    again = Geometry(affine=1.0, rotate=[45, 45]).batch(found, 255.0, random())
    assert not (again["valid"] & ~again["mask"][:, 0].bool()).any()


@pytest.mark.parametrize("settings", SOME)
def test_boxes_enclose_their_object(settings):
    given = batch() | {
        "boxes": [torch.tensor([[12.0, 8, 50, 40], [60, 60, 63, 63]])] * 2,
        "labels": [torch.tensor([3, 4])] * 2,
    }
    for seed in range(3):
        found = Geometry(**settings).batch(given, 255.0, random(seed))
        for mask, boxes, labels in zip(found["mask"], found["boxes"], found["labels"], strict=True):
            assert len(boxes) == len(labels)
            where = mask[0].nonzero()
            if not len(where) or 3 not in labels:
                assert not len(where)
                continue
            left, top, right, bottom = boxes[labels.tolist().index(3)]
            assert left <= where[:, 1].min()
            assert top <= where[:, 0].min()
            assert right >= where[:, 1].max() + 1
            assert bottom >= where[:, 0].max() + 1
        arrays = {"mask": given["mask"][0].numpy(), "boxes": given["boxes"][0].numpy(), "labels": np.array([3, 4])}
        image = given["image"][0].permute(1, 2, 0).numpy()
        _, moved = Geometry(**settings).sample(image, arrays, 255.0, random(seed))
        assert len(moved["boxes"]) == len(moved["labels"])


def test_a_flip_of_boxes_by_hand():
    given = {"image": torch.zeros(1, 1, 20, 30), "boxes": [torch.tensor([[2.0, 3, 10, 8]])]}
    found = Geometry(hflip=1.0).batch(given, 255.0, random())
    assert found["boxes"][0].tolist() == [[20, 3, 28, 8]]
    assert Geometry(hflip=1.0).sample(np.zeros((20, 30, 1)), {"boxes": given["boxes"][0].numpy()}, 1.0, random())[1][
        "boxes"
    ].tolist() == [[20, 3, 28, 8]]


# --- randomness and errors -------------------------------------------------------------------------------------------


def test_the_seed_decides():
    one, again, other = (Geometry(**EVERYTHING).batch(batch(), 255.0, random(seed))["image"] for seed in (5, 5, 6))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])  # each sample on its own


def test_settings_that_cannot_be():
    for settings, message in (
        ({"d4": 1.5}, "d4 is 1.5, expected a probability"),
        ({"scale": [1.2, 0.8]}, r"scale is \[1.2, 0.8\]"),
        ({"crop_area": [0.5, 1.0]}, "needs crop"),
        ({"grid": 1.0}, "grid 1.0, optical 0.0; expected"),
    ):
        with pytest.raises(ValueError, match=message):
            Geometry(**settings)
    with pytest.raises(ValueError, match="CubeIsometries"):
        Geometry().batch({"image": torch.zeros(1, 1, 4, 4, 4)}, 255.0, random())


@pytest.mark.parametrize(
    ("dtype", "channels"), list(itertools.product([np.uint8, np.uint16, np.float32], [1, 2, 4, 7]))
)
def test_types_and_channels_in_a_worker(dtype, channels):
    image = np.random.default_rng(0).integers(0, 200, (32, 40, channels)).astype(dtype)
    masks = {"mask": np.ones((5, 32, 40), np.uint8), "classes": np.full((32, 40), 300, np.int64)}
    found, arrays = Geometry(**EVERYTHING, border="reflect").sample(image, masks, 255.0, random())
    assert found.shape == image.shape
    assert found.dtype == dtype
    assert arrays["mask"].shape == (5, 32, 40)
    assert arrays["classes"].dtype == np.int64
    assert (arrays["classes"] == 300).all()


def test_left_and_right_change_places_in_mirrored_samples():
    """Class 1 lies left, class 2 right; after a mirror the one at the left is still called 1."""
    classes = torch.zeros(1, 8, 8, dtype=torch.int64)
    classes[:, :, :3], classes[:, :, 5:] = 1, 2
    channels = torch.stack([classes == 1, classes == 2], 1).to(torch.uint8)
    label = torch.tensor([[1.0, 0.0]])
    given = {"image": torch.zeros(1, 1, 8, 8), "mask": classes, "sides": channels, "label": label}
    pairs = {"mask": [[1, 2]], "sides": [[0, 1]]}
    found = Geometry(hflip=1.0, swap=pairs["mask"]).batch(given, 255.0, random())
    assert torch.equal(found["mask"], classes)
    found = Geometry(hflip=1.0, swap=pairs["sides"]).batch(given, 255.0, random())
    assert torch.equal(found["sides"], channels)
    assert found["label"].tolist() == [[0.0, 1.0]]
    turned = Geometry(hflip=1.0, vflip=1.0, swap=pairs["mask"]).batch(given, 255.0, random())
    assert torch.equal(turned["mask"], torch.rot90(classes, 2, (1, 2)))  # two mirrors are a turn
    arrays = {"mask": classes[0].numpy(), "label": np.array([1.0, 0.0], np.float32)}
    _, moved = Geometry(hflip=1.0, swap=pairs["mask"]).sample(np.zeros((8, 8, 1)), arrays, 255.0, random())
    np.testing.assert_array_equal(moved["mask"], classes[0])
    with pytest.raises(ValueError, match="expected pairs"):
        Geometry(swap=[[1]])
