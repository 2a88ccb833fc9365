"""The `data` part of a config without loaders."""

import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from jsonargparse import ArgumentParser

import datamodules
from datamodules import plain
from datamodules.plain import offline_class
from datamodules.plain.offline import loader_arguments


def arguments_of(kind):
    added = ArgumentParser().add_class_arguments(kind, "it", fail_untyped=False)
    return {name.removeprefix("it.") for name in added}


@pytest.mark.parametrize("name", datamodules.__all__)
def test_a_datamodule_takes_what_its_plain_class_takes_and_what_loaders_take(name):
    kind, below = getattr(datamodules, name), getattr(plain, name.removesuffix("Module"))
    assert issubclass(kind, below)
    assert arguments_of(kind) == arguments_of(below) | loader_arguments()
    assert not arguments_of(below) & loader_arguments()
    for path in (f"datamodules.{name}", f"{kind.__module__}.{name}", name):
        found = offline_class(path, arguments_of(kind))
        assert found == (f"datamodules.plain.{below.__name__}", arguments_of(below))


@pytest.mark.parametrize("name", datamodules.__all__)
def test_what_a_datamodule_adds_is_of_loaders(name):
    """Tables, truth and folds must be those of the plain class, or training and scores would look at different rows."""
    kind = getattr(datamodules, name)
    tables = {one for one, value in inspect.getmembers(plain.BaseData, callable) if not one.startswith("__")}
    for owner in inspect.getmro(kind):
        if owner.__module__.startswith("datamodules.") and not owner.__module__.startswith("datamodules.plain."):
            assert set(vars(owner)) & (tables - {"prepare_data"}) == set(), owner


def test_other_classes_and_unknown_arguments_are_left_to_the_class():
    assert offline_class("mine.ImageDataModule", ["root", "batch_size"]) is None
    assert offline_class("datamodules.mine.MyDataModule", []) is None
    assert offline_class("datamodules.ImageDataModule", ["root", "batch_sise"]) is None
    assert offline_class("datamodules.ImageDataModule", []) == ("datamodules.plain.ImageData", set())


class Mine(datamodules.ImageDataModule):
    """A datamodule of a fork, with files and an argument of its own."""

    def __init__(self, *args: Any, prefix: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prefix = prefix

    def find(self, root: str, pattern: str, source: str) -> pd.DataFrame:
        table = super().find(root, pattern, source)
        return table.assign(image_id=self.prefix + table["image_id"])


def test_a_datamodule_of_a_fork_is_built_as_it_is(tmp_path):
    (tmp_path / "1.png").touch()
    given = {"root": str(tmp_path), "images": "*.png", "targets": [], "prefix": "mine-", "batch_size": 3}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(plain.BaseData, "data")
    data = {"class_path": f"{__name__}.Mine", "init_args": given}
    assert offline_class(data["class_path"], given) is None
    built = parser.instantiate_classes(parser.parse_object({"data": data})).data
    assert type(built) is Mine
    assert built.batch_size == 3
    assert built.table()["image_id"].tolist() == ["mine-1"]
    again = pickle.loads(pickle.dumps(built))
    assert again.table()["image_id"].tolist() == ["mine-1"]


SCRIPT = """
import sys
from pathlib import Path

import yaml
from jsonargparse import ArgumentParser

from datamodules.plain import BaseData, offline_class

parser = ArgumentParser()
parser.add_subclass_arguments(BaseData, "data", required=True)
for file in Path("configs").glob("*.yaml"):
    given = yaml.safe_load(file.read_text())["data"]
    path, kept = offline_class(given["class_path"], given["init_args"])
    data = {"class_path": path, "init_args": {name: given["init_args"][name] for name in kept}}
    built = parser.instantiate_classes(parser.parse_object({"data": data})).data
    assert type(built).__module__.startswith("datamodules.plain."), file
    heavy = {"torch", "pytorch_lightning", "albumentations", "scipy", "rasterio", "pydicom"} & set(sys.modules)
    assert not heavy, (file, heavy)
"""


def test_every_shipped_config_is_built_without_torch():
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
