"""Hypercolumns and deep supervision, as the loss formula takes them."""

import pytest
import torch
from torch.nn import functional as F

from lightning_modules import SegmentationModule
from networks import HypercolumnUnet

SMALL = {"encoder_name": "resnet18", "decoder_channels": (16, 12, 10, 8, 4), "head_channels": 8}


def test_the_head_sees_every_level_at_the_size_of_the_image():
    torch.manual_seed(0)
    network = HypercolumnUnet(**SMALL).eval()
    image, seen = torch.randn(1, 3, 64, 96), []
    network.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    blocks = []
    for block in network.decoder.blocks:
        block.register_forward_hook(lambda module, inputs, output: blocks.append(output))
    with torch.no_grad():
        network(image)
        whole = network.decoder(network.encoder(image))  # smp's own decoder, block by block
    assert seen[0].shape == (1, 4 + 8 + 10 + 12 + 16, 64, 96)
    torch.testing.assert_close(seen[0][:, :4], whole)
    coarsest = F.interpolate(blocks[0], size=(64, 96), mode="bilinear", align_corners=False)
    torch.testing.assert_close(seen[0][:, -16:], coarsest)


def test_deep_supervision_is_a_list_from_fine_to_coarse_in_training_alone():
    network = HypercolumnUnet(classes=2, deep_supervision=True, **SMALL)
    image = torch.randn(2, 3, 64, 96)
    levels = network.train()(image)
    assert [tuple(level.shape) for level in levels] == [
        (2, 2, 64, 96),
        (2, 2, 32, 48),
        (2, 2, 16, 24),
        (2, 2, 8, 12),
        (2, 2, 4, 6),
    ]
    assert network.eval()(image).shape == (2, 2, 64, 96)
    assert isinstance(HypercolumnUnet(**SMALL).train()(image), torch.Tensor)


def test_the_formula_takes_the_mean_with_halving_weights():
    module = SegmentationModule(HypercolumnUnet(deep_supervision=True, **SMALL), ["mask"], "bce")
    batch = {"image": torch.randint(0, 256, (2, 3, 64, 96)), "mask": torch.randint(0, 2, (2, 1, 64, 96))}
    levels = module(*module.network_inputs(batch))["mask"]
    total, _ = module.loss({"mask": levels}, batch)
    singles = []
    for level in levels:
        rows, columns = (
            torch.arange(small) * (whole // small) for small, whole in zip(level.shape[2:], (64, 96), strict=True)
        )
        truth = batch["mask"][:, :, rows][..., columns].float()
        singles.append(F.binary_cross_entropy_with_logits(level, truth))
    weights = [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16]
    expected = sum(weight * single for weight, single in zip(weights, singles, strict=True)) / sum(weights)
    torch.testing.assert_close(total, expected)
    total.backward()
    assert all(head.weight.grad.any() for head in module.network.coarse_heads)
    assert module.eval().predict_image([batch["image"][0, :, :50, :33]])["mask"].shape == (1, 50, 33)


@pytest.mark.parametrize("attention", [None, "scse"])
def test_sides_that_are_no_multiple_of_32(attention):
    small = SMALL | {"decoder_channels": (16, 16, 16, 16, 16)}
    network = HypercolumnUnet(decoder_attention_type=attention, deep_supervision=True, **small)
    assert network.eval()(torch.zeros(1, 3, 65, 47)).shape == (1, 1, 65, 47)
    assert [tuple(level.shape[2:]) for level in network.train()(torch.zeros(2, 3, 65, 47))][:2] == [(65, 47), (33, 24)]


def test_channels_that_the_decoder_cannot_take():
    with pytest.raises(ValueError, match=r"expected 16 or more each: decoder_attention_type 'scse' reduces channels"):
        HypercolumnUnet(decoder_attention_type="scse", **SMALL)
    with pytest.raises(ValueError, match="decoder_channels has 4 values, expected 5, one per halving"):
        HypercolumnUnet("resnet18", decoder_channels=(16, 16, 16, 16))
