"""A rehearsal of a hidden test set: other images than those of the sample that lay beside the training data."""

import csv
import shutil
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import cli
from datamodules import ImageDataModule
from datamodules.readers import ImageReadError
from masks import rle
from predictions.store import PredictionStore

OVERLAY = """
model: {init_args: {optimizer: {class_path: torch.optim.SGD, init_args: {lr: 5.0}}}}
data:
  init_args:
    test_images: test/*.png
    sample_submission: sample_submission.csv
    folds: folds/c.csv
    unreadable: empty
cv: {k: 2, duplicates: false}
competition: {submission: {class_path: submissions.RunLengths}}
trainer: {max_epochs: 3, devices: 1}
"""
TRAIN = 8


def picture(path, side):
    """A bright square on black; its mask."""
    height, width = side
    mask = np.zeros(side, np.uint8)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), mask)
    return mask > 0


def sample(ids):
    rows = [["ImageId", "EncodedPixels"], *([one, "1 1"] for one in ids)]
    with open("data/sample_submission.csv", "w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)


def submitted():
    with open("s.csv", newline="") as handle:
        return list(csv.reader(handle))[1:]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pixel_config):
    """A run that has learned to see what is bright, and predicted the two test images it knew of."""
    folder = tmp_path_factory.mktemp("competition")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("c.yaml").write_text(yaml.safe_dump(pixel_config(OVERLAY)))
        for number in range(TRAIN):
            picture(Path(f"data/images/{number:03}.png"), (16, 16))
            picture(Path(f"data/masks/{number:03}.png"), (16, 16))
        for name in ("p", "q"):
            picture(Path(f"data/test/{name}.png"), (16, 16))
        sample(["q", "p"])
        assert cli.main(["folds", "--config", "c.yaml"]) == 0
        assert cli.main(["fit", "--config", "c.yaml"]) == 0
        assert cli.main(["predict", "runs/c/fold0"]) == 0
        assert cli.main(["submit", "runs/c", "--output", "s.csv"]) == 0
        assert [one for one, _ in submitted()] == ["q", "p"]
        # The competition puts its own files in the place of those.
        for path in Path("data/test").iterdir():
            path.unlink()
        random, truths = np.random.default_rng(0), {}
        for number in random.permutation(3 * TRAIN):
            name = f"h{number:02}"
            truths[name] = picture(Path(f"data/test/{name}.png"), tuple(random.integers(8, 50, 2).tolist()))
        sample(truths)
    return folder, truths


@pytest.fixture
def here(trained, monkeypatch):
    """The competition with one test file that is cut off in its middle, and one of no bytes."""
    folder, truths = trained
    monkeypatch.chdir(folder)
    for name, length in (("h03", 60), ("h11", 0)):
        path = Path(f"data/test/{name}.png")
        whole = path.read_bytes()
        if len(whole) > length:
            path.write_bytes(whole[:length])
    Path("s.csv").unlink(missing_ok=True)
    return truths


def test_every_image_of_the_hidden_sample_gets_its_row(here):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert cli.main(["predict", "runs/c/fold0"]) == 0
        assert cli.main(["submit", "runs/c", "--output", "s.csv"]) == 0
    rows = submitted()
    assert [one for one, _ in rows] == list(here)
    sizes = {"h03": here["h03"].shape, "h11": here["h00"].shape}  # by its own header; as the first that can be read
    for image_id, text in rows:
        expected = np.zeros(sizes[image_id], bool) if image_id in sizes else here[image_id]
        np.testing.assert_array_equal(rle.decode(text, expected.shape), expected)
    texts = [str(one.message) for one in told if "gets an empty prediction" in str(one.message)]
    assert len(texts) == 2
    assert "image 'h03' gets an empty prediction: data/test/h03.png is damaged" in "".join(texts)
    assert "image 'h11' gets an empty prediction: data/test/h11.png is empty (0 bytes)" in "".join(texts)
    store = PredictionStore.open("runs/c/fold0/predictions/test")
    for name, size in sizes.items():
        np.testing.assert_array_equal(store.read(name)["mask"], np.zeros((1, *size)))


def test_what_the_network_is_shown_decides_whether_predictions_are_kept(here):
    def predict(*flags):
        assert cli.main(["predict", "runs/c/fold0", "--data.predict_split", "[val]", *flags]) == 0
        store = PredictionStore.open("runs/c/fold0/predictions/val")
        return store.manifest()["fingerprint"], min(path.stat().st_mtime_ns for path in store.path.glob("*.npz"))

    first = predict()
    assert predict("--data.eval_batch_size", "3", "--data.num_workers", "0") == first  # nothing else is shown
    other = predict("--data.preprocessing", "[{class_path: preprocessing.Clahe}]")
    assert other[0] != first[0]
    assert other[1] > first[1]
    assert predict("--model.activations", "{mask: none}")[0] not in (first[0], other[0])


def test_without_the_key_an_unreadable_file_stops(here):
    shutil.rmtree("runs/c/fold0/predictions/test")
    with pytest.raises(ImageReadError, match=r"data/test/h(03|11)\.png is"):
        cli.main(["predict", "runs/c/fold0", "--data.unreadable", "refuse"])
    with pytest.raises(ValueError, match="run predict again"):
        cli.main(["submit", "runs/c", "--output", "s.csv"])
    assert not Path("s.csv").exists()


def test_nothing_can_be_read_at_all(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    data = ImageDataModule(str(tmp_path), "*.png", [], test_images="*.png", unreadable="empty", fold="all")
    with pytest.raises(ImageReadError, match="a.png is empty"):
        data.sizes("test")
    with pytest.raises(ImageReadError, match="a.png is empty"):
        data.sizes("train")


def test_other_test_images_under_the_same_names_are_predicted_anew(here, tmp_path, monkeypatch):
    """They are told by their contents: another root, and times, do not matter."""
    shutil.copytree(Path.cwd(), tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    for path in Path("data/test").iterdir():
        path.unlink()
    for name in ("a", "b", "c"):
        picture(Path(f"data/test/{name}.png"), (16, 16))

    def predict(*flags):
        assert cli.main(["predict", "runs/c/fold0", "--data.predict_split", "[test]", *flags]) == 0
        store = PredictionStore.open("runs/c/fold0/predictions/test")
        written = {path.stem: path.stat().st_mtime_ns for path in store.path.glob("*.npz")}
        return written, {name: store.read(name)["mask"][0] > 0.5 for name in store.ids()}

    first, bright = predict()
    assert PredictionStore("runs/c/fold0/predictions/test").manifest()["checkpoint"][:2] == ["../..", "best"]
    shutil.copytree("data", "other")
    for path in Path("other/test").iterdir():
        path.touch()
    assert predict("--data.root", "other")[0] == first
    cv2.imwrite("other/test/b.png", 255 - cv2.imread("other/test/b.png"))
    second, found = predict("--data.root", "other")
    assert {name for name in first if second[name] != first[name]} == {"b"}
    np.testing.assert_array_equal(found["b"], ~bright["b"])
    with pytest.raises(ValueError, match=r"first 'b' \(.*data/test/b.png\); these results are outdated"):
        cli.main(["submit", "runs/c", "--output", "s.csv"])
    assert not Path("s.csv").exists()
    third, found = predict()
    assert {name for name in second if third[name] != second[name]} == {"b"}
    np.testing.assert_array_equal(found["b"], bright["b"])
