"""M37: side inputs before the decoder, several masks, an image-level output."""

import pytest
import torch
from jsonargparse import ArgumentParser

from lightning_modules import BaseModule
from networks import SideUnet

SMALL = {"encoder_name": "resnet18", "decoder_channels": (16, 16, 8, 8, 8)}


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("labels", [0, 2])
def test_every_side_input_changes_the_masks(everywhere, labels):
    torch.manual_seed(0)
    network = SideUnet(4, classes=3, labels=labels, everywhere=everywhere, **SMALL).eval()
    image, features = torch.randn(2, 3, 64, 96), torch.randn(2, 4)

    def masks(given):
        with torch.no_grad():
            result = network(image, given)
        assert isinstance(result, tuple) == bool(labels)
        return result[0] if labels else result

    before = masks(features)
    assert before.shape == (2, 3, 64, 96)
    for index in range(4):
        changed = features.clone()
        changed[0, index] += 1
        after = masks(changed)
        assert not torch.allclose(after[0], before[0])
        assert torch.equal(after[1], before[1])  # another image's numbers are its own


def test_they_are_joined_before_the_decoder_at_the_levels_asked_for():
    plain, bottleneck, everywhere = (
        SideUnet(features, everywhere=wide, **SMALL) for features, wide in ((1, False), (30, False), (30, True))
    )

    def into(network):
        return [block.conv1[0].in_channels for block in network.decoder.blocks]

    assert [a - b for a, b in zip(into(bottleneck), into(plain), strict=True)] == [29, 0, 0, 0, 0]
    assert [a - b for a, b in zip(into(everywhere), into(plain), strict=True)] == [29 + 30, 30, 30, 30, 0]


def test_what_the_network_tells_of_the_image_joins_them():
    torch.manual_seed(0)
    network = SideUnet(1, labels=1, **SMALL).eval()
    image, features = torch.randn(1, 3, 64, 64), torch.zeros(1, 1)
    with torch.no_grad():
        mask, label = network(image, features)
        network.label_head[-1].bias += 5
        other, told = network(image, features)
    torch.testing.assert_close(told, label + 5)
    assert not torch.allclose(other, mask)


def test_scales():
    torch.manual_seed(0)
    network = SideUnet(2, feature_scale=[50.0, 900.0], **SMALL).eval()
    same = SideUnet(2, **SMALL).eval()
    same.load_state_dict(network.state_dict() | {"scale": torch.ones(2)})
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        scaled = network(image, torch.tensor([[25.0, 450.0]]))
        torch.testing.assert_close(scaled, same(image, torch.tensor([[0.5, 0.5]])))
    for wrong in ([1.0], [1.0, 0.0]):
        with pytest.raises(ValueError, match="one scale other than 0 for each"):
            SideUnet(2, feature_scale=wrong, **SMALL)


def test_missing_features_name_the_keys_to_set():
    network = SideUnet(4, **SMALL).eval()
    image = torch.zeros(2, 3, 64, 64)
    with pytest.raises(
        ValueError, match=r"expected an image and 4 features, got no features .* model.inputs: \[image, feat"
    ):
        network(image)
    with pytest.raises(ValueError, match=r"got features of shape \(2, 3\) for 2 images; .* 4 columns in data.features"):
        network(image, torch.zeros(2, 3))


def test_body_border_and_separation_beside_the_angle_from_yaml():
    """SpaceNet 4: nine channels, three masks, the angle told from the image; trained and predicted by the module."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=BaseModule)
    network = {"features": 30, "in_channels": 9, "classes": 3, "labels": 1, "everywhere": True}
    network |= {"encoder_name": "resnet18", "decoder_channels": [32, 16, 16, 16, 16], "decoder_attention_type": "scse"}
    arguments = {
        "network": {"class_path": "networks.SideUnet", "init_args": network},
        "inputs": ["image", "features"],
        "outputs": [["body", "border", "separation"], "nadir"],
        "activations": {"nadir": "none"},
        "loss": "dice(body) + 10 * focal(body) + dice(border) + dice(separation) + 0.1 * mse(nadir)",
        "mean": 0.5,
        "std": 0.25,
        "input_range": 2047,
    }
    model = {"class_path": "lightning_modules.SegmentationModule", "init_args": arguments}
    module = parser.instantiate(parser.parse_object({"model": model})).model
    masks = {name: torch.randint(0, 2, (2, 1, 64, 64)) for name in ("body", "border", "separation")}
    images = torch.randint(0, 2048, (2, 9, 64, 64)).to(torch.uint16)
    batch = {"image": images, "features": torch.randn(2, 30), "nadir": torch.randn(2, 1), **masks}
    total, parts = module.loss(module(*module.network_inputs(batch)), batch)
    total.backward()
    assert total.isfinite()
    assert len(parts) == 5
    found = module.eval().predict_image([batch["image"][0, :, :50, :37], batch["features"][0]])
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        **{name: (1, 50, 37) for name in masks},
        "nadir": (1,),
    }
