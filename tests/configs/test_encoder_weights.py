"""Every shipped config starts from a local file of weights, without a network, and says in one line if it has none."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import timm
import torch
import torchvision
import yaml
from safetensors.torch import save_file
from torch import nn

import cli
from datamodules.quickstart import Nuclei
from datamodules.shapes import Shapes
from experiments import load
from lightning_modules.normalisation import loaded_weights
from tests.configs.test_classification_layouts import aptos, cervical, rsna_hemorrhage
from tests.configs.test_layouts import (
    ROOT,
    airbus_ships,
    boxes_of,
    carvana,
    clouds,
    dstl,
    flags,
    geotiff,
    hpa_2018,
    mask_of,
    picture,
    planet_amazon,
    spacenet_buildings,
    tgs_salt,
)
from tests.configs.test_rsna_pneumonia import rsna
from tests.configs.test_siim_pneumothorax import siim
from tests.configs.test_slices_and_scans import hubmap_kidney, uw_madison
from tests.configs.test_stages import BASES
from tests.networks.test_pretrained import build_node

__all__ = ["rsna", "siim"]  # fixtures
SHIPPED = [*sorted((ROOT / "configs").glob("*.yaml")), *sorted((ROOT / "configs" / "stages").glob("*.yaml"))]
SETTINGS = ("encoder_weights", "pretrained", "weights_backbone")


def network_of(config: Path) -> dict:
    """The network of a config, or of its base, with pretrained weights."""
    content = yaml.safe_load(config.read_text())
    if "network" not in content["model"]["init_args"]:
        return network_of(ROOT / "configs" / f"{BASES[config.stem]}.yaml")
    network = content["model"]["init_args"]["network"]
    (key,) = [key for key in SETTINGS if key in network["init_args"]]
    if not network["init_args"][key]:  # small networks for computers without a GPU
        network["init_args"][key] = "DEFAULT" if key == "weights_backbone" else "imagenet"
    return network


def write_weights(network: dict, folder: Path) -> tuple[str, dict]:
    """Write weights of random values in the layout of the library; return the name of the encoder and the weights."""
    arguments = network["init_args"]
    if "weights_backbone" in arguments:
        name = re.search(r"resnet\d+|mobilenet_v3_large", network["class_path"])[0]
        source = torchvision.models.get_model(name)
    else:
        name = (arguments.get("encoder") or arguments["encoder_name"]).removeprefix("tu-")
        own = arguments.get("encoder_name", "").startswith(name)
        source = smp.encoders.get_encoder(name) if own else timm.create_model(name)
    state = {key: value.clone() for key, value in source.state_dict().items()}
    folder.mkdir(exist_ok=True)
    save_file(state, folder / f"{name}.safetensors")
    return name, state


@pytest.mark.parametrize("config", SHIPPED, ids=lambda path: path.stem)
def test_its_encoder_is_found_and_loaded(config, tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    network = network_of(config)
    name, state = write_weights(network, tmp_path)
    built = build_node(network)
    (loaded,) = loaded_weights(built)
    assert (loaded.encoder, loaded.matched) == (name, loaded.total)
    encoder = next(module for module in built.modules() if getattr(module, "loaded_weights", None))
    body = getattr(getattr(encoder, "backbone", encoder), "body", encoder)
    convolutions = [module for module in body.modules() if isinstance(module, nn.Conv2d)]
    file = [value for value in state.values() if value.ndim == 4]
    assert torch.equal(convolutions[1].weight, file[1])
    assert torch.equal(convolutions[-1].weight, file[len(convolutions) - 1])
    assert not no_network


# --- training --------------------------------------------------------------------------------------------------------


def nuclei() -> dict:
    Nuclei(train=8, test=2).write(Path("data"))
    return {"size": 64, "flags": {"data.root": "data"}}


def land_cover() -> dict:
    for number in range(8):
        split = "train" if number < 5 else "val"
        pixels = picture(number, boxes_of(number), 4).transpose(2, 0, 1)
        geotiff(f"data/land_cover/{split}/img/tile_{number}.tif", pixels, 100 * number)
        classes = mask_of(boxes_of(number))[None].astype(np.uint8) * 3
        geotiff(f"data/land_cover/{split}/mask/mask_{number}.tif", classes, 100 * number)
    return {"size": 64, "folds": False}


def shapes(name: str, layout: str):
    def write() -> dict:
        Shapes(layout, train=8, test=3, side=64).write(Path("data") / name)
        return {"size": 64}

    return write


def without_expectations(layout):
    def write() -> dict:
        layout()
        return {"size": 64, "flags": {"data.windows.size": 64} if layout is hubmap_kidney else {}}

    return write


LAYOUTS = {
    layout.__name__: layout
    for layout in (
        hpa_2018,
        planet_amazon,
        spacenet_buildings,
        dstl,
        tgs_salt,
        airbus_ships,
        clouds,
        carvana,
        aptos,
        cervical,
        rsna_hemorrhage,
        land_cover,
    )
} | {  # fmt: skip
    "uw_madison": without_expectations(uw_madison),
    "hubmap_kidney": without_expectations(hubmap_kidney),
    "dsb2018": nuclei,
    "quickstart": nuclei,
    "multiclass_png": shapes("multiclass_png", "classes"),
    "coco_instances": shapes("coco_instances", "coco"),
    "yolo_boxes": shapes("yolo_boxes", "yolo"),
}
FIXTURES = {"siim_pneumothorax": "siim", "rsna_pneumonia": "rsna"}
FAST = ["tgs_salt"]


def small(content: dict, facts: dict, network: dict) -> list[str]:
    """Flags for two steps on crops of 64 pixels with the network of the config."""
    lines = flags(content, facts)
    where = lines.index("--model.network")
    lines[where + 1] = yaml.safe_dump(network, default_flow_style=True, width=10_000).strip()
    return lines


@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in LAYOUTS | FIXTURES if name not in FAST)]
)
@pytest.mark.filterwarnings("ignore:data.skip_unreadable")
def test_it_trains_two_steps(name, tmp_path, monkeypatch, capsys, request, no_network):
    monkeypatch.chdir(tmp_path)
    facts = LAYOUTS[name]() if name in LAYOUTS else {"size": 64}
    if name in FIXTURES:
        request.getfixturevalue(FIXTURES[name])
    train(ROOT / "configs" / f"{name}.yaml", facts, tmp_path, monkeypatch, capsys)
    assert not no_network


def test_every_config_is_trained():
    assert {path.stem for path in SHIPPED} == {*LAYOUTS, *FIXTURES, *BASES, "ct_organs"}


@pytest.mark.slow
def test_organs_train_two_steps(competition_data, tmp_path, monkeypatch, capsys, no_network):
    monkeypatch.chdir(tmp_path)
    facts = {"size": 64, "flags": {"data.root": str(competition_data / "ct_totalseg")}}
    train(ROOT / "configs" / "ct_organs.yaml", facts, tmp_path, monkeypatch, capsys)
    assert not no_network


def train(config: Path, facts: dict, folder: Path, monkeypatch, capsys) -> None:
    content, network = yaml.safe_load(config.read_text()), network_of(config)
    name, _ = write_weights(network, folder / "weights")
    monkeypatch.setenv("WEIGHTS_DIR", str(folder / "weights"))
    root = [part for key, value in facts.get("flags", {}).items() if key == "data.root" for part in (f"--{key}", value)]
    if facts.get("folds", True):
        assert cli.main(["folds", "--config", str(config), "--cv.k", "2", *root]) == 0
    assert cli.main(["fit", "--config", str(config), *small(content, facts, network)]) == 0
    printed = capsys.readouterr().out
    assert re.search(rf"weights  {name}: all \d+ tensors from {folder}/weights/{name}\.safetensors", printed)
    (checkpoint,) = Path("runs", config.stem).glob("*/checkpoints/last.ckpt")
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["tu-tf_efficientnet_lite0", "timm-tf_efficientnet_lite0"])
def test_real_weights_and_their_normalisation(encoder, tmp_path, monkeypatch, capsys, lite_weights, no_network):
    """The pixels are normalised as these weights expect, in training and in what is loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHTS_DIR", str(lite_weights))
    facts, config = nuclei(), ROOT / "configs" / "quickstart.yaml"
    content, network = yaml.safe_load(config.read_text()), network_of(config)
    network["init_args"]["encoder_name"] = encoder
    assert cli.main(["folds", "--config", str(config), "--cv.k", "2", "--data.root", "data"]) == 0
    assert cli.main(["fit", "--config", str(config), *small(content, facts, network)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"weights  .*tf_efficientnet_lite0: all \d+ tensors from .*; not used: ", printed)
    assert "images   mean [0.5, 0.5, 0.5], std [0.5, 0.5, 0.5], as the weights expect" in printed
    module = load("runs/quickstart/fold0").module
    assert module.mean.flatten().tolist() == [0.5] * 3
    assert not no_network


@pytest.fixture
def cut_off(tmp_path, monkeypatch) -> None:
    """No network for the processes that a test starts."""
    text = "import socket\ndef refused(*a, **k):\n    raise OSError('no network in tests')\n"
    text += "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused\n"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", sorted(BASES))
def test_chains_of_stages_train_two_steps_each(recipe, tmp_path, request, cut_off):
    base = ROOT / "configs" / f"{BASES[recipe]}.yaml"
    file = ROOT / "configs" / "stages" / f"{recipe}.yaml"
    facts = nuclei() if BASES[recipe] == "dsb2018" else {"size": 64}
    if BASES[recipe] in FIXTURES:
        request.getfixturevalue(FIXTURES[BASES[recipe]])
    content, network = yaml.safe_load(base.read_text()), network_of(file)
    name, _ = write_weights(network, tmp_path / "weights")
    given = ["--config", str(base), "--config", str(file)]
    root = ["--data.root", facts["flags"]["data.root"]] if "flags" in facts else []
    assert cli.main(["folds", "--config", str(base), "--cv.k", "2", *root]) == 0
    more = ["--data.folds", f"folds/{BASES[recipe]}.csv", "--model.inference.size", "[64, 64]"]
    run = [sys.executable, str(ROOT / "cli.py"), "fit", *given, *small(content, facts, network), *more]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count(f"weights  {name}: all ") == 1  # later stages start from the one before
    number = len(yaml.safe_load(file.read_text())["stages"])
    assert done.stdout.count("# stage ") == number


# --- no weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tgs_salt", "aptos", "rsna_pneumonia"])
def test_without_weights_nothing_is_read_or_tried_again(name, tmp_path, monkeypatch, no_network):
    """There are no data at all, so the error came before they were read."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r"no weights of \w+ in .*Bring \w+\.safetensors") as raised:
        cli.main(["fit", "--config", str(ROOT / "configs" / f"{name}.yaml")])
    assert "\n" not in str(raised.value)
    assert len(no_network) == 1
    assert not [path for path in Path("runs").rglob("*") if path.is_file()]
