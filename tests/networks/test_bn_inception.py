"""BN-Inception of an optional package."""

import sys

import pytest
import torch

from lightning_modules.normalisation import expected_statistics
from lightning_modules.weights import load_encoder_file
from networks import Siamese
from networks.bn_inception import EXPECTED, BnInception

SIZE = (1, 3, 224, 224)


@pytest.fixture(scope="module", autouse=True)
def _package():
    pytest.importorskip("pretrainedmodels")


def test_features_and_pyramid():
    network = BnInception(0).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 10_270_240
    image = torch.randn(SIZE)
    with torch.no_grad():
        assert network(image).shape == (1, 1024)
        maps = network.pyramid(image)
        assert [tuple(m.shape[1:]) for m in maps] == [
            (64, 112, 112),
            (192, 56, 56),
            (320, 28, 28),
            (608, 14, 14),
            (1024, 7, 7),
        ]
        torch.testing.assert_close(maps[-1].mean((2, 3)), network(image))
        # the pyramid leaves no hooks behind
        assert not any(module._forward_pre_hooks for module in network.modules())


def test_the_same_poolings_and_heads():
    network = BnInception({"label": 28, "grade": 3}, in_channels=4, pooling="catavgmax", head=[64], dropout=0.5).eval()
    label, grade = network(torch.randn(2, 4, 64, 96))
    assert (label.shape, grade.shape, network.num_features) == ((2, 28), (2, 3), 2048)


def test_weights_of_a_local_file_in_rgb(tmp_path, monkeypatch):
    from pretrainedmodels.models.bninception import BNInception

    original = BNInception(1000).eval()
    torch.save(original.state_dict(), tmp_path / "bninception.pth")
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    network = BnInception(0, pretrained=True).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.encoder.features(image), original.features(image.flip(1)))
    yellow = BnInception(0, in_channels=4, pretrained=True, channel_copies=[0, 1, 2, 1]).encoder.conv1_7x7_s2.weight
    assert torch.equal(yellow[:, 3], yellow[:, 1])
    torch.save({"last_linear.bias": torch.zeros(3)}, tmp_path / "bninception.pth")
    with pytest.raises(ValueError, match=r"bninception.pth: \d+ weights do not fit the encoder:\n  missing conv1_7x7"):
        BnInception(0, pretrained=True)


def test_a_named_file_is_converted_to_rgb_and_a_checkpoint_is_not(tmp_path):
    from pretrainedmodels.models.bninception import BNInception

    original, image = BNInception(10).eval(), torch.randn(1, 3, 64, 64)
    torch.save(original.state_dict(), tmp_path / "mine.pth")
    network = Siamese(BnInception(0)).eval()
    load_encoder_file(network, str(tmp_path / "mine.pth"))
    with torch.no_grad():
        torch.testing.assert_close(network.branch.encoder.features(image), original.features(image.flip(1)))
    assert expected_statistics(network) == EXPECTED
    torch.save({f"network.{key}": value for key, value in network.state_dict().items()}, tmp_path / "run.ckpt")
    again = Siamese(BnInception(0))
    load_encoder_file(again, str(tmp_path / "run.ckpt"))
    assert torch.equal(again.branch.encoder.conv1_7x7_s2.weight, network.branch.encoder.conv1_7x7_s2.weight)


def test_nobody_is_asked_unless_wanted(no_network):
    BnInception(3)
    assert not no_network
    with pytest.raises(OSError, match=r"no weights of bninception in .*no network in tests.*bninception.pth"):
        BnInception(3, pretrained=True)


def test_its_own_normalisation_is_expected(tmp_path, monkeypatch):
    """Pixels of 8 bits minus the mean, whatever the range of the files."""
    from pretrainedmodels.models.bninception import BNInception

    torch.save(BNInception(10).state_dict(), tmp_path / "bn_inception-52deb4733.pth")
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    mean, std = expected_statistics(BnInception(3, pretrained=True))
    pixels = torch.tensor([128.0, 117, 104]) / 255
    torch.testing.assert_close(
        (pixels + 1 / 255 - torch.tensor(mean)) / torch.tensor(std), torch.ones(3), rtol=1e-3, atol=1e-3
    )


def test_sides_that_it_cannot_join_are_refused():
    with pytest.raises(ValueError, match=r"\(100, 128\) pixels, expected multiples of 32"):
        BnInception(3)(torch.randn(1, 3, 100, 128))


def test_without_the_package_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pretrainedmodels.models.bninception", None)
    with pytest.raises(ImportError, match=r'BnInception needs pretrainedmodels: pip install -e "\.\[cadene\]"'):
        BnInception(3)
