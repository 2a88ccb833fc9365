"""An encoder that a decoder cannot take is refused when the network is built, with what would work."""

from functools import partial

import pytest
import segmentation_models_pytorch as smp
import torch

from compat.smp import what_would_work
from networks import ConcatLinknet, DilatedUnet, EMANet, HypercolumnUnet, SelimUnet, SideUnet, TransposedUnet
from networks.encoders import build_encoder

OURS = [ConcatLinknet, DilatedUnet, EMANet, HypercolumnUnet, SelimUnet, TransposedUnet, partial(SideUnet, 1)]


@pytest.mark.parametrize("network", OURS)
def test_our_networks_refuse_plain_transformers(network):
    with pytest.raises(
        ValueError, match=r"vit_tiny.* does not fit .*segmentation_models_pytorch.DPT .*dynamic_img_size"
    ):
        network("tu-vit_tiny_patch16_224")


def test_encoders_of_one_size_are_refused():
    with pytest.raises(ValueError, match=r"swin_tiny.* fails on an image of 64 × 96 .*tu-convnext.*img_size: 256"):
        SelimUnet("tu-swin_tiny_patch4_window7_224")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet35", "not an encoder of smp; did you mean resnet50, resnet34"),
        ("tu-resnet35", "not an encoder of timm; did you mean tu-resnet50, tu-resnet34"),
        ("convnext_tiny", r"not an encoder of smp; did you mean tu-convnext_tiny\?"),
        ("qqqq", "not an encoder of smp; names of timm's encoders start with tu-"),
    ],
)
def test_unknown_names(name, hint):
    with pytest.raises(ValueError, match=f"encoder_name is '{name}', which is {hint}"):
        SelimUnet(name)


@pytest.mark.parametrize(
    "name", ["resnet18", "densenet121", "tu-convnext_atto", "mit_b0", "tu-pvt_v2_b0", "tu-resnet10t"]
)
def test_features_halve_and_have_the_channels_that_the_encoder_says(name):
    encoder = build_encoder(name, in_channels=4, weights=False)
    assert encoder.training
    with torch.no_grad():
        features = encoder.eval()(torch.zeros(1, 4, 64, 96))
    assert [value.shape[1] for value in features] == list(encoder.out_channels)
    assert [tuple(value.shape[2:]) for value in features] == [(64 >> k, 96 >> k) for k in range(6)]


@pytest.mark.parametrize("name", ["resnet18", "tu-convnext_atto", "mit_b0"])
@pytest.mark.parametrize("channels", [1, 4, 9])
def test_pretrained_first_layers_keep_the_mean_response_of_any_number_of_channels(
    name, channels, monkeypatch, tmp_path
):
    torch.manual_seed(0)
    known = build_encoder(name, 3, None).eval()
    torch.save(known.state_dict(), tmp_path / f"{name}.pth")
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    encoder = build_encoder(name, channels, "imagenet").eval()
    grey = torch.rand(1, 1, 64, 96)
    with torch.no_grad():
        before, after = known(grey.expand(-1, 3, -1, -1)), encoder(grey.expand(-1, channels, -1, -1))
    assert [value.shape[1] for value in after] == list(encoder.out_channels)
    torch.testing.assert_close(after[2:], before[2:], rtol=1e-3, atol=1e-4)


def refusal(build) -> str:
    with pytest.raises((ValueError, TypeError, AssertionError, RuntimeError)) as raised, torch.no_grad():
        build()
    return what_would_work(raised.value)


def stock(kind, encoder, **more):
    return lambda: kind(encoder, encoder_weights=None, **more)


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (stock(smp.DeepLabV3, "densenet121"), "take Unet, FPN, Linknet or MAnet"),
        (stock(smp.DeepLabV3Plus, "densenet121"), "take Unet, FPN, Linknet or MAnet"),
        (stock(smp.PAN, "densenet121"), "PAN with encoder_output_stride 32"),
        (stock(smp.PAN, "vgg11"), "PAN with encoder_output_stride 32"),
        (stock(smp.PAN, "tu-densenet121"), "PAN with encoder_output_stride 32"),
        (stock(smp.DeepLabV3, "tu-swin_tiny_patch4_window7_224"), "take Unet, FPN"),
        (stock(smp.Unet, "tu-vit_tiny_patch16_224"), "segmentation_models_pytorch.DPT"),
        (stock(smp.Linknet, "mit_b0"), "take mit_b… with Unet, FPN"),
        (stock(smp.UnetPlusPlus, "mit_b0"), "take mit_b… with Unet, FPN"),
        (stock(smp.DPT, "resnet18"), "for example tu-vit_base"),
    ],
)
def test_what_smp_refuses_when_it_is_built(build, advice):
    """smp's words, which say what failed; ours, which say what would work."""
    with torch.device("meta"):  # nothing is computed until it is refused
        assert advice in refusal(build)


@pytest.mark.parametrize(
    ("kind", "encoder", "size", "advice"),
    [
        (smp.Unet, "tu-swin_tiny_patch4_window7_224", 64, "dict_kwargs: {img_size: 256}"),
        (smp.DPT, "tu-vit_tiny_patch16_224", 64, "dict_kwargs: {img_size: 256}"),
        (smp.Linknet, "resnet18", 50, "model.inference.stride to 32"),
        (smp.PAN, "resnet18", 64, "sides of 128 or more with encoder_output_stride 16"),
    ],
)
def test_what_smp_refuses_at_the_first_image(kind, encoder, size, advice):
    network = kind(encoder, encoder_weights=None).eval()
    assert advice in refusal(lambda: network(torch.zeros(1, 3, size, size)))


def test_the_advice_is_true():
    with torch.device("meta"), torch.no_grad():  # shapes alone
        image = torch.zeros(1, 3, 64, 96)
        for kind in (smp.Unet, smp.FPN, smp.Linknet, smp.MAnet):
            assert kind("densenet121", encoder_weights=None).eval()(image).shape[2:] == (64, 96)
        pan = smp.PAN("densenet121", encoder_weights=None, encoder_output_stride=32).eval()
        assert pan(torch.zeros(1, 3, 256, 256)).shape[2:] == (256, 256)
        swin = smp.Unet("tu-swin_tiny_patch4_window7_224", encoder_weights=None, img_size=64).eval()
        assert swin(torch.zeros(1, 3, 64, 64)).shape[2:] == (64, 64)
        vit = smp.DPT("tu-vit_tiny_patch16_224", encoder_weights=None, dynamic_img_size=True).eval()
        assert vit(image).shape[2:] == (64, 96)
    with torch.no_grad():  # smp's mit reads numbers while it is built, which meta has not
        for kind in (smp.Unet, smp.FPN, smp.DeepLabV3Plus):
            network = kind("mit_b0", encoder_weights=None).eval()
            assert network(torch.zeros(1, 3, 64, 96)).shape[2:] == (64, 96)


def test_other_errors_have_no_advice_and_none_is_given_twice():
    assert what_would_work(ValueError("something else")) is None
    with pytest.raises(ValueError, match="does not fit this network") as raised:
        EMANet("densenet121", output_stride=8)
    assert what_would_work(raised.value) is None
