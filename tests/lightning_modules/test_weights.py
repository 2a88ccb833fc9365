import pytest
import segmentation_models_pytorch as smp
import torch
import torchvision
from torch import nn

from lightning_modules.weights import find_weights, load_encoder_file, load_weights, read_checkpoint, without_hub
from networks import ImageClassifier, Siamese


class Holder(nn.Module):
    def __init__(self, network: nn.Module | int = 2) -> None:
        super().__init__()
        self.network = nn.Conv2d(3, network, 1) if isinstance(network, int) else network
        self.register_buffer("mean", torch.zeros(1))


def test_hub_arguments_are_nulled_at_any_depth():
    config = {
        "network": {
            "class_path": "x",
            "init_args": {"encoder_weights": "imagenet", "parts": [{"pretrained": True, "depth": 5}]},
        }
    }
    clean = without_hub(config)
    assert clean["network"]["init_args"] == {"encoder_weights": None, "parts": [{"pretrained": False, "depth": 5}]}
    assert config["network"]["init_args"]["encoder_weights"] == "imagenet"


@pytest.mark.parametrize("key", ["encoder_weights", "weights", "weights_backbone", "pretrained"])
@pytest.mark.parametrize("value", ["imagenet", "DEFAULT", True, False, None])
def test_no_argument_asks_a_hub(key, value):
    """Of smp, of torchvision's classifiers, its detectors, of timm."""
    found = without_hub({"network": {"init_args": {key: value, "classes": 2}}})["network"]["init_args"]
    assert found == {key: False if isinstance(value, bool) else None, "classes": 2}
    terms = {"loss_terms": {"own": {"init_args": {"weights": [1.0, 2.0]}}}}
    assert without_hub(terms) == terms


@pytest.mark.parametrize("wrapped", [True, False])
def test_weights_of_a_checkpoint_or_of_the_bare_network(tmp_path, wrapped):
    source, target = Holder(), Holder()
    content = {"state_dict": source.state_dict()} if wrapped else source.network.state_dict()
    torch.save(content, tmp_path / "w.ckpt")
    load_weights(target, str(tmp_path / "w.ckpt"))
    assert torch.equal(target.network.weight, source.network.weight)


def test_misfits_are_listed(tmp_path):
    torch.save({"state_dict": Holder(4).state_dict()}, tmp_path / "w.ckpt")
    with pytest.raises(ValueError, match=r"network\.weight: file \(4, 3, 1, 1\), network \(2, 3, 1, 1\)"):
        load_weights(Holder(), str(tmp_path / "w.ckpt"))


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 broken"])
def test_a_damaged_checkpoint_names_the_file_and_another(tmp_path, content):
    (tmp_path / "best.ckpt").write_bytes(content)
    torch.save({}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"best\.ckpt is damaged.*try last\.ckpt"):
        read_checkpoint(tmp_path / "best.ckpt")


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "pwned"), "w"))

    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="evil"):
        read_checkpoint(tmp_path / "evil.ckpt")
    assert not (tmp_path / "pwned").exists()


def test_weights_folder(tmp_path, monkeypatch):
    (tmp_path / "r.pth").touch()
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    assert find_weights("r.pth") == tmp_path / "r.pth"
    with pytest.raises(FileNotFoundError, match=r"missing\.pth"):
        find_weights("missing.pth")


ENCODERS = {
    "smp": lambda: smp.Unet("resnet18", encoder_weights=None),
    "timm in smp": lambda: smp.Unet("tu-resnet18", encoder_weights=None, in_channels=4),
    "timm": lambda: ImageClassifier("resnet18", 2),
    "torchvision": lambda: torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None),
    "shared by two images": lambda: Siamese(ImageClassifier("resnet18", 0)),
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_file_of_encoder_weights_is_no_start_of_a_network_but_of_its_encoder(kind, tmp_path):
    name = "resnet50" if kind == "torchvision" else "resnet18"
    state = torchvision.models.get_model(name).state_dict()
    torch.save(state, tmp_path / "mine.pth")
    network = ENCODERS[kind]()
    with pytest.raises(ValueError, match=r"model.init_from: .*mine.pth contains the weights of an encoder.*") as raised:
        load_weights(Holder(network), str(tmp_path / "mine.pth"))
    assert "model.encoder_init_from" in str(raised.value)
    assert "\n" not in str(raised.value)
    load_encoder_file(network, str(tmp_path / "mine.pth"))
    values = dict(network.state_dict())
    (key,) = [key for key in values if key.endswith("layer2.0.conv1.weight")]
    assert torch.equal(values[key], state["layer2.0.conv1.weight"])


def test_the_encoder_of_a_checkpoint_starts_another_network(tmp_path):
    trained = Holder(smp.Unet("resnet18", encoder_weights=None))
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "w.ckpt")
    network = smp.FPN("resnet18", encoder_weights=None)
    load_encoder_file(network, str(tmp_path / "w.ckpt"))
    for key, value in network.encoder.state_dict().items():
        assert torch.equal(value, trained.network.encoder.state_dict()[key])


def test_a_file_of_another_encoder_is_refused(tmp_path):
    torch.save(torchvision.models.resnet34().state_dict(), tmp_path / "resnet34.pth")
    with pytest.raises(ValueError, match=r"resnet34.pth: \d+ weights do not fit the encoder:\n  unknown layer1\.2"):
        load_encoder_file(smp.Unet("resnet18", encoder_weights=None), str(tmp_path / "resnet34.pth"))
