"""Train against test, and the weights that come of it."""

import numpy as np
import pandas as pd
import pytest

import cli
from commands.adversarial import adversarial_weights


def sets(shift, count=600, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(0, 1, (count, 3)), random.normal([shift, 0, 0], 1, (count, 3))


def test_the_same_distribution_cannot_be_told_apart():
    found = adversarial_weights(*sets(0.0))
    assert found.auc == pytest.approx(0.5, abs=0.05)
    assert found.low < 0.5 < found.high + 0.02
    assert found.effective > 0.95 * 600


def test_weighted_training_images_have_the_mean_of_the_test_images():
    train, test = sets(0.8)
    found = adversarial_weights(train, test, clip=50)
    assert found.auc > 0.65
    assert found.weights.mean() == pytest.approx(1)
    weighted = np.average(train, axis=0, weights=found.weights)
    assert abs(train[:, 0].mean() - test[:, 0].mean()) > 0.7
    np.testing.assert_allclose(weighted, test.mean(0), atol=0.12)


def test_weights_come_from_models_that_did_not_see_the_image():
    """Images with a number of their own: learnt by heart they would be told apart, out of fold they are not."""
    from sklearn.neighbors import KNeighborsClassifier

    found = adversarial_weights(*sets(0.0), model=KNeighborsClassifier(1))
    assert 0.4 < found.auc < 0.6


def test_no_weight_passes_the_clip():
    found = adversarial_weights(*sets(3.0), clip=4)
    assert found.weights.max() / found.weights.min() <= 16 + 1e-6


def test_the_verb_writes_what_data_weights_takes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train, test = sets(1.0, 60)
    for name, matrix in (("train", train), ("test", test)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "features.npy", matrix)
        pd.DataFrame({"image_id": [f"{name}{n}" for n in range(60)]}).to_csv(tmp_path / name / "ids.csv", index=False)
        frame = pd.DataFrame(matrix, columns=list("abc")).assign(image_id=[f"{name}{n}" for n in range(60)], site="x")
        frame.to_csv(f"{name}.csv", index=False)
    cli.main(["adversarial", "--train", "train", "--test", "test"])
    weights = pd.read_csv("weights.csv")
    assert weights["image_id"].tolist() == [f"train{n}" for n in range(60)]
    assert weights["weight"].mean() == pytest.approx(1, abs=1e-4)
    assert "train and test differ" in capsys.readouterr().out
    cli.main(["adversarial", "--train", "train.csv", "--test", "test.csv", "--columns", "[b, c]", "--output", "w2.csv"])
    assert "AUC 0." in capsys.readouterr().out
    for wrong in (
        ["--train", "none"],
        ["--train", "train.csv", "--columns", "[z]"],
    ):
        with pytest.raises(SystemExit, match="error: "):
            cli.main(["adversarial", *wrong, "--test", "test.csv"])
    with pytest.raises(SystemExit):
        cli.main(["adversarial", "--train", "train", "--model", "x", "--test", "test.csv"])
    assert "'logistic', 'trees'" in capsys.readouterr().err.splitlines()[0]
