"""timm's classifiers behind one constructor."""

import pytest
import torch
from torch import nn

from networks import ImageClassifier

SMALL = "tf_mobilenetv3_small_minimal_100"


@pytest.mark.parametrize("pooling", ["native", "avg", "max", "catavgmax", "gem"])
@pytest.mark.parametrize("channels", [1, 3, 4, 9])
def test_logits_of_any_size_and_channels(pooling, channels):
    network = ImageClassifier(SMALL, 5, in_channels=channels, pooling=pooling).eval()
    for height, width in [(64, 96), (50, 33)]:
        assert network(torch.randn(2, channels, height, width)).shape == (2, 5)


@pytest.mark.parametrize("encoder", ["resnet18", "convnext_atto", "densenet121", "vit_tiny_patch16_224"])
def test_poolings_of_maps_equal_reductions_written_here(encoder):
    networks = {kind: ImageClassifier(encoder, 0, pooling=kind).eval() for kind in ("avg", "max", "catavgmax")}
    for network in networks.values():
        network.load_state_dict(networks["avg"].state_dict())
    image = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        found = {kind: network(image) for kind, network in networks.items()}
        last = networks["avg"].encoder(image)
    places = last[:, 1:].transpose(1, 2) if last.ndim == 3 else last.flatten(2)  # a ViT's class token is left out
    torch.testing.assert_close(found["avg"], places.mean(2))
    torch.testing.assert_close(found["max"], places.amax(2))
    torch.testing.assert_close(found["catavgmax"], torch.cat([places.mean(2), places.amax(2)], 1))


def test_the_native_pooling_is_timms_own():
    import timm

    for encoder in ("resnet18", "convnext_atto", "vit_tiny_patch16_224"):
        network = ImageClassifier(encoder, 7).eval()
        reference = timm.create_model(encoder, num_classes=7).eval()
        state = network.encoder.state_dict()
        assert not reference.load_state_dict(state, strict=False).unexpected_keys
        linear = network.head.heads["logits"].linear0
        reference.get_classifier().load_state_dict(linear.state_dict())
        image = torch.randn(1, 3, 224, 224)
        with torch.no_grad():
            torch.testing.assert_close(network(image), reference(image))


def test_last_maps_with_channels_last():
    network = ImageClassifier("swin_tiny_patch4_window7_224", 3, pooling="gem").eval()
    assert network(torch.randn(1, 3, 224, 224)).shape == (1, 3)


def test_dropout_is_in_training_alone():
    network = ImageClassifier("resnet18", 3, dropout=0.5)
    image = torch.randn(1, 3, 64, 64)
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


def test_deep_heads_named_outputs_and_features():
    network = ImageClassifier(SMALL, {"label": 28, "grade": 4}, head=[64, 32], dropout=0.5, return_features=True).eval()
    label, grade, features = network(torch.randn(2, 3, 64, 64))
    assert (label.shape, grade.shape, features.shape) == ((2, 28), (2, 4), (2, network.num_features))
    assert sum(isinstance(module, nn.Linear) for module in network.head.heads["label"]) == 3
    logits, features = ImageClassifier(SMALL, 3, return_features=True).eval()(torch.randn(2, 3, 64, 64))
    assert (logits.shape, features.shape) == ((2, 3), (2, 1024))


def test_embeddings():
    network = ImageClassifier(SMALL, 0, pooling="gem", embedding=32)
    assert network(torch.randn(4, 3, 64, 64)).shape == (4, 32)
    assert network.num_features == 32
    assert ImageClassifier(SMALL, 5, embedding=32)(torch.randn(4, 3, 64, 64)).shape == (4, 5)
    with pytest.raises(ValueError, match="classes is 0, so there is no head; remove head"):
        ImageClassifier(SMALL, 0, head=[5])


def test_encoders_of_one_size_say_which():
    network = ImageClassifier("vit_tiny_patch16_224", 3).eval()
    with pytest.raises(ValueError, match=r"image has 96 x 128 pixels, but .* built for 224 x 224 .*image_size: \[96"):
        network(torch.randn(1, 3, 96, 128))
    other = ImageClassifier("vit_tiny_patch16_224", 3, image_size=[96, 128]).eval()
    assert other(torch.randn(1, 3, 96, 128)).shape == (1, 3)
    with pytest.raises(ValueError, match=r"encoder resnet18 does not accept one of \['img_size'\].*remove it"):
        ImageClassifier("resnet18", 3, image_size=96)


def test_weights_are_resampled_for_another_size(tmp_path, monkeypatch):
    import timm

    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    state = timm.create_model("vit_tiny_patch16_224", num_classes=1000).state_dict()
    torch.save(state, tmp_path / "vit_tiny_patch16_224.pth")
    network = ImageClassifier("vit_tiny_patch16_224", 3, pretrained=True, image_size=96)
    assert network.encoder.pos_embed.shape[1] == 37  # a class token and 6 x 6 patches
    assert torch.equal(network.encoder.blocks[3].attn.qkv.weight, state["blocks.3.attn.qkv.weight"])


def test_unknown_names_list_the_nearest():
    with pytest.raises(ValueError, match="no model 'resnext50'; did you mean .*resnext50"):
        ImageClassifier("resnext50", 3)


def test_copies_without_pretrained_weights_must_fit_all_the_same():
    with pytest.raises(ValueError, match=r"channel_copies is \[0, 1\], expected 4 indices"):
        ImageClassifier(SMALL, 3, in_channels=4, channel_copies=[0, 1])
