"""The verb `features`: once, resumable, equal to what the network says live."""

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import yaml
from PIL import Image
from sklearn.linear_model import LogisticRegression

import cli
from commands import features as verb
from commands.features import FeatureExtractor
from experiments.loading import load
from networks import ImageClassifier
from networks.freeze import freeze

SMALL = "tf_mobilenetv3_small_minimal_100"
CONFIG = {
    "model": {
        "class_path": "lightning_modules.ClassificationModule",
        "init_args": {
            "network": {"class_path": "networks.ImageClassifier", "init_args": {"encoder": SMALL, "classes": 2}},
            "outputs": ["label"],
            "loss": "cross_entropy",
            "activations": {"label": "softmax"},
            "inference": {"class_path": "inference.Inference", "init_args": {"size": [32, 32]}},
        },
    },
    "data": {
        "class_path": "datamodules.ImageDataModule",
        "init_args": {
            "root": "data",
            "images": "train/*.png",
            "test_images": "test/*.png",
            "targets": [
                {
                    "class_path": "datamodules.targets.Labels",
                    "init_args": {"columns": "kind", "csv": "labels.csv", "id_column": "name", "classes": 2},
                }
            ],
            "batch_size": 4,
            "num_workers": 0,
            "augmentation": [{"class_path": "albumentations.Resize", "init_args": {"height": 32, "width": 32}}],
        },
    },
    "cv": {"k": 2},
    "competition": {
        "metric": {"class_path": "evaluation.metrics.Accuracy", "init_args": {"classes": 2}},
        "postprocess": [{"class_path": "postprocessing.ArgMax"}],
    },
    "trainer": {
        "accelerator": "cpu",
        "max_epochs": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    },
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Twenty dark and light pictures, and the weights of an encoder in `$WEIGHTS_DIR`."""
    random, rows = np.random.default_rng(0), []
    for folder in ("data/train", "data/test", "weights"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(20):
        picture = random.integers(0, 100, (34 + number % 3, 40, 3)) + 100 * (number % 2)
        folder = "train" if number < 16 else "test"
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / "data" / folder / f"{number:03d}.png")
        rows.append((f"{number:03d}", number % 2))
    pd.DataFrame(rows[:16], columns=["name", "kind"]).to_csv(tmp_path / "data" / "labels.csv", index=False)
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(CONFIG))
    torch.manual_seed(0)
    torch.save(timm.create_model(SMALL, num_classes=10).state_dict(), tmp_path / "weights" / f"{SMALL}.pth")
    monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(folder) -> tuple[np.ndarray, list[str]]:
    return np.load(folder / "features.npy"), pd.read_csv(folder / "ids.csv", dtype=str)["image_id"].tolist()


def test_features_of_an_encoder_train_a_light_head(here):
    encoder = ["--encoder", SMALL, "--size", "[32, 32]"]
    cli.main(["features", "--config", "task.yaml", *encoder])
    matrix, ids = read(here / "runs/task/features/train")
    assert matrix.shape == (16, 1024)
    assert matrix.dtype == np.float32
    assert ids == [f"{number:03d}" for number in range(16)]
    cli.main(["features", "--config", "task.yaml", *encoder, "--split", "test"])
    tested, test_ids = read(here / "runs/task/features/test")
    assert test_ids == ["016", "017", "018", "019"]
    # live: the same network, frozen, in training mode, as BaseModule would feed it
    network = ImageClassifier(SMALL, 0, pretrained=True)
    freeze(network, [""])
    known = network.encoder.pretrained_cfg
    extractor = FeatureExtractor(
        network, torch.tensor(known["mean"]), torch.tensor(known["std"]), 255.0, [32, 32], torch.device("cpu")
    )
    network.train()
    live = extractor(np.asarray(Image.open("data/train/003.png")))
    np.testing.assert_allclose(matrix[3], live, atol=1e-5)
    head = LogisticRegression().fit(matrix, np.arange(16) % 2)
    assert head.score(tested, np.arange(4) % 2) == 1.0


def test_what_is_there_is_not_computed_again(here, monkeypatch, capsys):
    arguments = ["--config", "task.yaml", "--encoder", SMALL, "--size", "[32, 32]"]
    verb.main(arguments)
    folder, seen = here / "runs/task/features/train", []
    before = (folder / "features.npy").read_bytes()
    (folder / "005.npz").unlink()
    (folder / "features.npy").unlink()
    original = FeatureExtractor.__call__
    monkeypatch.setattr(FeatureExtractor, "__call__", lambda self, image: seen.append(1) or original(self, image))
    verb.main(arguments)
    assert len(seen) == 1
    assert "15 of 16 images already computed" in capsys.readouterr().out
    assert (folder / "features.npy").read_bytes() == before
    verb.main(arguments)  # nothing left
    assert len(seen) == 1
    # other weights: everything anew
    torch.manual_seed(1)
    torch.save(timm.create_model(SMALL, num_classes=10).state_dict(), here / "weights" / f"{SMALL}.pth")
    verb.main(arguments)
    assert len(seen) == 17
    assert (folder / "features.npy").read_bytes() != before


def test_features_of_a_trained_run(here):
    assert cli.main(["folds", "--config", "task.yaml"]) == 0
    assert cli.main(["fit", "--config", "task.yaml"]) == 0
    cli.main(["features", "runs/task/fold0", "--output", "out"])
    matrix, ids = read(here / "out")
    predictor = load("runs/task/fold0", device="cpu")
    image = np.asarray(Image.open(f"data/train/{ids[7]}.png"))
    with torch.no_grad():
        logits = predictor.module.network.head(torch.from_numpy(matrix[7])[None])
    np.testing.assert_allclose(predictor(image)["label"], logits.softmax(1)[0], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a trained run folder, or --encoder NAME"),
        (["--encoder", "resnet999"], "timm has no model 'resnet999'"),
        (["--encoder", SMALL, "--pooling", "mean"], "pooling is 'mean', expected avg"),
    ],
)
def test_errors_say_what_to_do(here, arguments, message):
    with pytest.raises(SystemExit, match=message):
        cli.main(["features", "--config", "task.yaml", *arguments])


def test_networks_without_features_are_refused():
    import torchvision

    for network in (torch.nn.Flatten(), torchvision.models.densenet121(weights=None)):
        with pytest.raises(ValueError, match="has no method `features`"):
            FeatureExtractor(network, torch.zeros(3), torch.ones(3), 255.0, None, torch.device("cpu"))


def test_random_weights_are_the_same_in_every_call(here):
    for folder in ("one", "two"):
        cli.main(
            ["features", "--config", "task.yaml", "--encoder", SMALL, "--pretrained", "false", "--output", folder],
        )
    assert (np.load("one/features.npy") == np.load("two/features.npy")).all()
