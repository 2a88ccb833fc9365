"""`new` on twelve layouts: the config parses, its target is the truth, and `run` on it works at once."""

import contextlib
import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import cli
from commands.command_line.config import read_config
from datamodules.shapes import coco_content
from datamodules.table import rows_of
from tests.fixtures.label_trees import (
    COLOURS,
    TEST,
    TREES,
    class_png,
    coco,
    drawings,
    flat_folders,
    rgb_coded,
)

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


FLAGS = {
    "trainer.max_steps": 2,
    "trainer.accelerator": "cpu",
    "trainer.devices": 1,
    "trainer.enable_progress_bar": "false",
    "trainer.enable_model_summary": "false",
    "data.num_workers": 0,
    "data.batch_size": 2,
}
ARGUMENTS = [part for key, value in FLAGS.items() for part in (f"--{key}", str(value))]


@pytest.mark.slow
@pytest.mark.parametrize("layout", TREES, ids=lambda layout: layout.__name__)
def test_run_works_at_once(layout, tmp_path, monkeypatch):
    """Every command of `run`, as it starts them, with two training steps."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(cli.__file__).parent))
    tree = layout()
    new(tree)
    assert cli.main(["run", "--config", CONFIG, *ARGUMENTS]) == 0
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


def submitted(tree, solution, capsys):
    """The submission of a config of `new` after two training steps, and its score against a solution."""
    new(tree)
    assert cli.main(["folds", "--config", CONFIG]) == 0
    assert cli.main(["fit", "--config", CONFIG, *ARGUMENTS, "--panels", "0"]) == 0
    assert cli.main(["predict", "runs/mine/fold0", "--trainer.enable_progress_bar", "false"]) == 0
    assert cli.main(["submit", "runs/mine/fold0"]) == 0
    output = Path("runs/mine") / tree.submission
    capsys.readouterr()
    arguments = ["--config", "runs/mine/fold0/config.yaml", "--solution", solution]
    assert cli.main(["score", str(output), *arguments]) == 0
    return output, float(re.search(r"score \(\w+\) (\d\.\d+)", capsys.readouterr().out)[1])


@pytest.mark.slow
@pytest.mark.parametrize("layout", [class_png, rgb_coded], ids=["class_png", "rgb_coded"])
def test_class_images_are_scored_as_by_hand(layout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tree, table = layout(), np.array(list(COLOURS.values()), np.uint8)
    Path("truth").mkdir()
    for name, drawing in drawings(TEST, 50).items():
        numbers = drawing.classes() if layout is class_png else np.where(drawing.classes() < 255, drawing.classes(), 0)
        Image.fromarray(numbers if layout is class_png else table[numbers]).save(f"truth/{name}.png")
    output, score = submitted(tree, "truth", capsys)
    counts = np.zeros((4, 4))
    with zipfile.ZipFile(output) as content:
        for name in content.namelist():
            found = np.asarray(Image.open(io.BytesIO(content.read(name))))
            true = np.asarray(Image.open(f"truth/{name}"))
            if layout is rgb_coded:
                found, true = ((image[..., None, :] == table).all(-1).argmax(-1) for image in (found, true))
            np.add.at(counts, (found[true < 255], true[true < 255]), 1)
    union = counts.sum(0) + counts.sum(1) - np.diag(counts)
    assert score == pytest.approx(np.mean(np.diag(counts) / union), abs=1e-4)


@pytest.mark.slow
def test_coco_results_are_scored_as_by_pycocotools(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tree = coco()
    truth = coco_content(drawings(TEST, 50))
    for image in truth["images"]:
        image["id"] = image["file_name"].removesuffix(".png")
    for one in truth["annotations"]:
        one["image_id"] = truth["images"][one["image_id"] - 1]["id"]
    Path("truth.json").write_text(json.dumps(truth))
    output, score = submitted(tree, "truth.json", capsys)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO("truth.json")
        scored = COCOeval(known, known.loadRes(str(output)), "segm")
        scored.params.iouThrs = np.array([0.5])
        scored.evaluate()
        scored.accumulate()
    assert score == pytest.approx(scored.eval["precision"][0, :, :, 0, 2].mean(), abs=0.02)
