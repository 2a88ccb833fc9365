"""`new` on twelve layouts: the config parses, its target is the truth, and `run` on it works at once."""

from pathlib import Path

import numpy as np
import pytest
import yaml

import cli
from commands.command_line.config import read_config
from datamodules.table import rows_of
from tests.fixtures.label_trees import TREES, coco, flat_folders

CONFIG = "configs/mine.yaml"


def new(tree, *more):
    assert cli.main(["new", "mine", "--images", tree.images, *tree.arguments, *more]) == 0


@pytest.mark.parametrize("layout", TREES, ids=lambda layout: layout.__name__)
def test_the_target_of_an_image_is_the_truth(layout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tree = layout()
    new(tree)
    printed = capsys.readouterr().out
    assert "wrote    configs/mine.yaml" in printed
    assert f"python cli.py run --config {CONFIG}" in printed
    data = read_config("folds", ["--config", CONFIG]).data
    arrays = data.target_arrays(rows_of(data.table())[0])
    for name, expected in tree.expected.items():
        np.testing.assert_allclose(arrays[name], expected, atol=0 if expected.dtype.kind != "f" else 1e-3)
    assert len(data.test_table()) == 3
    content = yaml.safe_load(Path(CONFIG).read_text())
    for key, expected in tree.facts.items():
        value = content
        for part in key.split("."):
            value = value[part] if part in value else value["init_args"][part]
        assert value == expected, key


@pytest.mark.slow
@pytest.mark.parametrize("layout", TREES, ids=lambda layout: layout.__name__)
def test_run_works_at_once(layout, tmp_path, monkeypatch):
    """Every command of `run`, as it starts them, with two training steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parent))
    tree = layout()
    new(tree)
    flags = {
        "trainer.max_steps": 2,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.enable_progress_bar": "false",
        "trainer.enable_model_summary": "false",
        "data.num_workers": 0,
        "data.batch_size": 2,
    }
    arguments = [part for key, value in flags.items() for part in (f"--{key}", str(value))]
    assert cli.main(["run", "--config", CONFIG, *arguments]) == 0
    assert (Path("runs/mine") / tree.submission).is_file()


def test_a_file_is_never_overwritten_and_errors_leave_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = flat_folders()
    cases = [
        (["mine"], "new needs one of --masks, --coco"),
        (["mine", "--masks", "data/masks", "--csv", "data/x.csv"], "new needs one of .*got masks, csv"),
        (["mine", "--masks", "data/nothing/*.png"], "no masks: nothing matches"),
        (["mine", "--coco", "data/nothing.json"], "No such file|does not exist"),
        (["a/b", *tree.arguments], "new needs one name without folders"),
        ([*tree.arguments], "new needs one name"),
    ]
    for arguments, message in cases:
        with pytest.raises(SystemExit, match=message):
            cli.main(["new", *arguments, "--images", tree.images])
    assert not Path("configs").exists()
    new(tree)
    before = Path(CONFIG).read_bytes()
    with pytest.raises(SystemExit, match=f"{CONFIG} exists; choose another name"):
        new(tree)
    assert Path(CONFIG).read_bytes() == before
    assert [path.name for path in Path("configs").iterdir()] == ["mine.yaml"]


def test_masks_for_some_images_only_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = flat_folders()
    Path("data/masks/p003.png").unlink()
    with pytest.raises((SystemExit, FileNotFoundError), match="1 images have no mask; the first is 'p003'"):
        new(tree)
    assert not Path("configs/mine.yaml").exists()


def test_the_task_may_be_chosen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree = coco()
    for task, kind in (("boxes", "Coco"), ("classes", "ClassImages")):
        arguments = ["--images", tree.images, *tree.arguments, "--task", task]
        assert cli.main(["new", task, *arguments]) == 0
        content = yaml.safe_load(Path(f"configs/{task}.yaml").read_text())
        assert content["data"]["init_args"]["targets"][0]["init_args"]["output"] == task
        assert content["competition"]["submission"]["class_path"] == f"submissions.{kind}"
    with pytest.raises(SystemExit, match="--task label is not for files of objects"):
        cli.main(["new", "no", "--images", tree.images, *tree.arguments, "--task", "label"])
