"""Rows that smp and timm serve: what each must show beyond the zoo's test."""

import pytest
import segmentation_models_pytorch as smp
import timm
import torch
from segmentation_models_pytorch.base.modules import SCSEModule
from segmentation_models_pytorch.encoders import get_encoder

from benchmarks.networks import multiply_adds
from lightning_modules.normalisation import IMAGENET_MEAN, IMAGENET_STD


@pytest.mark.parametrize("name", ["vgg11.tv_in1k", "resnet34.tv_in1k", "resnet50d.ra2_in1k"])
def test_m18_normalisation_is_that_of_the_encoders_weights(name):
    config = timm.get_pretrained_cfg(name)
    assert tuple(config.mean) == IMAGENET_MEAN
    assert tuple(config.std) == IMAGENET_STD


@pytest.mark.parametrize("channels", [1, 6, 9])
def test_m18_other_channels_keep_the_mean_response(channels):
    """A grey image gives the first layer's responses whatever number of channels repeats it."""
    torch.manual_seed(0)
    encoder = get_encoder("resnet18", weights=None)
    grey = torch.rand(1, 1, 32, 32)
    before = encoder.conv1(grey.expand(-1, 3, -1, -1))
    encoder.set_in_channels(channels, pretrained=True)
    assert encoder.conv1.in_channels == channels
    torch.testing.assert_close(encoder.conv1(grey.expand(-1, channels, -1, -1)), before, rtol=1e-4, atol=1e-5)


def test_m19_linknet_has_fewer_weights_and_multiply_adds_than_unet():
    linknet, unet = (kind("resnet34", encoder_weights=None).eval() for kind in (smp.Linknet, smp.Unet))
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in (linknet, unet)]
    assert sizes[0] < sizes[1]
    image = [torch.zeros(1, 3, 64, 64)]
    assert multiply_adds(linknet, image) < multiply_adds(unet, image)


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("kind", [smp.DeepLabV3, smp.DeepLabV3Plus])
def test_m24_output_stride(kind, stride):
    network = kind("resnet18", encoder_weights=None, encoder_output_stride=stride).eval()
    with torch.no_grad():
        assert network.encoder(torch.zeros(1, 3, 64, 96))[-1].shape[2:] == (64 // stride, 96 // stride)


def test_m39_scse_is_the_sum_of_both_gates_and_there_only_when_asked_for():
    torch.manual_seed(0)
    module, features = SCSEModule(32), torch.randn(2, 32, 5, 6)
    channel = torch.sigmoid(module.cSE[3](torch.relu(module.cSE[1](features.mean(dim=(2, 3), keepdim=True)))))
    pixel = torch.sigmoid(module.sSE[0](features))
    torch.testing.assert_close(module(features), features * channel + features * pixel)
    plain, gated = (smp.Unet("resnet18", encoder_weights=None, decoder_attention_type=kind) for kind in (None, "scse"))
    more = set(gated.state_dict()) - set(plain.state_dict())
    assert more
    assert all(".attention" in key for key in more)
    assert set(plain.state_dict()) < set(gated.state_dict())


def test_m44_pan_over_a_dilated_encoder_with_64_channels():
    network = smp.PAN("resnet34", encoder_weights=None, encoder_output_stride=16, decoder_channels=64).eval()
    with torch.no_grad():
        assert [value.shape[-1] for value in network.encoder(torch.zeros(1, 3, 128, 128))[3:]] == [16, 8, 8]
    assert {conv.dilation for conv in network.encoder.layer4.modules() if isinstance(conv, torch.nn.Conv2d)} >= {(2, 2)}
    assert network.decoder.fpa.mid[0].conv.out_channels == 64


@pytest.mark.parametrize("size", [(64, 96), (96, 64)])
def test_dpt_of_a_plain_transformer_takes_any_multiple_of_its_patch(size):
    small = {"decoder_intermediate_channels": (16, 16, 32, 32), "decoder_fusion_channels": 16}
    network = smp.DPT("tu-vit_tiny_patch16_224", encoder_weights=None, dynamic_img_size=True, **small).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, *size)).shape == (1, 1, *size)
