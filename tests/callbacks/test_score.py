"""T22: stop when the F1 of one class falls; the classes' scores are logged beside the score."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch.utils.data import DataLoader

from callbacks import CompetitionScore, EarlyStopping, RunCheckpoint
from callbacks.score import write_scores
from commands.command_line.training import CHECKPOINT_DEFAULTS
from datamodules.collate import collate_evaluation
from datamodules.dataset import to_sample
from datamodules.decoder import Decoder
from evaluation.interval import bootstrap_interval
from evaluation.metrics import DiceGlobal, DicePerImage, FBeta, IoUGlobal, IoUPerImage
from postprocessing import MinimumArea, Threshold
from submissions.competition import Competition

# Images of class 0 and of class 1 (of five each) that are found in each epoch. Class 0 is best in epoch 2; the rare
# class goes on rising, and the macro F1 with it, to epoch 5.
FOUND = [(2, 0), (3, 1), (5, 1), (4, 2), (4, 3), (3, 5), (2, 4), (2, 3), (2, 2), (2, 2)]


class Scripted(pl.LightningModule):
    """Predicts what the script of this epoch says."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        return self.weight.sum()

    def validation_step(self, batch, batch_idx):
        first, second = FOUND[self.trainer.current_epoch]
        flags = [[n < first, False] for n in range(5)] + [[False, n < second] for n in range(5)]
        return [{"label": torch.tensor(flags[index])} for index in batch["number"]]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def stopped(monitor, competition=None, batches=2):
    """Last epoch and logged values of a run that stops on this monitor."""
    competition = competition or Competition(FBeta())
    truth = [torch.tensor([1.0, 0.0])] * 5 + [torch.tensor([0.0, 1.0])] * 5
    images = [{"number": n, "image_id": f"i{n}", "image": torch.zeros(1), "label": truth[n]} for n in range(10)]
    size = len(images) // batches
    batches = [{key: [i[key] for i in images[k : k + size]] for key in images[0]} for k in range(0, 10, size)]
    trainer = pl.Trainer(
        max_epochs=len(FOUND), accelerator="cpu", logger=False, enable_checkpointing=False, num_sanity_val_steps=0,
        enable_progress_bar=False, enable_model_summary=False,
        callbacks=[CompetitionScore(competition, panels=0), EarlyStopping(monitor=monitor, patience=2)],
    )  # fmt: skip
    trainer.fit(Scripted(), DataLoader(torch.zeros(1, 1)), DataLoader(batches, batch_size=None))
    return trainer.current_epoch - 1, trainer.callback_metrics


def f1_of(found):
    return 2 * found / (found + 5)


@pytest.mark.parametrize("batches", [1, 5])
def test_stops_when_the_frequent_class_falls_although_the_mean_rises(batches):
    epoch, logged = stopped("val/score_class0", batches=batches)
    assert epoch == 4  # best in 2, then two in which it is lower
    assert float(logged["val/score_class0"]) == pytest.approx(f1_of(4))
    assert float(logged["val/score_class1"]) == pytest.approx(f1_of(3))
    means = [np.mean([f1_of(n) for n in pair]) for pair in FOUND[: epoch + 1]]
    assert means == sorted(means)


def test_stops_when_plain_f1_falls():
    assert stopped("val/score")[0] == 7


def test_classes_of_further_metrics_go_by_their_name():
    epoch, logged = stopped("val/FBeta_class1", Competition(FBeta(average="samples", beta=2), [FBeta()]))
    assert epoch == 7
    assert {"val/FBeta_class0", "val/score_class1"} <= set(logged)


def test_one_class_is_the_score_itself():
    score, names = CompetitionScore(Competition(DicePerImage()), panels=0), []
    score.metrics["score"].update("a", {"mask": np.ones((1, 4, 4), bool)}, {"mask": np.ones((1, 4, 4), bool)})
    module = SimpleNamespace(log=lambda name, *arguments, **settings: names.append(name))
    trainer = SimpleNamespace(sanity_checking=False)
    score._finish(trainer, module, "val", "", "")
    assert names == ["val/score"]


class Classes(Scripted):
    """Says class 0 left and class 1 right of an image; there is a class 2 that this fold does not hold."""

    def validation_step(self, batch, batch_idx):
        return [{"mask": mask} for mask in batch["guess"]]


class NamedData(pl.LightningDataModule):
    """A batch with the names of its classes."""

    def __init__(self, batch, class_names):
        super().__init__()
        self.batch, self.class_names = batch, class_names

    def train_dataloader(self):
        return DataLoader(torch.zeros(1, 1))

    def val_dataloader(self):
        return DataLoader([self.batch], batch_size=None)


def fitted(tmp_path, metric, monitor, names=None, logger=False):
    """A run on four images without class 2; the values it logged and the names of its checkpoints."""
    truth = torch.zeros(4, 8, dtype=torch.int64)
    truth[:, 4:] = 1
    guess = truth.clone()
    guess[0] = 1  # 4 of 16 pixels of class 0 are missed in each image
    images = {"image_id": [f"i{n}" for n in range(4)], "image": torch.zeros(4, 3, 4, 8)}
    batch = images | {"mask": [truth] * 4, "guess": [guess] * 4}
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", logger=logger, num_sanity_val_steps=2, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[
            CompetitionScore(Competition(metric), tmp_path, panels=2),
            RunCheckpoint(tmp_path / "checkpoints", **(CHECKPOINT_DEFAULTS | {"monitor": monitor})),
        ],
    )  # fmt: skip
    trainer.fit(Classes(), datamodule=NamedData(batch, names))
    return trainer.callback_metrics, sorted(path.name for path in (tmp_path / "checkpoints").iterdir())


DICE = [2 * 12 / (12 + 16), 2 * 16 / (16 + 20)]  # of class 0 and class 1


@pytest.mark.parametrize("kind", [DicePerImage, DiceGlobal, IoUPerImage, IoUGlobal])
def test_a_class_that_the_fold_does_not_hold(tmp_path, kind):
    """It enters no mean and is told; the score is that of the classes that are there."""
    logged, checkpoints = fitted(tmp_path, kind(classes=3, empty=float("nan")), "val/score")
    expected = DICE if kind in (DicePerImage, DiceGlobal) else [d / (2 - d) for d in DICE]
    assert float(logged["val/score"]) == pytest.approx(np.mean(expected))
    assert [float(logged[f"val/score_class{n}"]) for n in range(2)] == pytest.approx(expected)
    assert np.isnan(float(logged["val/score_class2"]))
    assert float(logged["val/score_classes"]) == 2
    assert checkpoints == ["best.ckpt", "last.ckpt"]
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 5


@pytest.mark.parametrize("monitor", ["val/score_class1", "val/score_red_road"])
def test_classes_are_logged_by_name_and_monitored_by_name_or_number(tmp_path, monitor):
    logger = CSVLogger(tmp_path, name="", version="")
    names = ["sky", "red/road", "car"]
    logged, checkpoints = fitted(tmp_path, IoUGlobal(classes=3, empty=float("nan")), monitor, names, logger)
    assert checkpoints == ["best.ckpt", "last.ckpt"]
    assert float(logged[monitor]) == pytest.approx(DICE[1] / (2 - DICE[1]))
    written = pd.read_csv(tmp_path / "metrics.csv")
    assert {"val/score_sky", "val/score_red_road", "val/score_car"} <= set(written)
    assert "val/score_class1" not in written
    other, _ = fitted(tmp_path / "other", IoUGlobal(classes=3, empty=float("nan")), "val/score_class1", names[:2])
    assert "val/score_sky" not in other  # names of another number of classes belong to another target


def test_a_checkpoint_that_watches_the_absent_class_is_written_all_the_same(tmp_path):
    """Not: could not find the monitored key."""
    logged, checkpoints = fitted(tmp_path, DiceGlobal(classes=3, empty=float("nan")), "val/score_class2")
    assert np.isnan(float(logged["val/score_class2"]))
    assert checkpoints == ["best.ckpt", "last.ckpt"]


def test_where_absence_counts_as_a_hit_it_is_said_by_the_argument(tmp_path):
    logged, _ = fitted(tmp_path, DiceGlobal(classes=3), "val/score")
    assert float(logged["val/score"]) == pytest.approx(np.mean([*DICE, 1.0]))
    assert float(logged["val/score_classes"]) == 3


@pytest.mark.filterwarnings("error")
def test_the_interval_of_a_score_without_any_class_is_no_number():
    metric = DiceGlobal(empty=float("nan"))
    metric.update(np.zeros((2, 1, 4, 4), bool), np.zeros((2, 1, 4, 4), bool))
    assert np.isnan(bootstrap_interval(metric)).all()


def flood(path, values, **more):
    rasterio = pytest.importorskip("rasterio", reason='needs the extra: pip install -e ".[satellite]"')
    profile = {"driver": "GTiff", "height": 32, "width": 32, "count": 1, "dtype": values.dtype, "crs": "EPSG:32633"}
    grid = rasterio.transform.from_origin(5e5, 5e6, 10, 10)
    with rasterio.open(path, "w", **profile, transform=grid, **more) as file:
        file.write(values, 1)


@pytest.mark.parametrize("declared_by", ["target", "reader", "both"])
@pytest.mark.parametrize("classes", [None, 2])
def test_pixels_that_file_or_target_declare_void_are_not_scored(tmp_path, declared_by, classes):
    """Sen1Floods11: -1 is unknown. Right wherever the label is known, water where it is not."""
    label, picture = np.zeros((32, 32), np.int16), np.full((32, 32), 80, np.uint8)
    label[4:12, 20:30] = 1
    water = label == 1
    water[:, :16] = True
    if declared_by != "reader":
        label[:, :10] = -1
    if declared_by != "target":
        picture[:, 10 if declared_by == "both" else 0 : 16] = 0
    else:
        label[:, :16] = -1
    flood(tmp_path / "a.tif", picture, nodata=0)
    flood(tmp_path / "mask_a.tif", label)
    from datamodules.readers.geotiff import HANDLES, GeoTiffReader
    from datamodules.targets import RasterMasks

    row = SimpleNamespace(image_id="a", path=str(tmp_path / "a.tif"), weight=1.0)
    target = RasterMasks("mask_{image_id}.tif", classes=classes, ignore=-1)
    target.prepare(pd.DataFrame({"image_id": ["a"], "path": [row.path]}), tmp_path)
    image, arrays = Decoder(GeoTiffReader(), [target]).read(row)
    HANDLES.close()
    samples = [to_sample(row, image, arrays, np.zeros(0, np.float32))]
    # An image beside it in the batch, all of which counts.
    whole = SimpleNamespace(image_id="b", weight=1.0)
    mask = np.ones((1, 32, 32), np.uint8) if classes is None else np.ones((32, 32), np.int64)
    samples.append(to_sample(whole, image, {"mask": mask}, np.zeros(0, np.float32)))
    found = [np.stack([~flags, flags]).astype(np.float32) for flags in (water, np.ones((32, 32), bool))]
    outputs = [{"mask": torch.from_numpy(one if classes else one[1:])} for one in found]
    chain = [] if classes else [Threshold(), MinimumArea(100)]  # of the water 80 pixels are known
    metrics = [IoUPerImage(classes=classes), DicePerImage(classes=classes), IoUGlobal(classes=classes)]
    competition = Competition(IoUGlobal(classes=classes, ignore=255), extra_metrics=metrics, postprocess=chain)
    for batch in (samples, samples[::-1]):
        callback = CompetitionScore(competition, panels=0)
        callback.on_validation_epoch_start(SimpleNamespace(is_global_zero=True, sanity_checking=False), None)
        callback.on_validation_batch_end(
            None, None, outputs if batch is samples else outputs[::-1], collate_evaluation(batch), 0
        )
        for metric in competition.metrics().values():
            right = metric.scores()
            assert right["b"] == 1
            assert right["a"] == (1 if classes else 0)  # the area that is known is too small for the chain


def test_images_without_a_score_stand_last(tmp_path):
    competition, nothing = Competition(DicePerImage()), np.zeros((2, 2), bool)
    full = np.ones((1, 2, 2), bool)
    half = full & np.array([True, False])
    for name, found, valid in (("void", full, nothing), ("right", full, ~nothing), ("wrong", half, ~nothing)):
        competition.metric.add(name, {"mask": found}, {"mask": full, "valid": valid})
    write_scores(tmp_path / "scores.csv", competition)
    table = pd.read_csv(tmp_path / "scores.csv")
    assert table["image_id"].tolist() == ["wrong", "right", "void"]
    assert np.isnan(table["score"].tolist()[-1])
    assert float(competition.metric.compute()) == pytest.approx((1 + 2 / 3) / 2)


def test_the_sanity_check_before_training_is_no_result():
    truth = [torch.tensor([1.0, 0.0])] * 5 + [torch.tensor([0.0, 1.0])] * 5
    images = [{"number": n, "image_id": f"i{n}", "image": torch.zeros(1), "label": truth[n]} for n in range(10)]
    batches = [{key: [image[key] for image in images] for key in images[0]}]
    score = CompetitionScore(Competition(FBeta()), panels=0)
    trainer = pl.Trainer(
        max_steps=0, accelerator="cpu", logger=False, enable_checkpointing=False, num_sanity_val_steps=2,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[score],
    )  # fmt: skip
    trainer.fit(Scripted(), DataLoader(torch.zeros(1, 1)), DataLoader(batches, batch_size=None))
    assert score.latest == {}
    score.on_validation_epoch_start(SimpleNamespace(is_global_zero=True, sanity_checking=False), None)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, num_sanity_val_steps=2,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[score],
    )  # fmt: skip
    trainer.fit(Scripted(), DataLoader(torch.zeros(1, 1)), DataLoader(batches, batch_size=None))
    assert set(score.latest) == {"score"}


def test_class_names_may_look_like_the_numbered_ones(tmp_path):
    metric = DicePerImage(classes=3, empty=float("nan"))
    logged, _ = fitted(tmp_path, metric, "val/score_class0", ["class1", "class2", "class3"])
    assert [float(logged[f"val/score_class{n}"]) for n in (0, 1, 2)] == pytest.approx([DICE[0], *DICE])
