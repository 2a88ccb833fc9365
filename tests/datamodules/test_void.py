"""From files to the network: what lies under void changes nothing, whatever target, reader and augmentation."""

import json

import albumentations
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

rasterio = pytest.importorskip("rasterio", reason='needs the extra: pip install -e ".[satellite]"')
pytest.importorskip("shapely", reason='needs the extra: pip install -e ".[satellite]"')

from rasterio.features import shapes  # noqa: E402
from rasterio.transform import from_origin  # noqa: E402

from augmentations import CopyPaste, Cutmix, Geometry, Mixup, Resize, TimmPolicy  # noqa: E402
from augmentations.base import blanked_batch, on_batch  # noqa: E402
from datamodules import ImageDataModule, SatelliteDataModule  # noqa: E402
from datamodules.readers.geotiff import HANDLES  # noqa: E402
from datamodules.table import rows_of  # noqa: E402
from datamodules.target_sources import foreground_area  # noqa: E402
from datamodules.targets import (  # noqa: E402
    ArrayFiles,
    Empty,
    Foreground,
    InstanceFolders,
    LabelImages,
    MaskFiles,
    Polygons,
    RasterMasks,
    RunLengths,
    TouchingBorders,
)
from datamodules.windows import GridWindows, RandomWindows  # noqa: E402
from exploration.facts import Examiner  # noqa: E402
from postprocessing import rle  # noqa: E402

SIDE = 48
IDS = ("a", "b", "c", "d")


@pytest.fixture(autouse=True)
def _closed():
    yield
    HANDLES.close()


def raster(path, array, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    HANDLES.close()
    with rasterio.open(
        path, "w", driver="GTiff", count=array.shape[0], height=array.shape[1], width=array.shape[2],
        dtype=array.dtype, crs="EPSG:32633", transform=from_origin(5e5, 5e6, 10, 10), **more,
    ) as file:  # fmt: skip
        file.write(array)


def picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def void_of(number):
    """Where image `number` is not known."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return (x + y < 30 + 5 * number) | (x > SIDE - 6)


def truth_of(number, under):
    """Class numbers 0 to 2 of squares and ids of objects, with something else under void where `under` says so."""
    random = np.random.default_rng(number)
    ids = np.kron(random.permutation(36).reshape(6, 6) * random.integers(0, 2, (6, 6)), np.ones((8, 8), np.int64))
    if under:
        other = np.kron(np.random.default_rng([number, 1]).permutation(36).reshape(6, 6), np.ones((8, 8), np.int64))
        ids = np.where(void_of(number), other, ids)
    return ids % 3, ids


def write_images(root):
    for number, image_id in enumerate(IDS):
        image = np.random.default_rng([number, 2]).integers(1, 200, (3, SIDE, SIDE), np.uint8)
        image[:, void_of(number)] = 0
        raster(root / f"images/{image_id}.tif", image, nodata=0)
        picture(root / f"pictures/{image_id}.png", image.transpose(1, 2, 0))
        picture(root / f"counts/{image_id}.png", (~void_of(number)).astype(np.uint8) * 255)


def write_truth(root, under):
    lines = ["ImageId,EncodedPixels"]
    for number, image_id in enumerate(IDS):
        classes, ids = truth_of(number, under)
        picture(root / f"classes/{image_id}.png", classes.astype(np.uint8))
        picture(root / f"binary/{image_id}.png", (classes > 0).astype(np.uint8) * 255)
        picture(root / f"ids/{image_id}.png", ids.astype(np.uint16))
        raster(root / f"raster/{image_id}.tif", classes[None].astype(np.uint8))
        (root / "arrays").mkdir(exist_ok=True)
        np.save(root / f"arrays/{image_id}.npy", np.stack([classes == 1, classes == 2]).astype(np.uint8))
        np.save(root / f"arrays/{image_id}_depth.npy", np.where(classes > 0, classes / 7, 0).astype(np.float32))
        for place in np.unique(ids)[1:]:
            mask = ids == place
            picture(root / f"objects/{image_id}/{place:02d}.png", mask.astype(np.uint8) * 255)
            lines.append(f"{image_id},{rle.encode(mask)}")
        outlines = shapes(ids.astype(np.int32), ids > 0, transform=from_origin(5e5, 5e6, 10, 10))
        features = [{"type": "Feature", "properties": {}, "geometry": outline} for outline, _ in outlines]
        member = {"type": "name", "properties": {"name": "EPSG:32633"}}
        (root / "polygons").mkdir(exist_ok=True)
        content = {"type": "FeatureCollection", "crs": member, "features": features}
        (root / f"polygons/{image_id}.geojson").write_text(json.dumps(content))
    (root / "runs.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Two sets of the same pictures, whose truth differs under void and nowhere else."""
    found = []
    for under in (False, True):
        root = tmp_path_factory.mktemp("set", numbered=True)
        write_images(root)
        write_truth(root, under)
        found.append(root)
    return found


TARGETS = {
    "classes": lambda: [MaskFiles("classes/{image_id}.png", classes=3), Empty(), Foreground("mask", "any")],
    "values": lambda: [MaskFiles("classes/{image_id}.png", values=[2])],
    "binary": lambda: [MaskFiles("binary/{image_id}.png"), Empty()],
    "raster": lambda: [RasterMasks("raster/{image_id}.tif", classes=3)],
    "ids": lambda: [LabelImages("ids/{image_id}.png"), TouchingBorders(), Foreground()],
    "objects": lambda: [InstanceFolders("objects/{image_id}/*.png"), TouchingBorders(), Empty("instances")],
    "runs": lambda: [RunLengths("runs.csv")],
    "arrays": lambda: [ArrayFiles("arrays/{image_id}.npy"), ArrayFiles("arrays/{image_id}_depth.npy", "depth")],
    "polygons": lambda: [Polygons("polygons/{image_id}.geojson")],
    "two": lambda: [
        MaskFiles("classes/{image_id}.png", classes=3),
        MaskFiles("binary/{image_id}.png", name="other", ignore=0),
    ],
}
STEPS = {
    "none": [],
    "albumentations": [albumentations.Affine(rotate=(20, 40), p=1.0), albumentations.D4(p=1.0)],
    "looking": [albumentations.CropNonEmptyMaskIfExists(24, 24, p=1.0)],
    "ours": [Geometry(d4=1.0, affine=1.0, rotate=40, elastic=2.0)],
    "torchvision": [v2.RandomRotation(30), v2.RandomHorizontalFlip(1.0)],
    "timm": [TimmPolicy("rand-m9-n2-mstd0.5")],
}
DEVICE = {
    "none": [],
    "geometry": [Geometry(d4=0.5, affine=1.0, rotate=30, crop=[40, 56])],
    "resized": [Resize([30, 30]), Cutmix(1.0)],
    "pasted": [CopyPaste(1.0)],
    "mixed": [Mixup(1.0)],
}


def data_of(root, targets, reader, **more):
    settings = {"root": str(root), "fold": "all", "batch_size": 4, "num_workers": 0, "seed": 3, "targets": targets}
    if reader == "raster":  # the reader knows void
        return SatelliteDataModule(images="images/*.tif", **settings | more)
    settings["targets"] = [*targets, MaskFiles("counts/{image_id}.png", name="valid")]  # a file does
    return ImageDataModule(images="pictures/*.png", **settings | more)


def batches_of(data):
    data.setup("fit")
    loader = data.train_dataloader()
    loader.sampler.set_epoch(0)
    return list(loader)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, other[name]), name


def assert_nothing_under_void(batch):
    axes = batch["image"].dim() - 2
    valid = batch["valid"]
    assert not valid.all()
    for name, value in batch.items():
        if not isinstance(value, torch.Tensor) or value.dim() <= axes or name in ("image", "valid"):
            continue
        shown = valid if value.dim() == axes + 1 else valid.unsqueeze(1)
        nothing = 255 if value.dtype == torch.int64 and value.dim() == axes + 1 else 0
        assert (value.masked_select(~shown.expand_as(value)) == nothing).all(), name


@pytest.mark.parametrize(("reader", "cache"), [("raster", "none"), ("raster", "ram"), ("picture", "none")])
@pytest.mark.parametrize("target", TARGETS)
def test_whole_images_of_any_target(roots, target, cache, reader):
    if reader == "picture" and target in ("raster", "polygons"):
        pytest.skip("rasters and polygons lie on a map")
    one, other = (batches_of(data_of(root, TARGETS[target](), reader, cache=cache)) for root in roots)
    assert len(one) == len(other) == 1
    assert_same(one[0], other[0])
    assert_nothing_under_void(one[0])
    void = torch.from_numpy(np.stack([void_of(IDS.index(name)) for name in one[0]["image_id"]]))
    assert not (one[0]["valid"] & void).any()


@pytest.mark.parametrize(("windows", "cache"), [("grid", "none"), ("random", "none"), ("grid", "ram")])
@pytest.mark.parametrize("target", ["classes", "binary", "raster", "runs", "arrays", "polygons"])
def test_windows_of_any_target(roots, target, windows, cache):
    found = []
    for root in roots:
        ways = {"grid": GridWindows(20, 0.2), "random": RandomWindows(20, positive=0.7)}
        found.append(batches_of(data_of(root, TARGETS[target](), "raster", cache=cache, windows=ways[windows])))
    for one, other in zip(*found, strict=True):
        assert_same(one, other)
        if "valid" in one:
            assert_nothing_under_void(one)
    assert any("valid" in batch for batch in found[0])


@pytest.mark.parametrize(
    ("worker", "device"), [*((worker, "none") for worker in STEPS), *(("none", device) for device in DEVICE)]
)
@pytest.mark.parametrize("target", ["classes", "binary", "ids"])
def test_augmentation_moves_what_counts_along(roots, target, worker, device):
    if device == "mixed" and target == "classes":
        pytest.skip("class numbers cannot be mixed")
    if device == "pasted" and target == "ids":
        pytest.skip("no mask of this name")
    found = []
    for root in roots:
        for batch in batches_of(data_of(root, TARGETS[target](), "raster", augmentation=STEPS[worker])):
            if target == "ids":
                batch.pop("mask")
            assert_nothing_under_void(batch)
            batch = blanked_batch(on_batch(DEVICE[device], batch, 255.0, np.random.default_rng(5)))
            assert_nothing_under_void(batch)
            found.append(batch)
    assert_same(*found)


@pytest.mark.parametrize("steps", [STEPS["albumentations"][:1], STEPS["ours"], STEPS["torchvision"], STEPS["timm"]])
def test_what_comes_from_outside_does_not_count(roots, steps):
    """Of a picture that is known everywhere; as on the device."""
    batch = batches_of(data_of(roots[0], TARGETS["classes"](), "raster", augmentation=steps))[0]
    whole = ImageDataModule(
        str(roots[0]), "pictures/*.png", TARGETS["classes"](), fold="all", batch_size=4, num_workers=0, seed=3,
        augmentation=steps,
    )  # fmt: skip
    known = batches_of(whole)[0]
    outside = (known["image"] == 0).all(1) & ~torch.from_numpy(
        np.stack([void_of(IDS.index(name)) for name in known["image_id"]])
    )
    assert "valid" in known
    assert not known["valid"].all()
    assert (known["mask"] == 255)[~known["valid"]].all()
    assert known["valid"].sum() >= batch["valid"].sum()
    assert outside.any()


def test_a_fill_for_masks_of_class_numbers(roots):
    """albumentations' own way to say that what comes from outside does not count."""
    step = albumentations.Affine(rotate=(30, 40), p=1.0, fill_mask=255)
    for target in ("classes", "binary"):
        batch = batches_of(data_of(roots[0], TARGETS[target](), "raster", augmentation=[step]))[0]
        assert_nothing_under_void(batch)
        assert batch["mask"].max() == (255 if target == "classes" else 1)
        plain = albumentations.Affine(rotate=(30, 40), p=1.0)
        other = batches_of(data_of(roots[0], TARGETS[target](), "raster", augmentation=[plain]))[0]
        assert_same(batch, other)


def test_a_smaller_picture_in_a_larger_crop_on_the_device():
    """Nothing is interpolated there, and yet something comes from outside."""
    batch = {"image": torch.ones(2, 3, 10, 12), "mask": torch.ones(2, 10, 12, dtype=torch.int64)}
    found = blanked_batch(on_batch([Geometry(crop=[16, 16])], batch, 255.0, np.random.default_rng(0)))
    assert found["valid"].sum() == 2 * 10 * 12
    assert (found["mask"] == torch.where(found["valid"], 1, 255)).all()


def hidden(root):
    """Every object of image a lies under void, of the others none does."""
    for image_id in IDS:
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[(slice(0, 8), slice(0, 8)) if image_id == "a" else (slice(36, 40), slice(34, 40))] = 1
        picture(root / f"hidden/{image_id}.png", mask)
    return [MaskFiles("hidden/{image_id}.png")]


@pytest.mark.parametrize("reader", ["raster", "picture"])
def test_samplers_folds_and_statistics_see_no_void(roots, reader):
    data = data_of(roots[0], hidden(roots[0]), reader, positives_only=True)
    data.setup("fit")
    assert data.split_table("train")["image_id"].tolist() == ["b", "c", "d"]
    table = data.table()
    rows = {row.image_id: row for row in rows_of(table)}
    assert [foreground_area(data.target_arrays(rows[image_id])) for image_id in IDS] == [0, 24, 24, 24]
    assert [foreground_area(data.raw_targets(rows[image_id])) for image_id in IDS] == [0, 24, 24, 24]
    facts = Examiner(data.reader, {"train": data.targets}, {}).facts(rows["a"], "train")
    assert facts.target_error is None
    assert facts.target["mask"].pixels == {"mask": 0}
    assert facts.target["mask"].total == (~void_of(0)).sum()


def test_windows_with_foreground_are_where_it_counts(roots):
    windows = RandomWindows(12, positive=1.0)
    data = data_of(roots[0], hidden(roots[0]), "raster", windows=windows)
    data.setup("fit")
    data.train_dataloader()
    assert [len(places) > 0 for places in windows.filled] == [False, True, True, True]


def test_the_cache_keeps_a_bit_a_pixel(roots):
    data = data_of(roots[0], TARGETS["classes"](), "raster", cache="ram")
    data.setup("fit")
    fields = {field[0]: field for field in data._decoded.places["a"][1]}
    assert fields["valid"][1:] == ("|b1", [SIDE, SIDE], fields["valid"][3], "bits")


def test_an_evaluation_batch_says_of_every_image_what_counts(roots, tmp_path):
    """Whichever image is first: one without void must not hide that of the others."""
    for number, image_id in enumerate(IDS):
        image = np.full((3, SIDE, SIDE), 9, np.uint8)
        if number in (1, 2):
            image[:, :5] = 0
        raster(tmp_path / f"images/{image_id}.tif", image, nodata=0)
        raster(tmp_path / f"raster/{image_id}.tif", np.ones((1, SIDE, SIDE), np.uint8))
    (tmp_path / "folds.csv").write_text("image_id,fold,group\n" + "".join(f"{i},0,{i}\n" for i in IDS[:3]) + "d,1,d\n")
    data = SatelliteDataModule(
        str(tmp_path), "images/*.tif", [RasterMasks("raster/{image_id}.tif")], folds=str(tmp_path / "folds.csv"),
        num_workers=0, eval_batch_size=3,
    )  # fmt: skip
    data.setup("validate")
    batch = next(iter(data.val_dataloader()))
    assert [int(valid.sum()) for valid in batch["valid"]] == [SIDE * SIDE, SIDE * (SIDE - 5), SIDE * (SIDE - 5)]
