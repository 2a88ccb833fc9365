"""`submit`: what it refuses, and how `--message` sends the file."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import cli
from experiments import kaggle_client
from predictions.store import PredictionStore

IDS = ["a", "b", "c"]
SIZE = (6, 8)


def write_store(arrays, fold=0):
    store = PredictionStore(f"runs/c/fold{fold}/predictions/test")
    store.begin(IDS, "f")
    for image_id, array in arrays.items():
        store.write(image_id, array, dtype="float32")
    store.finish()
    return store.path


def masks():
    random = np.random.default_rng(0)
    return {image_id: {"mask": random.random((1, *SIZE)).astype(np.float32)} for image_id in IDS}


def configure(submission="RunLengths", fold=0, **competition):
    content = {
        "data": {
            "class_path": "datamodules.ImageDataModule",
            "init_args": {
                "root": "data",
                "images": "test/*.png",
                "test_images": "test/*.png",
                "targets": [],
                "sample_submission": "sample.csv",
                "fold": fold,
            },
        },
        "competition": {
            "metric": {"class_path": "evaluation.metrics.DicePerImage"},
            "postprocess": [{"class_path": "postprocessing.Threshold"}] if submission == "RunLengths" else [],
            "submission": {"class_path": f"submissions.{submission}"},
        }
        | competition,
    }
    path = Path(f"runs/c/fold{fold}/config.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A run with finished predictions, and no kaggle client anywhere."""
    monkeypatch.chdir(tmp_path)
    Path("data/test").mkdir(parents=True)
    for image_id in IDS:
        cv2.imwrite(f"data/test/{image_id}.png", np.zeros(SIZE, np.uint8))
    Path("data/sample.csv").write_text("ImageId,EncodedPixels\nc,\na,\nb,\n")
    configure()
    write_store(masks())
    Path("bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(kaggle_client, "find_spec", lambda name: None)
    return tmp_path


def client(status=0, answer="Successfully submitted to The Competition"):
    """A `kaggle` that notes its arguments and the file it was given."""
    path = Path("bin/kaggle")
    path.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        "arguments = sys.argv[1:]\n"
        "text = open(arguments[arguments.index('-f') + 1]).read()\n"
        "json.dump([arguments, text], open('sent.json', 'w'))\n"
        f"print({answer!r})\nsys.exit({status})\n"
    )
    path.chmod(0o755)


def submit(*flags):
    cli.main(["submit", "runs/c", "--output", "s.csv", *flags])


def refused(*flags):
    with pytest.raises(SystemExit) as stopped:
        submit(*flags)
    return str(stopped.value)


def test_the_checked_file_is_sent(here, capsys):
    client()
    configure(slug="some-competition")
    submit("--message", "three folds, d4")
    arguments, text = yaml.safe_load(Path("sent.json").read_text())
    assert arguments == ["competitions", "submit", "-c", "some-competition", "-f", "s.csv", "-m", "three folds, d4"]
    assert text == Path("s.csv").read_text()
    assert [line.split(",")[0] for line in text.splitlines()] == ["ImageId", "c", "a", "b"]
    assert capsys.readouterr().out.endswith("Successfully submitted to The Competition\n")


def test_the_package_serves_where_there_is_no_command(here, monkeypatch):
    monkeypatch.setattr(kaggle_client, "find_spec", lambda name: object() if name == "kaggle" else None)
    assert kaggle_client.client() == [sys.executable, "-m", "kaggle.cli"]
    client()
    assert kaggle_client.client() == ["kaggle"]


def test_nothing_is_sent_unasked(here):
    client()
    configure(slug="some-competition")
    submit()
    assert Path("s.csv").is_file()
    assert not Path("sent.json").exists()
    assert "--message is empty" in refused("--message", " ")
    assert not Path("sent.json").exists()


@pytest.mark.parametrize(
    ("slug", "made", "message"),
    [
        (None, {}, "competition.slug is not set"),
        ("x", None, "the kaggle client is not installed; pip install kaggle"),
        ("x", {"status": 1, "answer": "403 - Forbidden"}, "the kaggle client ended with status 1\n403 - Forbidden"),
        ("x", {"answer": "Could not submit to competition"}, "ended with status 0\nCould not submit to competition"),
    ],
)
def test_what_keeps_it_from_being_sent_is_told_and_the_file_is_there(here, slug, made, message):
    if made is not None:
        client(**made)
    configure(slug=slug)
    said = refused("--message", "m")
    assert said.startswith("error: s.csv is written and checked, but not sent: ")
    assert message in said
    assert len(Path("s.csv").read_text().splitlines()) == 4


def test_a_wrong_submission_is_never_sent(here):
    client()
    configure(slug="x")
    Path("data/sample.csv").write_text("ImageId,EncodedPixels\nc,\na,\nd,\n")
    with pytest.raises(ValueError, match=r"1 ids without a prediction \['d'\], 1 predictions without an id \['b'\]"):
        submit("--message", "m")
    assert not Path("sent.json").exists()
    assert not Path("s.csv").exists()


# --- stores ----------------------------------------------------------------------------------------------------------


def test_a_store_with_a_missing_image_is_refused(here):
    (Path("runs/c/fold0/predictions/test") / "b.npz").unlink()
    with pytest.raises(ValueError, match="has 2 of 3 images; run predict again"):
        submit()
    assert not Path("s.csv").exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_half_written_image_is_refused(here, share):
    path = Path("runs/c/fold0/predictions/test/b.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"the prediction of image 'b' is damaged: .*b\.npz"):
        submit()
    assert not [file for file in os.listdir() if file.startswith("s.csv")]


def test_nan_is_refused(here):
    arrays = masks()
    arrays["b"]["mask"][0, 2, 3] = np.nan
    write_store(arrays)
    with pytest.raises(ValueError, match="output 'mask' of image 'b' in runs/c/fold0.* has NaN"):
        submit()
    assert not Path("s.csv").exists()


def test_lists_of_boxes_are_not_averaged_over_folds(here):
    found = {image_id: {"boxes": np.array([[1, 1, 3, 4, 0.5, 0]], np.float32)} for image_id in IDS}
    Path("data/sample.csv").write_text("image_id,PredictionString\nc,\na,\nb,\n")
    for fold in (0, 1):
        configure("Boxes", fold)
        write_store(found, fold)
    assert "Boxes takes lists of objects, which cannot be averaged over 2 folds" in refused()
    cli.main(["submit", "runs/c/fold0", "--output", "s.csv"])
    assert Path("s.csv").read_text().splitlines()[1] == "c,0.5 1.0 1.0 3.0 4.0"
