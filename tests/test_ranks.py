"""Two processes on one machine (gloo): the same images, values and scores as one. A killed process, and the rest."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from datamodules.quickstart import Nuclei
from predictions.store import PredictionStore

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = ROOT / "configs" / "quickstart.yaml"
QUIET = [
    *("--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
    *("--trainer.accelerator", "cpu"),
]
TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "cli.py"), *arguments, *QUIET]


def run(folder: Path, *arguments: str) -> str:
    # One thread a process: two ranks that each take every core wait for each other.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command(*arguments), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with one short fit; 11 images so that two ranks get unequal shares."""
    folder = tmp_path_factory.mktemp("ranks")
    Nuclei(train=22, test=5).write(folder / "data" / "quickstart")
    subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "folds", "--config", str(QUICKSTART), "--cv.k", "2"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    small = ["--data.batch_size", "4", "--data.num_workers", "0", "--trainer.max_epochs", "2"]
    run(folder, "fit", "--config", str(QUICKSTART), *small, "--trainer.check_val_every_n_epoch", "2")
    return folder


def stores(folder: Path, run_folder: str = "runs/quickstart/fold0") -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Split -> image id -> arrays of a run."""
    splits = {path.name: PredictionStore.open(path) for path in (folder / run_folder / "predictions").iterdir()}
    return {name: {image_id: store.read(image_id) for image_id in store.ids()} for name, store in splits.items()}


def forget(folder: Path) -> None:
    for path in (folder / "runs/quickstart/fold0/predictions").rglob("*"):
        if path.is_file():
            path.unlink()


def assert_equal_stores(one: dict, other: dict) -> None:
    """The same ids; values to one step of uint8."""
    assert {split: list(entries) for split, entries in one.items()} == {s: list(e) for s, e in other.items()}
    for split, entries in one.items():
        for image_id, arrays in entries.items():
            for name, array in arrays.items():
                np.testing.assert_allclose(array, other[split][image_id][name], atol=1.01 / 255)


@pytest.fixture(scope="module")
def whole(trained):
    """What one process predicts, uninterrupted."""
    run(trained, "predict", "runs/quickstart/fold0")
    return stores(trained)


def test_two_processes_predict_what_one_does(trained, whole):
    assert {split: len(entries) for split, entries in whole.items()} == {"val": 11, "test": 5}
    forget(trained)
    run(trained, "predict", "runs/quickstart/fold0", *TWO)
    assert_equal_stores(whole, stores(trained))


@pytest.mark.slow
def test_two_processes_finish_what_is_left(trained, whole):
    """One image left of one split and none of the other: the second rank has only a repeat to do."""
    folder = trained / "runs/quickstart/fold0/predictions"
    run(trained, "predict", "runs/quickstart/fold0")
    next((folder / "test").glob("*.npz")).unlink()
    run(trained, "predict", "runs/quickstart/fold0", *TWO)
    assert_equal_stores(whole, stores(trained))
    run(trained, "predict", "runs/quickstart/fold0", *TWO)  # nothing left at all
    assert_equal_stores(whole, stores(trained))


@pytest.mark.slow
def test_a_single_image_on_two_ranks(trained, whole):
    image = next((trained / "data/quickstart/stage1_test").glob("*/images/*.png"))
    run(trained, "predict", "runs/quickstart/fold0", "--data.predict_split", f'["{image.parent}"]', *TWO)
    store = PredictionStore.open(trained / "runs/quickstart/fold0/predictions/images")
    assert store.ids() == [image.stem]
    for name, array in store.read(image.stem).items():
        np.testing.assert_allclose(array, whole["test"][image.stem][name], atol=1.01 / 255)
    for path in store.path.iterdir():
        path.unlink()
    store.path.rmdir()


def test_two_processes_score_what_one_does(trained):
    def scores(*extra):
        run(trained, "validate", "runs/quickstart/fold0", *extra)
        rows = list(csv.DictReader(open(trained / "runs/quickstart/fold0/metrics.csv")))
        last = {row["name"]: float(row["value"]) for row in rows if row["stage"] == "validate"}
        return last, list(csv.DictReader(open(trained / "runs/quickstart/fold0/scores.csv")))

    one, images = scores()
    two, images_of_two = scores(*TWO)
    assert len(images) == 11
    assert [row["image_id"] for row in images] == [row["image_id"] for row in images_of_two]
    for name in ("val/score", "val/DicePerImage"):
        assert two[name] == pytest.approx(one[name], abs=1e-3)


@pytest.mark.slow
def test_two_processes_train(trained):
    small = ["--data.batch_size", "2", "--data.num_workers", "0", "--trainer.max_epochs", "1", "--data.cache", "disk"]
    small += ["--experiment", "two", "--trainer.check_val_every_n_epoch", "1"]
    run(trained, "fit", "--config", str(QUICKSTART), *small, *TWO)
    assert (trained / "runs/two/fold0/checkpoints/best.ckpt").is_file()
    rows = list(csv.DictReader(open(trained / "runs/two/fold0/scores.csv")))
    assert len(rows) == 11


@pytest.mark.slow  # by an exception: tests/test_cli.py
def test_killed_predict_is_finished_by_the_next(trained, whole):
    """SIGKILL, as from the system when memory runs out: no clean-up of ours can run."""
    forget(trained)
    folder = trained / "runs/quickstart/fold0/predictions/val"
    process = subprocess.Popen(
        command("predict", "runs/quickstart/fold0", "--data.num_workers", "0"),
        cwd=trained,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*.npz"))) < 3:
        assert process.poll() is None, "predict ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    written = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert 3 <= len(written) < 11
    with pytest.raises(ValueError, match="run predict again"):
        PredictionStore.open(folder)
    run(trained, "predict", "runs/quickstart/fold0")
    assert_equal_stores(whole, stores(trained))
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in written.items())
