"""Scenes from file to file: what `predict` writes of them, and how much memory it takes."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from callbacks import PredictionWriter
from datamodules import ImageDataModule, SatelliteDataModule
from datamodules.readers import ArrayReader, ImageReadError
from inference import Inference
from lightning_modules import SegmentationModule
from predictions.store import PredictionStore

rasterio = pytest.importorskip("rasterio")


def scene(path, size, seed=0, block=64):
    profile = {"driver": "GTiff", "count": 3, "height": size[0], "width": size[1], "dtype": "uint16", "tiled": True}
    pixels = np.random.default_rng(seed).integers(1, 1000, (3, *size)).astype(np.uint16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile, blockxsize=block, blockysize=block) as target:
            target.write(pixels)
    return pixels


class Heads(nn.Module):
    """A map of two channels and a label, from the picture and a number beside it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 5, padding=2)

    def forward(self, image, features):
        mask = self.conv(image) + features[:, :1, None, None]
        return {"mask": mask, "label": mask.mean((2, 3))}


def module(stream_above, tta="none"):
    torch.manual_seed(0)
    inference = Inference(64, tta=tta, stream_above=stream_above)
    return SegmentationModule(
        Heads(), ["mask", "label"], "bce(mask)", inputs=["image", "features"], input_range=1000, inference=inference
    )


def predict(folder, data, model, plugins=()):
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[PredictionWriter(folder, "one")],
        plugins=list(plugins),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.predict(model, datamodule=data, return_predictions=False)
    return PredictionStore.open(folder / "test")


@pytest.fixture
def scenes(tmp_path):
    """Scenes of several sizes, and a table that gives each a number."""
    root = tmp_path / "data"
    root.mkdir()
    for number, size in enumerate([(300, 170), (64, 64), (150, 333)]):
        scene(root / f"s{number}.tif", size, number)
    (root / "numbers.csv").write_text("image_id,number\ns0,0.5\ns1,-1\ns2,2\n")
    return root


def satellite(root, **changed):
    arguments = {"test_images": "*.tif", "fold": "all", "num_workers": 0, "predict_split": ["test"]} | changed
    return SatelliteDataModule(
        str(root), "*.tif", [], test_metadata="numbers.csv", features=["number"], metadata="numbers.csv", **arguments
    )


@pytest.mark.parametrize("changed", [{}, {"num_workers": 2, "eval_batch_size": 2}])
@pytest.mark.parametrize("tta", ["none", "d4"])
def test_the_store_is_the_same(tmp_path, scenes, tta, changed):
    whole = predict(tmp_path / "whole", satellite(scenes, **changed), module(10**9, tta))
    for above in (0, 64 * 64):  # with a limit between the sizes, a batch holds both kinds
        strips = predict(tmp_path / f"strips{above}", satellite(scenes, **changed), module(above, tta))
        for image_id in ("s0", "s1", "s2"):
            expected, found = whole.read(image_id), strips.read(image_id)
            for name in ("mask", "label"):
                assert found[name].shape == expected[name].shape
                np.testing.assert_allclose(found[name], expected[name], atol=1 / 255 + 1e-6)


def test_the_precision_of_the_trainer_holds_in_strips_too(tmp_path, scenes):
    class Seen(Heads):
        def forward(self, image, features):
            types.add(self.conv(image).dtype)
            return super().forward(image, features)

    types = set()
    model = module(0)
    model.network = Seen()
    predict(tmp_path, satellite(scenes), model, [pl.plugins.MixedPrecision("bf16-mixed", "cpu")])
    assert types == {torch.bfloat16}


def test_pictures_that_are_read_whole_are_normalised_strip_by_strip(tmp_path):
    (tmp_path / "data").mkdir()
    for number in range(2):
        array = np.random.default_rng(number).integers(0, 255, (130, 100, 3)).astype(np.uint8)
        np.save(tmp_path / f"data/{number}.npy", array)
        cv2.imwrite(str(tmp_path / f"data/{number}.png"), array[..., ::-1])
    model = SegmentationModule(nn.Conv2d(3, 1, 3, padding=1), ["mask"], "bce", inference=Inference(64, stream_above=0))
    stores = []
    for kind, reader in (("npy", ArrayReader()), ("png", None)):
        arguments = {"test_images": f"*.{kind}", "fold": "all", "num_workers": 0, "predict_split": ["test"]}
        data = ImageDataModule(str(tmp_path / "data"), f"*.{kind}", [], reader=reader, **arguments)
        stores.append(predict(tmp_path / kind, data, model))
    for image_id in ("0", "1"):
        one, two = (store.read(image_id)["mask"] for store in stores)
        assert one.shape == (1, 130, 100)
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("rule", ["refuse", "empty"])
def test_a_scene_that_is_cut_off_in_its_middle(tmp_path, scenes, rule):
    whole = (scenes / "s0.tif").read_bytes()
    (scenes / "s0.tif").write_bytes(whole[: len(whole) // 2])
    data = satellite(scenes, unreadable=rule)
    if rule == "refuse":
        with pytest.raises(ImageReadError, match="s0.tif"):
            predict(tmp_path / "out", data, module(0))
        assert "s0" not in PredictionStore(tmp_path / "out" / "test")
        assert not list((tmp_path / "out" / "test").glob("*.tmp"))
        return
    with pytest.warns(UserWarning, match="image 's0' gets an empty prediction: .*s0.tif"):
        store = predict(tmp_path / "out", data, module(0))
    assert store.read("s0")["mask"].shape == (2, 300, 170)
    assert not store.read("s0")["mask"].any()
    whole = predict(tmp_path / "whole", data, module(10**9))  # the label is that of a black picture there, too
    np.testing.assert_allclose(store.read("s0")["label"], whole.read("s0")["label"], atol=1e-5)
    assert store.read("s2")["mask"].any()


MEASURE = """
import sys
from pathlib import Path
import pytorch_lightning as pl
from torch import nn
from callbacks import PredictionWriter
from datamodules import SatelliteDataModule
from lightning_modules import SegmentationModule
from inference import Inference

class FirstBatch(pl.Callback):
    def on_predict_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        self.before = resident("VmRSS")

def resident(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024

data = SatelliteDataModule("data", "*.tif", [], test_images="*.tif", fold="all", num_workers=0, predict_split=["test"])
model = SegmentationModule(nn.Conv2d(3, 1, 1), ["mask"], "bce", inference=Inference(512))
start = FirstBatch()
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = pl.Trainer(accelerator="cpu", callbacks=[start, PredictionWriter(Path("out"), "one")], **quiet)
trainer.predict(model, datamodule=data, return_predictions=False)
print(resident("VmHWM") - start.before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_a_strip_not_the_scene(tmp_path):
    """36 million pixels of 3 bands: 108 MB of bytes, 432 MB as floats, 144 MB of results."""
    side, block = 6000, 512
    (tmp_path / "data").mkdir()
    profile = {"driver": "GTiff", "count": 3, "height": side, "width": side, "dtype": "uint8", "tiled": True}
    profile |= {"blockxsize": block, "blockysize": block, "compress": "deflate"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "data/s.tif", "w", **profile) as target:
            for top in range(0, side, block):
                height = min(block, side - top)
                rows = np.full((3, height, side), top // block, np.uint8)
                target.write(rows, window=rasterio.windows.Window(0, top, side, height))
    environment = os.environ | {"GDAL_CACHEMAX": "32", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 160, done.stdout
    store = PredictionStore.open(tmp_path / "out/test")
    assert store.read("s", window=(0, 0, 1, side))["mask"].shape == (1, 1, side)
