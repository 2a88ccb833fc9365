"""Weights and samplers of a datamodule, on files."""

import cv2
import numpy as np
import pandas as pd
import pytest

from datamodules import ImageDataModule
from datamodules.samplers import PositiveRate, Weighted
from datamodules.targets import MaskFiles


@pytest.fixture
def folder(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(12):
        mask = np.zeros((16, 16), np.uint8)
        mask[:4, :4] = 255 * (number < 3)
        cv2.imwrite(str(tmp_path / f"images/{number:02}.png"), np.full((16, 16, 3), number, np.uint8))
        cv2.imwrite(str(tmp_path / f"masks/{number:02}.png"), mask)
    return tmp_path


def module(folder, **more):
    targets = [MaskFiles("masks/{image_id}.png")]
    data = ImageDataModule(root=str(folder), images="images/*.png", targets=targets, fold="all", num_workers=0, **more)
    data.setup("fit")
    return data


def weights_of(data):
    found = {}
    for batch in data.train_dataloader():
        found |= dict(zip(batch["image_id"], batch["weight"].tolist(), strict=True))
    return found


def test_a_csv_gives_images_their_weight(folder):
    pd.DataFrame({"image_id": ["03", "04"], "weight": [0.5, 0]}).to_csv(folder / "w.csv", index=False)
    found = weights_of(module(folder, batch_size=4, weights="w.csv"))
    assert found == {f"{number:02}": 1.0 for number in range(12)} | {"03": 0.5, "04": 0.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image_id,w\n01,1\n", "expected image_id"),
        ("image_id,weight\n01,-1\n", "row 2: weight of '01' is"),
        ("image_id,weight\n01,much\n", "row 2: weight of '01' is"),
        (
            'image_id,weight\n01,1\n02,"0,5"\n',
            "row 3: weight of '02' is '0,5', expected a number >= 0; numbers have a point",
        ),
        ("image_id,weight\n01,1\n01,2\n", "row 3: '01' has weight 2, but another above"),
        ("image_id,weight\n1,1\n2,2\n", "none of its 2 names .*'1', '2'; .*They would match with their leading zeros"),
        ("image_id,weight\nother,1\n", "none of its 1 names matches an image: 'other'"),
    ],
)
def test_a_csv_that_does_not_fit(folder, content, message):
    (folder / "w.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        module(folder, weights="w.csv").train_dataloader()
    with pytest.raises(FileNotFoundError, match="does not exist"):
        module(folder, weights="none.csv").train_dataloader()


def test_a_sampler_sees_which_masks_are_filled(folder):
    data = module(folder, batch_size=3, sampler=PositiveRate(0.5))
    ids = [image_id for batch in data.train_dataloader() for image_id in batch["image_id"]]
    assert sorted(image_id for image_id in ids if image_id < "03") == ["00", "01", "02"]
    assert len(ids) == 6


def test_a_sampler_that_corrects_the_loss_weighs_the_samples(folder):
    kinds = pd.DataFrame({"image_id": [f"{number:02}" for number in range(12)], "kind": ["a"] * 9 + ["b"] * 3})
    kinds.to_csv(folder / "kinds.csv", index=False)
    data = module(
        folder, batch_size=4, samples_per_image=9, metadata="kinds.csv", sampler=Weighted("kind", correct_loss=True)
    )
    found = weights_of(data)
    assert found["00"] == pytest.approx(1 / (12 / 18))
    assert found["11"] == pytest.approx(1 / (12 / 6))
