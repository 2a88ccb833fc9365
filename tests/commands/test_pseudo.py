"""Pseudo-labels: what they hold, who made them, that no fold's truth reaches its own teacher, how they are drawn."""

import json
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import cli
from commands import pseudo
from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from datamodules.external import PseudoLabels, SoftLabels
from datamodules.samplers import TrainingSampler
from datamodules.samplers.source_ratio import SourceRatio
from datamodules.table import rows_of
from experiments.labelling import confidence, labels_of
from experiments.run_folder import RunFolder
from experiments.stages import run_stages, stages_given
from experiments.teachers import check_teacher
from predictions.store import PredictionStore

OVERLAY = """
data: {init_args: {test_images: test/*.png, folds: folds/c.csv}}
cv: {k: 2}
"""


@pytest.fixture
def here(tmp_path, monkeypatch, pixel_config, pixel_images):
    """Eight labelled pictures of 8 x 8, three others, folds of two, and a trained run of each."""
    monkeypatch.chdir(tmp_path)
    pixel_images(8, test=3)
    Path("c.yaml").write_text(yaml.safe_dump(pixel_config(OVERLAY)))
    Path("folds").mkdir()
    rows = "".join(f"p{number},{number % 2},p{number}\n" for number in range(8))
    Path("folds/c.csv").write_text("image_id,fold,group\n" + rows)
    for fold in (0, 1):
        teach(fold)
    return tmp_path


def teach(fold: int, experiment: str = "c", init_from: str | None = None, external: list | None = None) -> RunFolder:
    """A run that has learned all it can: it says of each pixel how often it is foreground in its training masks."""
    content = yaml.safe_load(Path("c.yaml").read_text())
    content["data"]["init_args"] |= {"fold": fold, "external": external}
    content["model"]["init_args"]["init_from"] = init_from
    run = RunFolder(Path("runs") / experiment / f"fold{fold}")
    run.path.mkdir(parents=True, exist_ok=True)
    run.config.write_text(yaml.safe_dump(content))
    data = read_config("score", ["--config", str(run.config)]).data
    run.write_facts(state="finished", folds_hash=data.folds_hash())
    rows = data.split_table("train").query("source == 'train'")
    masks = [data.target_arrays(row)["mask"].astype(np.float32) for row in rows_of(rows)]
    store = PredictionStore(run.predictions / "test")
    for image_id in store.begin(["p8", "p9", "p10"], fingerprint=repr(np.mean(masks, axis=0).tolist())):
        store.write(image_id, {"mask": np.mean(masks, axis=0)})
    store.finish()
    return run


def make(*extra: str) -> Path:
    cli.main(["pseudo", "runs/c", *extra])
    return Path("pseudo/c/round1")


def labels(root: Path, fold: int | str, image_id: str = "p9") -> dict[str, np.ndarray]:
    name = "all" if fold == "all" else f"fold{fold}"
    with np.load(root / name / f"{image_id}.npz") as content:
        return {key: content[key] for key in content.files}


# --- who labels for whom ---------------------------------------------------------------------------------------------


def test_no_truth_of_a_fold_reaches_the_labels_of_its_training(here):
    """All truth of fold 0 is turned round and everybody learns anew: fold 0's labels stay, fold 1's do not."""
    root = make("--soft", "true")
    before = {fold: labels(root, fold) for fold in (0, 1, "all")}
    for number in range(0, 8, 2):
        path = f"data/masks/p{number}.png"
        cv2.imwrite(path, 255 - cv2.imread(path, 0))
    for fold in (0, 1):
        teach(fold)
    root = make("--soft", "true", "--overwrite", "true")
    for name, array in labels(root, 0).items():
        np.testing.assert_array_equal(array, before[0][name])
    assert (labels(root, 1)["mask_soft"] != before[1]["mask_soft"]).any()
    assert (labels(root, "all")["mask_soft"] != before["all"]["mask_soft"]).any()


def test_a_run_takes_the_labels_of_its_own_fold_alone(here):
    root = make("--positive_above", "0.6", "--negative_below", "0.4")
    for fold in (0, 1):
        table = PseudoLabels(str(root), fold=fold, folds="folds/c.csv").table()
        assert table["labels"].str.contains(f"/fold{fold}/").all()
        assert table["image_id"].str.startswith("pseudo-").all()
        assert set(table["source"]) == {"pseudo"}
    assert PseudoLabels(str(root), fold="all").table()["labels"].str.contains("/all/").all()
    with pytest.raises(ValueError, match="fold is not set"):
        PseudoLabels(str(root)).table()
    with pytest.raises(ValueError, match="no labels for training fold 2"):
        PseudoLabels(str(root), fold=2, folds="folds/c.csv").table()
    text = Path("folds/c.csv").read_text()
    Path("folds/c.csv").write_text(text.replace("p0,0", "p0,1"))
    with pytest.raises(ValueError, match="made with other folds"):
        PseudoLabels(str(root), fold=0, folds="folds/c.csv").table()


def test_fit_refuses_labels_of_another_fold(here):
    root = make("--positive_above", "0.6", "--negative_below", "0.4")
    overlay = yaml.safe_load((root / "joint.yaml").read_text())
    overlay["data"]["init_args"]["external"][0]["init_args"]["fold"] = 1
    Path("wrong.yaml").write_text(yaml.safe_dump(overlay))
    with pytest.raises(SystemExit, match="set to fold 1 .* validates fold 0"):
        cli.main(["fit", "--config", "c.yaml", "--config", "wrong.yaml", "--experiment", "x"])


def test_teachers_that_have_seen_their_fold_are_refused(here):
    start = RunFolder("runs/c/fold1")
    start.checkpoints.mkdir()
    start.checkpoint_file.touch()
    with pytest.raises(
        ValueError, match=r"started from runs/c/fold1, which holds out fold 1 .* targets of fold 0 leak"
    ):
        check_teacher(teach(0, "leaky", init_from=str(start.checkpoint_file)))
    shutil.rmtree(start.checkpoints.parent)
    with pytest.raises(ValueError, match="which was deleted"):
        check_teacher(RunFolder("runs/leaky/fold0"))
    start = teach(1)
    root = make("--positive_above", "0.6", "--negative_below", "0.4")
    other = {
        "class_path": "datamodules.external.PseudoLabels",
        "init_args": {"root": str(root), "fold": 1, "folds": "folds/c.csv"},
    }
    with pytest.raises(ValueError, match="trained on labels for fold 1"):
        check_teacher(teach(0, "other", external=[other]))
    start.write_facts(state="started")
    with pytest.raises(ValueError, match="is not finished"):
        check_teacher(start)
    everything = yaml.safe_load(start.config.read_text())
    everything["data"]["init_args"]["fold"] = "all"
    start.config.write_text(yaml.safe_dump(everything))
    start.write_facts(state="finished")
    with pytest.raises(ValueError, match="targets of every fold"):
        check_teacher(start)


def test_the_second_round_wants_teachers_of_the_first(here, capsys):
    root = make("--positive_above", "0.6", "--negative_below", "0.4")
    with pytest.raises(SystemExit, match="trained on labels of round 0, so its labels are round 1, not 2"):
        cli.main(["pseudo", "runs/c", "--round", "2"])
    for fold in (0, 1):
        own = {
            "class_path": "datamodules.external.PseudoLabels",
            "init_args": {"root": str(root), "fold": fold, "folds": "folds/c.csv"},
        }
        teach(fold, "c_joint1", external=[own])
    with pytest.raises(SystemExit, match="so its labels are round 2, not 1"):
        cli.main(["pseudo", "runs/c_joint1"])
    cli.main(
        [
            "pseudo",
            "runs/c_joint1",
            "--round",
            "2",
            "--output",
            "pseudo/c",
            "--positive_above",
            "0.6",
            "--negative_below",
            "0.4",
        ]
    )
    second = json.loads(Path("pseudo/c/round2/manifest.json").read_text())
    assert second["round"] == 2
    assert {fold: entry["images"] for fold, entry in second["folds"].items()} == {"0": 3, "1": 3, "all": 3}
    assert len(PseudoLabels("pseudo/c/round2", fold=0, folds="folds/c.csv").table()) == 3


def test_copies_of_training_images_are_left_out(here):
    shutil.copy("data/images/p3.png", "data/test/p9.png")
    with pytest.warns(UserWarning, match="1 images are duplicates of training images and are left out, first 'p9'"):
        root = make("--positive_above", "0.6", "--negative_below", "0.4")
    assert PseudoLabels(str(root), fold=0, folds="folds/c.csv").table()["image_id"].tolist() == [
        "pseudo-p10", "pseudo-p8",
    ]  # fmt: skip


def test_nothing_half_written_is_left(here, monkeypatch):
    def dies(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pseudo, "write_overlays", dies)
        with pytest.raises(KeyboardInterrupt):
            make("--positive_above", "0.6", "--negative_below", "0.4")
    assert not Path("pseudo/c/round1").exists()
    make("--positive_above", "0.6", "--negative_below", "0.4")
    assert [path.name for path in Path("pseudo/c").iterdir()] == ["round1"]
    with pytest.raises(SystemExit, match="set --overwrite true to replace it"):
        make()
    with pytest.raises(SystemExit, match="no image of 'test' is left for fold 0"):
        make("--overwrite", "true", "--min_confidence", "0.999")
    assert Path("pseudo/c/round1/manifest.json").is_file(), "what was there stays until the new one is whole"


# --- what a label is -------------------------------------------------------------------------------------------------


def label(prediction, like, hi=0.9, lo=0.2, soft=False, softmax=(), processed=None, known=None):
    return labels_of(prediction, processed or {}, like, softmax, hi, lo, soft, known)


def test_hard_masks_count_where_the_teacher_is_sure():
    p = np.array([[[0.95, 0.9], [0.2, 0.1]]], np.float32)
    found = label({"mask": p}, {"mask": np.zeros((1, 5, 5), np.uint8)})
    np.testing.assert_array_equal(found["mask"], [[[1, 0], [0, 0]]])
    np.testing.assert_array_equal(found["valid"], [[True, False], [False, True]])
    assert found["mask"].dtype == np.uint8
    assert label({"mask": np.full((1, 2, 2), 0.5, np.float32)}, {"mask": np.zeros((1, 5, 5), np.uint8)}) is None


def test_class_numbers_ignore_what_is_not_sure():
    p = np.array([[[0.95, 0.4]], [[0.03, 0.5]], [[0.02, 0.1]]], np.float32)
    found = label({"mask": p}, {"mask": np.zeros((5, 5), np.int64)}, softmax={"mask"})
    np.testing.assert_array_equal(found["mask"], [[0, 255]])
    np.testing.assert_array_equal(found["valid"], [[True, False]])


def test_labels_of_whole_images():
    several = {"label": np.zeros(3, np.float32)}
    found = label({"label": np.array([0.95, 0.1, 0.99], np.float32)}, several)
    np.testing.assert_array_equal(found["label"], [1, 0, 1])
    assert label({"label": np.array([0.95, 0.5, 0.99], np.float32)}, several) is None
    one = {"label": np.array(0)}
    assert label({"label": np.array([0.02, 0.95, 0.03])}, one)["label"] == 1
    assert label({"label": np.array([0.02, 0.75, 0.23])}, one) is None
    soft = label({"label": np.array([0.7, 0.1, 0.4], np.float32)}, several, soft=True)
    np.testing.assert_allclose(soft["label"], [0.7, 0.1, 0.4])


def test_instances_come_from_the_chain_and_count_where_the_outputs_are_sure():
    body = np.array([[[0.95, 0.5, 0.1]]], np.float32)
    processed = {"instances": np.array([[3, 3, 0]], np.int32)}
    found = label({"body": body}, {"instances": np.zeros((4, 4), np.uint16)}, processed=processed)
    np.testing.assert_array_equal(found["instances"], [[3, 3, 0]])
    np.testing.assert_array_equal(found["valid"], [[True, False, True]])
    with pytest.raises(ValueError, match="no prediction for the target 'boxes'"):
        label({"body": body}, {"boxes": np.zeros((1, 4))})


def test_soft_masks_arrive_as_probabilities_and_real_ones_stay():
    p = np.array([[[0.9, 0.3]]], np.float32)
    arrays = label({"mask": p}, {"mask": np.zeros((1, 5, 5), np.uint8)}, soft=True)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.uint8)}, "whole numbers survive augmentation"
    derived = arrays | SoftLabels(["mask"]).derive(arrays)
    np.testing.assert_allclose(derived["mask"], p, atol=1 / 255)
    real = {"mask": np.array([[[1, 0]]], np.uint8)}
    both = real | SoftLabels(["mask"]).derive(real)
    assert both["mask"].dtype == np.uint8
    assert set(both) == set(derived)
    batch = torch.stack([torch.from_numpy(both["mask"]), torch.from_numpy(derived["mask"])])
    assert batch.dtype == torch.float32


def test_soft_class_numbers_arrive_as_channels_that_add_up_to_one():
    p = np.array([[[0.6, 0.2, 0.1]], [[0.3, 0.3, 0.8]], [[0.1, 0.5, 0.1]]], np.float32)
    arrays = label({"mask": p}, {"mask": np.zeros((5, 5), np.int64)}, soft=True, softmax={"mask"})
    np.testing.assert_array_equal(arrays["mask"], [[0, 2, 1]])
    target = SoftLabels(["mask"], {"mask": 3})
    derived = arrays | target.derive(arrays)
    np.testing.assert_allclose(derived["mask"], p, atol=2 / 255)
    np.testing.assert_allclose(derived["mask"].sum(0), 1, rtol=1e-6)
    real = {"mask": np.array([[2, 255, 0]], np.int64)}
    both = real | target.derive(real)
    np.testing.assert_array_equal(both["mask"][:, 0], [[0, 0, 1], [0, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(both["valid"], [[True, False, True]])
    assert set(both) - {"valid"} == set(derived)
    for name in derived:
        assert both[name].dtype == derived[name].dtype
        assert both[name].shape == derived[name].shape
    with pytest.raises(ValueError, match="has class 7, expected 0 to 2"):
        target.derive({"mask": np.array([[7]])})


def test_soft_class_numbers_outside_of_the_picture_are_as_real_ones():
    arrays = {"mask": np.array([[0, 255]]), "mask_soft": np.zeros((3, 1, 2), np.uint8)}
    found = SoftLabels(["mask"], {"mask": 3}).derive(arrays)
    np.testing.assert_array_equal(found["mask"][:, 0], [[1, 0], [0, 0], [0, 0]])
    np.testing.assert_array_equal(found["valid"], [[True, False]])


def test_soft_class_numbers_of_whole_images():
    target = SoftLabels([], {"label": 3})
    p = np.array([0.7, 0.1, 0.2], np.float32)
    arrays = label({"label": p}, {"label": np.array(0)}, soft=True, softmax={"label"})
    np.testing.assert_allclose((arrays | target.derive(arrays))["label"], p)
    np.testing.assert_array_equal(target.derive({"label": np.array(2)})["label"], [0, 0, 1])


def test_cross_entropy_of_one_hot_truth_is_that_of_class_numbers():
    from losses.cross_entropy import CrossEntropyLoss

    number = np.random.default_rng(0).integers(0, 4, (6, 5))
    number[number == 3] = 255
    found = SoftLabels(["mask"], {"mask": 3}).derive({"mask": number})
    logits = torch.randn(1, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    soft = CrossEntropyLoss()(
        logits, torch.from_numpy(found["mask"])[None], torch.from_numpy(found["valid"])[None, None].float()
    )
    torch.testing.assert_close(soft, CrossEntropyLoss()(logits, torch.from_numpy(number)[None]))


def test_confidence_of_an_image():
    assert confidence({"mask": np.array([[[0.9, 0.2]]])}, ()) == pytest.approx(0.85)
    assert confidence({"mask": np.array([[[0.5]], [[0.3]], [[0.2]]])}, {"mask"}) == pytest.approx(0.5)


def test_where_the_image_holds_no_data_nothing_is_labelled():
    p = np.array([[[0.95, 0.5], [0.05, 0.99]]], np.float32)
    known, like = np.array([[True, True], [True, False]]), {"mask": np.zeros((1, 5, 5), np.uint8)}
    found = label({"mask": p}, like, known=known)
    np.testing.assert_array_equal(found["valid"], [[True, False], [True, False]])
    assert label({"mask": p}, like, known=np.array([[False, True], [False, False]])) is None
    assert confidence({"mask": p}, (), known) == pytest.approx(np.mean([0.95, 0.5, 0.95]))
    assert confidence({"mask": p, "empty": np.array([0.6])}, (), known) == pytest.approx(
        np.mean([0.95, 0.5, 0.95, 0.6])
    )
    assert np.isnan(confidence({"mask": p}, (), np.zeros((2, 2), bool)))


# --- how they are drawn ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ratio", "real", "other"), [(0.5, 20, 7), (1.0, 9, 40), (0.3, 17, 5), (2.0, 8, 3)])
def test_an_epoch_holds_the_two_sources_in_their_ratio(ratio, real, other):
    table = pd.DataFrame({"source": ["train"] * real + ["pseudo"] * other})
    order = SourceRatio(ratio)
    order.prepare(table)
    epochs = []
    for epoch in range(4):
        batches = order.draw(4, 2, epoch, np.random.default_rng(epoch))
        assert batches.shape == (order.batches(4, 2), 4)
        drawn = (batches >= real).sum()
        assert abs(drawn - batches.size * ratio / (1 + ratio)) <= 0.5
        each = (batches >= real).sum(1)
        assert each.max() - each.min() <= 1
        for members in (range(real), range(real, real + other)):
            counts = np.array([(batches == member).sum() for member in members])
            assert counts.max() - counts.min() <= 1
        epochs.append(batches.tolist())
    assert epochs[0] != epochs[1]
    assert abs(batches.size - 2 * real * (1 + ratio)) <= 2


def test_the_ratio_under_two_ranks(monkeypatch):
    table = pd.DataFrame({"source": ["train"] * 21 + ["pseudo"] * 30})
    order = SourceRatio(0.5)
    order.prepare(table)
    drawn = []
    for rank in (0, 1):
        for module in ("sharded", "source_ratio"):
            monkeypatch.setattr(f"datamodules.samplers.{module}.rank_and_world", lambda rank=rank: (rank, 2))
        drawn.append([draw.index for draw in TrainingSampler(51, order=order, batch_size=3)])
    assert len(drawn[0]) == len(drawn[1])
    together = np.array(drawn[0] + drawn[1])
    assert abs((together >= 21).sum() - len(together) / 3) <= 0.5


def test_a_ratio_without_such_rows():
    with pytest.raises(ValueError, match="expected 'pseudo' and others"):
        SourceRatio(0.5).prepare(pd.DataFrame({"source": ["train"]}))
    with pytest.raises(ValueError, match="expected more than 0"):
        SourceRatio(0)


# --- a whole run -----------------------------------------------------------------------------------------------------


def test_pretraining_with_pseudo_labels_then_without(here, monkeypatch):
    """Both in the first stage, in their ratio; the second starts from its weights and sees real rows alone."""
    from lightning_modules import SegmentationModule

    root = make("--soft", "true", "--mode", "pretrain", "--ratio", "0.5", "--weight", "0.25")
    seen, starts = [], []
    original = SegmentationModule.training_step

    def step(self, batch, batch_idx):
        if batch_idx == 0:
            starts.append({name: value.clone() for name, value in self.network.state_dict().items()})
            seen.append([])
        seen[-1] += list(zip(batch["image_id"], batch["weight"].tolist(), strict=True))
        return original(self, batch, batch_idx)

    monkeypatch.setattr(SegmentationModule, "training_step", step)
    arguments = ["--config", "c.yaml", "--config", str(root / "pretrain.yaml"), "--experiment", "p"]
    settings = CommandLine.read(arguments).settings
    run_stages(settings, stages_given(settings), cli.main)
    first, second = seen
    assert sum(name.startswith("pseudo-") for name, _ in first) == 2
    assert len(first) == 6
    assert {weight for name, weight in first if name.startswith("pseudo-")} == {0.25}
    assert {name for name, _ in second} == {"p1", "p3", "p5", "p7"}
    saved = torch.load("runs/p/fold0/stages/1_pseudo/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    for name, value in starts[1].items():
        torch.testing.assert_close(value, saved[f"network.{name}"], rtol=0, atol=0)
    config = yaml.safe_load(Path("runs/p/fold0/stages/1_pseudo/config.yaml").read_text())
    assert config["data"]["init_args"]["external"][0]["init_args"]["fold"] == 0
    assert check_teacher(RunFolder("runs/p/fold0"))[0] == 0


def test_a_run_with_soft_labels_of_class_numbers(here, monkeypatch):
    """Training sees channels, of real images too; validation keeps the numbers and its score."""
    from lightning_modules import SegmentationModule

    random = np.random.default_rng(1)
    for number in range(8):
        cv2.imwrite(f"data/masks/p{number}.png", random.integers(0, 3, (8, 8), np.uint8))
    content = yaml.safe_load(Path("c.yaml").read_text())
    content["model"]["init_args"] |= {"loss": "cross_entropy(mask)", "activations": {"mask": "softmax"}}
    content["model"]["init_args"]["network"]["init_args"]["out_channels"] = 3
    target = {"class_path": "datamodules.targets.MaskFiles", "init_args": {"pattern": "masks/{image_id}.png"}}
    target["init_args"]["classes"] = 3
    content["data"]["init_args"]["targets"] = [target]
    content["competition"] = {"metric": {"class_path": "evaluation.metrics.IoUGlobal", "init_args": {"classes": 3}}}
    Path("c.yaml").write_text(yaml.safe_dump(content))
    shutil.rmtree("runs")
    for verb in ("fit", "predict"):
        cli.main([verb, *(["--config", "c.yaml"] if verb == "fit" else ["runs/c/fold0"])])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        root = make("--soft", "true")
    seen: dict[str, list] = {"training": [], "validation": []}
    for kind in seen:
        original = getattr(SegmentationModule, f"{kind}_step")

        def step(self, batch, batch_idx, kind=kind, original=original):
            seen[kind].append({name: batch[name] for name in ("image_id", "mask")})
            return original(self, batch, batch_idx)

        monkeypatch.setattr(SegmentationModule, f"{kind}_step", step)
    cli.main(["fit", "--config", "c.yaml", "--config", str(root / "joint.yaml"), "--experiment", "p"])
    kinds = {name.partition("-")[0] for batch in seen["training"] for name in batch["image_id"]}
    assert "pseudo" in kinds
    for batch in seen["training"]:
        assert batch["mask"].shape[1:] == (3, 8, 8)
        torch.testing.assert_close(batch["mask"].sum(1), torch.ones_like(batch["mask"][:, 0]))
    assert {mask.dtype for batch in seen["validation"] for mask in batch["mask"]} == {torch.int64}
    saved = Path("runs/c/fold0/config.yaml")
    saved.write_text(saved.read_text().replace("cross_entropy(mask)", "cross_entropy(mask) + dice(mask)"))
    with pytest.warns(UserWarning, match=r"class numbers \(mask\) need the loss cross_entropy"):
        make("--soft", "true", "--overwrite", "true")
