"""Detectors of torchvision in the module: what goes in, what is minimised, what comes out."""

import copy

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from inference import Inference
from lightning_modules import BaseModule, DetectionModule
from lightning_modules.detection import detector_targets, found_boxes

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
KINDS = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": "{num_classes: 3, weights: null, weights_backbone: null, min_size: 64}",
    "retinanet_resnet50_fpn": "{num_classes: 3, weights: null, weights_backbone: null, min_size: 64}",
    "fcos_resnet50_fpn": "{num_classes: 3, weights: null, weights_backbone: null, min_size: 64}",
    "ssdlite320_mobilenet_v3_large": "{num_classes: 3, weights: null, weights_backbone: null}",
}


def detector(**more):
    """Small, with random weights, and with boxes of any score."""
    arguments = {"num_classes": 3, "weights": None, "weights_backbone": None, "min_size": 64, "max_size": 96}
    torch.manual_seed(0)
    return detection.fasterrcnn_mobilenet_v3_large_320_fpn(**arguments | {"box_score_thresh": 0.0} | more)


def batch(count=2):
    images = torch.randint(0, 255, (count, 3, 64, 80), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    boxes = [torch.tensor([[4.0, 6, 30, 40], [10, 10, 10, 20]]), torch.zeros(0, 4)][:count]
    labels = [torch.tensor([1, 0]), torch.zeros(0, dtype=torch.int64)][:count]
    return {
        "image": images,
        "boxes": boxes,
        "labels": labels,
        "weight": torch.ones(count),
        "image_id": ["a", "b"][:count],
    }


class BrightRectangle(nn.Module):
    """Finds the extent of what is above the mean, whatever way it is turned."""

    def __init__(self):
        super().__init__()
        self.transform = GeneralizedRCNNTransform(64, 64, [0.5], [0.5])
        self.sizes = []

    def forward(self, images):
        (rows, columns), self.sizes = torch.where(images[0][0] > 0), [*self.sizes, tuple(images[0].shape)]
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        return [{"boxes": torch.stack(box)[None].float(), "scores": torch.tensor([0.75]), "labels": torch.tensor([2])}]


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if "resnet50" in n else n for n in KINDS])
def test_any_detector_by_its_own_class_path(name):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(BaseModule, "model")
    text = f"{{class_path: torchvision.models.detection.{name}, init_args: {KINDS[name]}}}"
    config = parser.parse_args(["--model", "lightning_modules.DetectionModule", f"--model.network={text}"])
    module = parser.instantiate_classes(config).model
    total, parts = module.train().training_loss(batch())
    assert torch.isfinite(total)
    assert total.item() == pytest.approx(sum(value.item() for value in parts.values()), rel=1e-5)
    total.backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in module.network.parameters())
    for found in module.eval().predict_batch({"image": list(batch()["image"])}, tta=False):
        assert found["boxes"].shape[1] == 6
        assert found["boxes"].dtype == torch.float32
        assert set(found["boxes"][:, 5].tolist()) <= {0, 1}


def test_pictures_are_normalised_once():
    plain = detector().eval()
    module = DetectionModule(network=copy.deepcopy(plain), mean=MEAN, std=STD).eval()
    image = batch()["image"][0]
    with torch.no_grad():
        expected = found_boxes(plain([image / 255])[0])
    found = module.predict_image([image], tta=False)["boxes"].numpy()
    assert len(found) > 5
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_loss_is_the_detectors_own():
    plain = detector().train()
    module = DetectionModule(network=copy.deepcopy(plain), loss_weights={"loss_objectness": 3.0}).train()
    data = batch()
    targets = [{"boxes": torch.tensor([[4.0, 6, 30, 40]]), "labels": torch.tensor([2])}]
    targets.append({"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)})
    torch.manual_seed(1)
    expected = plain(list(data["image"] / 255), targets)
    torch.manual_seed(1)
    total, parts = module.training_loss(data)
    assert parts["loss_objectness"].item() == pytest.approx(3 * expected.pop("loss_objectness").item(), rel=1e-4)
    assert {name: parts[name].item() for name in expected} == pytest.approx(
        {name: value.item() for name, value in expected.items()}, rel=1e-4, abs=1e-6
    )
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()), rel=1e-5)


def test_weights_of_images():
    module = DetectionModule(network=detector()).train()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()  # its statistics would be those of other batches

    def loss(data):
        torch.manual_seed(2)
        return module.training_loss(data)[0].item()

    once, half = batch(), batch() | {"weight": torch.full((2,), 0.5)}
    assert loss(half) == pytest.approx(loss(once) / 2, rel=1e-5)
    alone = {name: value[:1] for name, value in once.items()}
    assert loss(once | {"weight": torch.tensor([1.0, 0.0])}) == pytest.approx(loss(alone) / 2, rel=1e-4)


def test_targets_have_no_box_without_area_and_no_background():
    first, second = detector_targets(batch())
    assert first["boxes"].tolist() == [[4, 6, 30, 40]]
    assert first["labels"].tolist() == [2]
    assert second["boxes"].shape == (0, 4)
    with pytest.raises(ValueError, match=r"the batch has no 'boxes', only \['image'\]; add datamodules"):
        detector_targets({"image": torch.zeros(1)})


def test_what_is_no_object_is_left_out():
    boxes = torch.tensor([[0.0, 0, 9, 9], [1, 1, 5, 5], [3, 3, 3, 8], [2, 2, 6, 6]])
    found = found_boxes(
        {"boxes": boxes, "scores": torch.tensor([0.9, 0.2, 0.8, 0.4]), "labels": torch.tensor([0, 1, 1, 2])}
    )
    np.testing.assert_allclose(found, [[2, 2, 6, 6, 0.4, 1], [1, 1, 5, 5, 0.2, 0]])


@pytest.mark.parametrize("inference", [Inference(), Inference(tta="d4", intensity=[[1, 0], [2, 0]])])
def test_views_are_turned_back_and_merged(inference):
    network = BrightRectangle()
    module = DetectionModule(network=network, mean=0.5, std=0.5, inference=inference).eval()
    image = torch.zeros(3, 50, 80, dtype=torch.uint8)
    image[:, 10:22, 33:70] = 255
    found = module.predict_image([image])["boxes"]
    np.testing.assert_allclose(found, [[33, 10, 70, 22, 0.75, 1]], atol=1e-4)
    assert set(network.sizes) == ({(3, 50, 80), (3, 80, 50)} if inference.tta == "d4" else {(3, 50, 80)})
    assert len(network.sizes) == inference.number_of_views
    assert len(module.predict_batch({"image": [image, image[:, :30]]}, tta=False)) == 2


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"Conv2d is not a detector of torchvision\.models\.detection"):
        DetectionModule(network=nn.Conv2d(3, 1, 1))
    with pytest.raises(ValueError, match=r"model\.inference\.tile is for maps; .* only tta and intensity"):
        DetectionModule(network=BrightRectangle(), inference=Inference(tile=64))
    module = DetectionModule(network=detector(), loss_weights={"loss_boxes": 2.0}).train()
    with pytest.raises(ValueError, match=r"model\.loss_weights names \['loss_boxes'\], but the detector returns"):
        module.training_loss(batch())
