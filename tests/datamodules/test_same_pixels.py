"""Pictures of several depths or numbers of channels are told before anything is trained or predicted."""

import re

import numpy as np
import pytest
import tifffile
import torch
from pytorch_lightning import LightningModule

from datamodules import ImageDataModule
from datamodules.external.base import ExternalData
from datamodules.readers import ArrayReader, ImageReader, Pixels
from datamodules.same_pixels import refuse_mixed, warn_of_range
from datamodules.table import find_images
from datamodules.targets import MaskFiles
from files.png import write_png

PLACES = ["train/a", "train/f", "test/x"]  # a picture of validation, of training, to be predicted


@pytest.fixture
def root(tmp_path):
    random = np.random.default_rng(0)
    for folder in ("train", "test", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("train/a", "train/b", "train/c", "train/f", "test/x", "test/y"):
        write_png(tmp_path / f"{name}.png", random.integers(0, 256, (8, 8, 3), np.uint8))
    for name in "abcf":
        write_png(tmp_path / f"masks/{name}.png", random.integers(0, 2, (8, 8), np.uint8))
    (tmp_path / "folds.csv").write_text("image_id,fold,group\n" + "".join(f"{n},{n in 'ab':d},{n}\n" for n in "abcf"))
    return tmp_path


def data(root, **settings):
    target = MaskFiles("masks/{image_id}.png")
    arguments = {"test_images": "test/*", "targets": [target], "test_targets": [MaskFiles("masks/a.png")], "fold": 1}
    arguments |= {"folds": str(root / "folds.csv"), "num_workers": 0} | settings
    return ImageDataModule(str(root), "train/*", **arguments)


def deeper(root, name):
    write_png(root / f"{name}.png", np.full((8, 8, 3), 65535, np.uint16))


@pytest.mark.parametrize("cache", ["none", "ram"])
@pytest.mark.parametrize("place", PLACES)
def test_a_fit_is_refused(root, place, cache):
    data(root, cache=cache).setup("fit")
    deeper(root, place)
    told = (
        rf"\S*\.png is uint8 \(5 images\), \S*{place}\.png is uint16 \(1 images\): equal values differ "
        r"in brightness; convert all to one bit depth, python cli\.py prepare --bits 8 \(or 16\)"
    )
    with pytest.raises(ValueError, match=f"^{told}"):
        data(root, cache=cache).setup("fit")
    data(root, cache=cache, check_files=False).setup("fit")


@pytest.mark.parametrize(("stage", "place"), [("validate", "train/a"), ("test", "test/x"), ("predict", "test/x")])
def test_each_verb_looks_at_what_it_reads(root, stage, place):
    splits = {"predict_split": ["test"]}
    data(root, **splits).setup(stage)
    deeper(root, "train/f")  # which none of them reads
    data(root, **splits).setup(stage)
    deeper(root, place)
    with pytest.raises(ValueError, match=r"^\S*\.png is uint\d+ \(1 images\), \S*\.png is uint\d+ ") as raised:
        data(root, **splits).setup(stage)
    assert f"{place}.png is uint16" in str(raised.value)


def test_a_folder_to_predict_is_compared_with_the_others(root, tmp_path):
    (root / "hidden").mkdir()
    deeper(root, "hidden/z")
    data(root, predict_split=[str(root / "hidden")], test_images=None).setup("predict")
    with pytest.raises(ValueError, match=r"is uint8 .*hidden/z\.png is uint16"):
        data(root, predict_split=["val", str(root / "hidden")]).setup("predict")


def test_test_images_that_are_not_there_yet_do_not_stop_a_fit(root):
    data(root, test_images="later/*").setup("fit")
    (root / "test/x.png").write_bytes(b"no picture")
    data(root).setup("fit")
    data(root, unreadable="empty").setup("predict")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), r"is uint8 .* is float32 .*differ in brightness"),
        (np.zeros((8, 8, 3), np.int16), r"is uint8 .* is int16 .*differ in brightness"),
        (np.zeros((8, 8, 4), np.uint8), r"is of 3 channels .* is of 4 channels .*one number of channels"),
        (np.zeros((8, 8), bool), r"is uint8 .* is 1-bit .*set reader.channels to gray or rgb"),
    ],
)
def test_other_kinds_that_do_not_go_together(root, other, message):
    (root / "train/f.png").unlink()
    photometric = "rgb" if other.ndim == 3 else None
    tifffile.imwrite(root / "train/f.tif", other, photometric=photometric, extrasamples=None)
    with pytest.raises(ValueError, match=message):
        data(root, reader=ImageReader("unchanged")).setup("fit")


def test_gray_and_colour_go_together_where_the_reader_makes_them_one(root):
    write_png(root / "train/f.png", np.zeros((8, 8), np.uint8))
    for channels in ("rgb", "gray"):
        data(root, reader=ImageReader(channels)).setup("fit")
    with pytest.raises(ValueError, match=r"is of 3 channels \(5 images\), \S*f\.png is of 1 channels \(1 images\)"):
        data(root, reader=ImageReader("unchanged")).setup("fit")


def test_floats_of_any_size_go_together(tmp_path):
    (tmp_path / "images").mkdir()
    for name, kind in {"a": np.float32, "b": np.float64, "c": np.float16}.items():
        np.save(tmp_path / f"images/{name}.npy", np.zeros((8, 8, 3), kind))
    made = ImageDataModule(str(tmp_path), "images/*.npy", [], fold="all", reader=ArrayReader(), num_workers=0)
    made.setup("fit")
    np.save(tmp_path / "images/c.npy", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a\.npy is float32 \(2 images\), \S*c\.npy is uint8 \(1 images\)"):
        made.setup("fit")


class Photos(ExternalData):
    """Pictures of a folder."""

    def table(self):
        return self.named(find_images(self.root, "*.png", "train").drop(columns=["weight", "source"]))


def test_external_pictures_are_looked_at_by_their_own_reader(root, tmp_path):
    (tmp_path / "photos").mkdir()
    write_png(tmp_path / "photos/p.png", np.full((8, 8, 3), 999, np.uint16))
    with pytest.raises(ValueError, match=r"is uint8 \(6 images\), \S*p\.png is uint16 \(1 images\)"):
        data(root, external=[Photos(str(tmp_path / "photos"), 1.0, "photos", targets=[])]).setup("fit")


def test_looking_leaves_the_random_numbers_alone(root):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    data(root, num_workers=2).setup("predict")
    assert torch.equal(before, torch.get_rng_state())


def test_three_kinds_are_named():
    found = [("a", Pixels("uint8", 3)), ("b", Pixels("uint8", 3)), ("c", Pixels("int16", 1)), ("d", Pixels("int16", 3))]
    with pytest.raises(
        ValueError, match=r"^a is uint8 \(2 images\), c is int16 \(1 images\), d is int16 \(1 images\):"
    ):
        refuse_mixed(found)


@pytest.mark.parametrize(
    ("kind", "input_range", "told"),
    [
        ("uint8", 255, None),
        ("uint8", 1, None),  # weights of Caffe
        ("uint8", 65535, "set model.input_range: 255"),
        ("uint16", 255, r"whose white is 65535, but model.input_range is 255: set model.input_range: 65535 \(4095"),
        ("uint16", 4095, None),
        ("uint16", 65535, None),
        ("1-bit", 255, "set model.input_range: 1, or data.reader.channels: gray"),
        ("uint8 up to 3", 255, "set model.input_range: 3"),
        ("float32", 255, None),
    ],
)
def test_a_range_that_does_not_fit_is_warned_about(recwarn, kind, input_range, told):
    warn_of_range("a.png", Pixels(kind, 3), input_range)
    texts = [str(one.message) for one in recwarn]
    assert bool(texts) is (told is not None)
    assert told is None or re.search(rf"a\.png is {kind}, .*{told}", texts[0])


def test_the_models_range_is_looked_at_in_setup(root):
    for name in ("train/a", "train/b", "train/c", "train/f", "test/x", "test/y"):
        deeper(root, name)
    made = data(root)
    module = LightningModule()
    module.input_range = torch.tensor(255.0)
    made.trainer = type("Trainer", (), {"lightning_module": module})()
    with pytest.warns(UserWarning, match=r"train/\w\.png is uint16, whose white is 65535, but model.input"):
        made.setup("fit")
