"""Where files of weights are found: folders of any layout, caches, hubs; and what is said if they are nowhere."""

import time
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError
from hypothesis import given
from hypothesis import strategies as st

import networks.weight_files
from networks.weight_files import WIDE, Wanted, find_below, find_weights_file, folders, out_of_reach, slug

URL = "https://download.pytorch.org/models/resnet34-b627a593.pth"
RESNET = Wanted("resnet34", ("resnet34", "resnet34.a1_in1k"), "smp-hub/resnet34.imagenet", "c0ffee", url=URL)


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    "name",
    [
        "resnet34.safetensors",
        "resnet34.pth",
        "resnet34.bin",
        "resnet34/model.safetensors",
        "resnet34/pytorch_model.bin",
        "my-weights/resnet34.pth",  # a dataset
        "datasets/someone/my-weights/resnet34.pth",
        "resnet34/pytorch/default/1/model.safetensors",  # a model
        "models/someone/resnet34-a1-in1k/pytorch/default/1/model.safetensors",
        "timm-weights/ResNet34_A1_in1k.safetensors",
        "hub/models--timm--resnet34.a1_in1k/snapshots/1a2b/model.safetensors",
    ],
)
def test_layouts_of_mounted_folders(name, tmp_path):
    path = put(tmp_path / name)
    for other in ("resnet50.pth", "resnet34d/model.safetensors", "notes/resnet34.txt", "resnet34/config.json"):
        put(tmp_path / other)
    assert find_below(tmp_path, RESNET.stems) == path


def test_the_first_name_and_the_safest_ending_win(tmp_path):
    for name in ("a/resnet34.a1_in1k.safetensors", "b/resnet34.bin", "b/resnet34.pth", "c/resnet34/model.safetensors"):
        put(tmp_path / name)
    assert find_below(tmp_path, RESNET.stems) == tmp_path / "b/resnet34.pth"
    assert find_below(tmp_path, ("resnet34.a1_in1k",)) == tmp_path / "a/resnet34.a1_in1k.safetensors"
    assert find_below(tmp_path, ("resnet50",)) is None


@given(st.text(st.characters(codec="ascii"), max_size=20))
def test_slugs_are_names_of_kaggle(name):
    assert slug(slug(name)) == slug(name) == slug(name.upper())
    assert not set(slug(name)) - set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_folders_of_images_cost_nothing(tmp_path):
    for number in range(WIDE + 1):
        put(tmp_path / "competition" / "train" / f"{number}.png")
    put(tmp_path / "competition" / "train" / "resnet34.pth")
    path = put(tmp_path / "weights" / "resnet34.pth")
    started = time.perf_counter()
    assert find_below(tmp_path, RESNET.stems) == path
    assert time.perf_counter() - started < 0.5


def test_the_folder_of_the_user_comes_before_mounts_and_caches(tmp_path, monkeypatch, no_network):
    mine, mount, cache = (put(tmp_path / name / "resnet34.pth") for name in ("mine", "mount/deep", "cache"))
    monkeypatch.setattr(networks.weight_files, "find_cached", lambda wanted: cache)
    monkeypatch.setenv("WEIGHTS_MOUNTS", f"/nowhere:{tmp_path / 'mount'}")
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path / "mine"))
    assert folders() == [tmp_path / "mine", tmp_path / "mount"]
    assert find_weights_file(RESNET) == mine
    monkeypatch.delenv("WEIGHTS_DIR")
    assert find_weights_file(RESNET) == mount
    monkeypatch.setenv("WEIGHTS_MOUNTS", "")
    assert find_weights_file(RESNET) == cache
    assert not no_network


def test_caches_of_both_hubs(tmp_path, monkeypatch, no_network):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    path = put(tmp_path / "torch" / "checkpoints" / "resnet34-b627a593.pth")
    assert find_weights_file(RESNET) == path
    asked = []

    def cached(repository, file, revision=None):
        asked.append((repository, file, revision))
        return str(tmp_path / file) if file == "pytorch_model.bin" else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert find_weights_file(RESNET) == tmp_path / "pytorch_model.bin"
    assert asked == [
        ("smp-hub/resnet34.imagenet", name, "c0ffee") for name in ("model.safetensors", "pytorch_model.bin")
    ]
    assert not no_network


def test_a_hub_is_asked_last_and_for_the_safest_file_first(tmp_path, monkeypatch):
    asked = []

    def download(repository, file, revision=None):
        asked.append((repository, file, revision))
        if file == "model.safetensors":
            raise EntryNotFoundError("404")
        return str(put(tmp_path / file))

    monkeypatch.setattr(networks.weight_files, "find_cached", lambda wanted: None)
    monkeypatch.setattr(networks.weight_files, "out_of_reach", lambda address: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert find_weights_file(RESNET) == tmp_path / "pytorch_model.bin"
    assert asked == [
        ("smp-hub/resnet34.imagenet", name, "c0ffee") for name in ("model.safetensors", "pytorch_model.bin")
    ]
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, path: put(Path(path)))
    assert find_weights_file(Wanted("r", ("r",), url=URL)) == tmp_path / "torch/checkpoints/resnet34-b627a593.pth"


def test_one_line_names_the_places_and_the_file_to_bring(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    started = time.perf_counter()
    with pytest.raises(OSError, match="no weights of resnet34") as raised:
        find_weights_file(RESNET)
    assert time.perf_counter() - started < 2
    assert len(no_network) == 1  # no retry
    text = str(raised.value)
    assert "\n" not in text
    for part in (
        f"$WEIGHTS_DIR ({tmp_path})",
        "/kaggle/input (no such folder)",
        str(tmp_path / "torch" / "checkpoints"),
        "smp-hub/resnet34.imagenet was not downloaded (huggingface.co cannot be reached: no network in tests)",
        "Bring resnet34.safetensors (or resnet34.pth, resnet34.bin, resnet34/model.safetensors)",
        "model.encoder_init_from",
    ):
        assert part in text


def test_a_name_server_without_an_answer_takes_two_seconds_at_most(monkeypatch):
    monkeypatch.setattr(networks.weight_files.socket, "create_connection", lambda *_, **__: time.sleep(5))
    started = time.perf_counter()
    assert out_of_reach("https://huggingface.co") == "no answer from huggingface.co within 1.5 s"
    assert time.perf_counter() - started < 2


def test_a_proxy_is_asked_in_place_of_the_hub(monkeypatch):
    asked = []

    class Connection:
        def close(self) -> None:
            pass

    def connect(address, timeout):
        asked.append(address)
        return Connection()

    monkeypatch.setattr(networks.weight_files.socket, "create_connection", connect)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert out_of_reach("https://huggingface.co") is None
    monkeypatch.setenv("no_proxy", "huggingface.co")
    assert out_of_reach("https://huggingface.co") is None
    assert asked == [("proxy.example", 3128), ("huggingface.co", 443)]
