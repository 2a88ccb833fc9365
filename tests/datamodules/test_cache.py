"""The decoded cache: same pixels, decoded once, and again when a file or a setting changes."""

import importlib
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from datamodules import ImageDataModule
from datamodules.cache import DecodedCache, settings_of
from datamodules.decoder import Decoder
from datamodules.quickstart import Nuclei
from datamodules.readers import ImageReader, ImageReadError, StackReader
from datamodules.table import find_images
from datamodules.targets import InstanceFolders, MaskFiles, Target
from preprocessing import Clahe, Resize


class Counting(ImageReader):
    """Counts its reads in a file, so that those of worker processes count as well."""

    def __init__(self, channels="rgb", log=None):
        super().__init__(channels)
        self.log = log

    def read(self, row):
        with open(self.log, "a") as handle:
            handle.write(row.image_id + "\n")
        return super().read(row)


class Oddities(Target):
    """One array of every kind that a target may give."""

    def read(self, row, size):
        random = np.random.default_rng(len(row.image_id))
        return {
            "mask": random.integers(2, size=(3, *size)).astype(np.uint8),
            "flags": random.integers(2, size=(5,)) > 0,
            "classes": random.integers(300, size=size),
            "signed": random.integers(-5, 5, size=size),
            "depth": random.random(size).astype(np.float32),
            "one": np.ones((1, *size), np.int64),
            "nothing": np.zeros((0,), np.int32),
        }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nuclei") / "data"
    Nuclei(train=20, test=1).write(folder)
    return folder


def table_of(root):
    return find_images(root, "stage1_train/*/images/*.png")


def decoder_of(root, log, channels="rgb"):
    targets = [InstanceFolders("stage1_train/{image_id}/masks/*.png"), Oddities()]
    for target in targets:
        target.prepare(table_of(root), root)
    return Decoder(Counting(channels, log), targets)


def reads(log):
    return log.read_text().split() if log.exists() else []


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("disk", [False, True])
def test_same_arrays_as_the_files_and_read_once(root, tmp_path, disk, workers):
    log = tmp_path / "log"
    decoder, table = decoder_of(root, log), table_of(root)
    cache = DecodedCache(decoder, tmp_path / "cache" if disk else None, workers)
    cache.build(table, show=False)
    assert sorted(reads(log)) == table["image_id"].tolist()
    for row in table.itertuples(index=False):
        image, arrays = cache.read(row)
        expected, truth = decoder.read(row)
        assert image.dtype == expected.dtype
        np.testing.assert_array_equal(image, expected)
        assert list(arrays) == list(truth)
        for name, array in arrays.items():
            assert array.dtype == truth[name].dtype
            np.testing.assert_array_equal(array, truth[name])
            array[...] = 0  # a caller may write into what it got
    np.testing.assert_array_equal(cache.read(row)[0], expected)


def test_the_next_run_decodes_nothing_and_a_changed_file_alone(root, tmp_path):
    log, folder = tmp_path / "log", tmp_path / "cache"
    table = table_of(root)
    DecodedCache(decoder_of(root, log), folder).build(table.iloc[:7], show=False)
    DecodedCache(decoder_of(root, log), folder).build(table.iloc[:7], show=False)
    assert len(reads(log)) == 7
    DecodedCache(decoder_of(root, log), folder).build(table, show=False)
    assert len(reads(log)) == 20
    mask = next((root / "stage1_train" / table["image_id"][3] / "masks").glob("*.png"))
    os.utime(mask, (1, 1))
    DecodedCache(decoder_of(root, log), folder).build(table, show=False)
    assert reads(log)[20:] == [table["image_id"][3]]
    DecodedCache(decoder_of(root, log, "gray"), folder).build(table, show=False)
    assert len(reads(log)) == 41


def test_code_in_files_beside_the_class_counts(tmp_path, monkeypatch):
    for name, content in (("mine", "class Mine: pass"), ("mine_pixels", "SHIFT = 1"), ("minerals", "SHIFT = 1")):
        (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    thing = importlib.import_module("mine").Mine()
    before = settings_of(thing)
    (tmp_path / "minerals.py").write_text("SHIFT = 2")
    assert settings_of(thing) == before
    (tmp_path / "mine_pixels.py").write_text("SHIFT = 2")
    assert settings_of(thing) != before


def test_settings_of_a_reader_in_a_reader():
    def settings(**changed):
        return settings_of(StackReader(reader=ImageReader(**({"channels": "gray"} | changed))))

    assert settings() == settings() == settings_of(StackReader())  # whatever its place in memory
    assert settings(channels="rgb") != settings()
    assert settings(max_pixels=7) != settings()


def test_a_killed_build_goes_on(root, tmp_path):
    log, folder, table = tmp_path / "log", tmp_path / "cache", table_of(root)
    good = Image.open(table["path"][15]).copy()
    broken = table.copy()
    broken.loc[15, "path"] = str(tmp_path / "broken.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ImageReadError, match="broken.png"):
        DecodedCache(decoder_of(root, log), folder).build(broken, show=False)
    assert not list(folder.glob("*.tmp"))
    before = len(reads(log))
    good.save(tmp_path / "broken.png")
    cache = DecodedCache(decoder_of(root, log), folder)
    cache.build(broken, show=False)
    assert len(reads(log)) - before == 12  # the first shard of 8 was complete
    np.testing.assert_array_equal(cache.read(broken.iloc[15])[0], decoder_of(root, log).read(table.iloc[15])[0])


def test_masks_take_a_bit_a_pixel(tmp_path):
    picture = np.zeros((512, 512), np.uint8)
    picture[100:200, 50:300] = 255
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.fromarray(picture).save(tmp_path / "images/a.png")
    Image.fromarray(picture).save(tmp_path / "masks/a.png")
    table = find_images(tmp_path, "images/*.png")
    target = MaskFiles("masks/{image_id}.png")
    target.prepare(table, tmp_path)
    DecodedCache(Decoder(ImageReader("gray"), [target]), tmp_path / "cache").build(table, show=False)
    size = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*.bin"))
    assert size == 512 * 512 + 512 * 512 // 8


def test_too_little_memory_says_how_much(root, tmp_path, monkeypatch):
    monkeypatch.setattr("datamodules.cache.free_memory", lambda: 1000)
    with pytest.raises(MemoryError, match="data.cache: ram needs about .* data.cache: disk"):
        DecodedCache(decoder_of(root, tmp_path / "log")).build(table_of(root), show=False)


def nuclei(root, **settings):
    pattern = "stage1_train/{image_id}/masks/*.png"
    images = {"root": str(root), "images": "stage1_train/*/images/*.png", "targets": [InstanceFolders(pattern)]}
    return ImageDataModule(**images, fold="all", num_workers=0, predict_split=[str(root / "pictures")], **settings)


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_preprocessing_reaches_training_and_prediction(root, cache):
    (root / "pictures").mkdir(exist_ok=True)
    for path in sorted(root.glob("stage1_train/*/images/*.png"))[:2]:
        shutil.copy(path, root / "pictures")
    step = Clahe(kernel=16)
    data = nuclei(root, cache=cache, preprocessing=[step], batch_size=1)
    data.setup("fit")
    paths = {path.stem: path for path in root.glob("stage1_train/*/images/*.png")}
    for batch in (next(iter(data.train_dataloader())), next(iter(data.predict_dataloader()[0]))):
        plain = np.asarray(Image.open(paths[batch["image_id"][0]]).convert("RGB"))
        found = batch["image"][0].numpy().transpose(1, 2, 0)
        np.testing.assert_array_equal(found, step.image(plain))
        assert (found != plain).any()


def test_steps_that_change_the_shape_are_refused(root):
    with pytest.raises(ValueError, match="Resize changes the shape of images.*prepare.*model.inference.size"):
        nuclei(root, preprocessing=[Resize((8, 8))])
