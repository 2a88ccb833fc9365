"""Coarse to fine: tiles along the edges that an earlier stage found."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datamodules.edge_windows import EdgeWindows
from inference import Inference
from inference.coarse import CoarseMasks
from predictions.store import PredictionStore
from preprocessing.edge_patches import edge_patches


def disc(height, width, radius):
    rows, columns = np.mgrid[:height, :width]
    return (rows - height // 2) ** 2 + (columns - width // 2) ** 2 <= radius**2


@pytest.fixture
def coarse(tmp_path):
    """Two folds that predicted two images out of fold and one test image."""
    for fold in range(2):
        for split, name in (("val", f"t{fold}"), ("test", "u")):
            store = PredictionStore(tmp_path / f"runs/coarse/fold{fold}/predictions/{split}")
            store.begin([name], fingerprint=f"{fold}")
            store.write(name, {"mask": disc(60, 80, 20).astype(np.float32)[None] * (0.8 + 0.2 * fold)})
            store.finish()
    (tmp_path / "runs/coarse/crossval.csv").write_text("")
    return tmp_path / "runs/coarse"


def test_an_image_is_found_out_of_fold_or_as_the_mean_of_the_folds(coarse):
    masks = CoarseMasks(coarse)
    assert masks.read("t0")["mask"].max() == pytest.approx(0.8, abs=0.01)
    assert masks.read("u")["mask"].max() == pytest.approx(0.9, abs=0.01)
    with pytest.raises(ValueError, match="has no prediction of image 'other'"):
        masks.read("other")
    with pytest.raises(ValueError, match="contains no predictions"):
        CoarseMasks(coarse / "nowhere")


@pytest.mark.parametrize("stride", [1, 32])
def test_the_network_decides_along_edges_and_the_coarse_stage_elsewhere(coarse, stride):
    inference = Inference(tile=48, coarse_run=str(coarse), stride=stride, batch_size=3)
    fine = torch.full((1, 1, 240, 320), 0.3)
    seen = []

    def forward(batch):
        seen.append(len(batch))
        return {"mask": batch}

    found = inference(forward, fine, image_ids=["u"])["mask"]
    assert found.shape == (1, 1, 240, 320)
    patches = edge_patches(disc(240, 320, 80), 48)
    near, far = found[0, 0, 120, 240].item(), found[0, 0, 120, 160].item()
    assert near == pytest.approx(0.3, abs=1e-5)
    assert far == pytest.approx(0.9, abs=0.01)
    assert found[0, 0, 5, 5] == 0
    assert max(seen) <= 3
    assert abs(sum(seen) - len(patches)) <= 6  # the same disc, drawn at another size
    assert inference(forward, fine, dtype=torch.uint8, image_ids=["u"])["mask"].dtype == torch.uint8


def test_what_does_not_fit_is_refused(coarse):
    image = torch.zeros(1, 1, 60, 80)
    inference = Inference(tile=48, coarse_run=str(coarse))
    with pytest.raises(ValueError, match="needs 2-D images with ids"):
        inference(lambda batch: {"mask": batch}, image)
    with pytest.raises(ValueError, match="output 'other'"):
        inference(lambda batch: {"other": batch}, image, image_ids=["u"])
    with pytest.raises(ValueError, match="needs inference.tile as one number"):
        Inference(coarse_run="runs/coarse")
    with pytest.raises(ValueError, match="min_cover is 0"):
        Inference(48, coarse_run="runs/coarse", min_cover=0)
    assert inference.fingerprint() != Inference(tile=48).fingerprint()


@pytest.mark.parametrize("with_store", [False, True])
def test_training_windows_cover_the_edges_twice(coarse, with_store):
    rows = [SimpleNamespace(image_id=name) for name in ("t0", "t1")]
    truth = disc(240, 320, 80)
    windows = EdgeWindows(48, coarse=str(coarse) if with_store else None)
    windows.prepare(rows, lambda row: (240, 320), lambda row: {"mask": truth[None]})
    drawn = [windows.row(number, np.random.default_rng(0)) for number in range(len(windows))]
    assert {index for index, _ in drawn} == {0, 1}
    count = np.zeros((240, 320), int)
    for index, row in drawn:
        if index == 0:
            top, left, height, width = row.window
            count[top : top + height, left : left + width] += 1
    assert count[120, 240] >= 2
    assert count[120, 160] == count[5, 5] == 0


def test_windows_without_an_edge_or_a_target(coarse):
    rows = [SimpleNamespace(image_id="t0")]
    with pytest.raises(ValueError, match="no training image has an edge"):
        EdgeWindows(48).prepare(rows, lambda row: (60, 80), lambda row: {"mask": np.zeros((1, 60, 80))})
    with pytest.raises(ValueError, match="target 'mask' is not read"):
        EdgeWindows(48).prepare(rows, lambda row: (60, 80), lambda row: {"body": np.zeros((1, 60, 80))})
