"""`ensemble` on stores that are written here, and the verbs that take what it wrote."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

import cli
from ensembling.weights import describe
from evaluation.folds import folds_hash, read_folds
from files.paths import text_hash
from predictions.store import PredictionStore

SIDE = 24
MEMBERS = [(0, 0.35), (1, 0.35), (2, 0.9)]  # seed and noise of a, b, c
MASKS = "masks/{image_id}.png"
TRAIN = [f"t{n:02}" for n in range(12)]
TEST = ["u0", "u1", "u2"]
FOLD = {one: n % 3 for n, one in enumerate(TRAIN)}


def truth(image_id):
    """A disc somewhere."""
    random = np.random.default_rng(sum(map(ord, image_id)))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    row, column = random.integers(8, 16, 2)
    return (rows - row) ** 2 + (columns - column) ** 2 <= random.integers(4, 8) ** 2


def prediction(image_id, seed, noise):
    random = np.random.default_rng([seed, sum(map(ord, image_id))])
    field = cv2.GaussianBlur(random.normal(size=(SIDE, SIDE)), (0, 0), 1.5) * 3
    mask = np.clip(0.5 + 0.2 * (2 * truth(image_id) - 1) + noise * field, 0, 1)
    return {"mask": mask.astype(np.float32)[None], "label": random.random(2, np.float32)}


def write_store(folder, ids, seed, noise):
    store = PredictionStore(folder)
    store.begin(ids, fingerprint=text_hash(f"{seed} {noise}"))
    for image_id in ids:
        store.write(image_id, prediction(image_id, seed, noise))
    store.finish()


def write_experiment(name, seed, noise):
    """An experiment of three folds as `fit` and `predict` leave it, without its checkpoints."""
    for fold in range(3):
        run = Path("runs") / name / f"fold{fold}"
        write_store(run / "predictions" / "val", [one for one in TRAIN if FOLD[one] == fold], seed, noise)
        write_store(run / "predictions" / "test", TEST, seed + 10 + fold, noise)
        content = yaml.safe_load(Path("config.yaml").read_text())
        content["experiment"] = name
        content["data"]["init_args"]["fold"] = fold
        (run / "config.yaml").write_text(yaml.safe_dump(content))
        (run / "run.json").write_text(json.dumps({"folds_hash": folds_hash(read_folds("folds.csv"))}))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("competition")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in (*TRAIN, *TEST):
            path = Path("data") / ("train" if name in TRAIN else "test") / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), (truth(name) * 200).astype(np.uint8))
            if name in TRAIN:
                Path("data/masks").mkdir(exist_ok=True)
                cv2.imwrite(f"data/masks/{name}.png", (truth(name) * 255).astype(np.uint8))
        rows = [(one, FOLD[one], one) for one in TRAIN]
        pd.DataFrame(rows, columns=["image_id", "fold", "group"]).to_csv("folds.csv", index=False)
        config = {
            "data": {
                "class_path": "datamodules.ImageDataModule",
                "init_args": {
                    "root": "data",
                    "images": "train/*.png",
                    "test_images": "test/*.png",
                    "folds": "folds.csv",
                    "targets": [
                        {
                            "class_path": "datamodules.targets.MaskFiles",
                            "init_args": {"pattern": "masks/{image_id}.png"},
                        }
                    ],
                },
            },
            "competition": {
                "metric": {"class_path": "evaluation.metrics.DicePerImage"},
                "postprocess": [{"class_path": "postprocessing.Threshold"}],
                "submission": {"class_path": "submissions.RunLengths"},
            },
        }
        Path("config.yaml").write_text(yaml.safe_dump(config))
        for name, (seed, noise) in zip("abc", MEMBERS, strict=True):
            write_experiment(name, seed, noise)
    return folder


def ensemble(*arguments):
    cli.main(["ensemble", *arguments, "--output", "runs/ens", "--processes", "1"])


def refused(*arguments):
    with pytest.raises(SystemExit) as stopped:
        ensemble(*arguments)
    assert not list(Path("runs").glob("ens/*/config.yaml"))
    assert not list(Path("runs").glob("ens/**/*.npz"))
    return str(stopped.value)


def score_of(prediction_of):
    """Mean Dice by hand."""
    scores = []
    for one in TRAIN:
        mask, true = prediction_of(one) > 0.5, truth(one)
        scores.append(2 * (mask & true).sum() / (mask.sum() + true.sum()))
    return np.mean(scores)


def stored(image_id, seed, noise):
    return np.round(prediction(image_id, seed, noise)["mask"][0] * 255) / 255


def test_the_mean_is_an_experiment_for_every_later_verb(here, capsys):
    ensemble("runs/a", "runs/b", "runs/c")
    out = capsys.readouterr().out
    run = here / "runs" / "ens" / "ensemble"
    val, test = (PredictionStore.open(run / "predictions" / split) for split in ("val", "test"))
    assert val.ids() == TRAIN
    assert test.ids() == TEST

    def mean(one):
        return np.round(np.mean([stored(one, *m) for m in MEMBERS], axis=0) * 255) / 255

    np.testing.assert_allclose(val.read("t03")["mask"][0], mean("t03"), atol=1.1 / 255)
    nine = [stored("u1", seed + 10 + fold, noise) for seed, noise in MEMBERS for fold in range(3)]
    np.testing.assert_allclose(test.read("u1")["mask"][0], np.mean(nine, axis=0), atol=0.6 / 255)
    # the printed scores are those of the definitions
    singles = [score_of(lambda one, m=m: stored(one, *m)) for m in MEMBERS]
    printed = [float(re.search(rf"runs/{name}\s+([\d.]+)", out).group(1)) for name in "abc"]
    assert printed == pytest.approx(singles, abs=1e-5)
    of_mean = float(re.search(r"mean\s+([\d.]+)", out).group(1))
    assert of_mean == pytest.approx(score_of(mean), abs=2e-3)
    assert of_mean > max(singles)
    assert "alone scores as well" not in out
    # and `score` prints the same number of the ensemble
    cli.main(["score", "runs/ens"])
    assert f"{of_mean:.4f}" in capsys.readouterr().out
    cli.main(["search", "runs/ens", "--processes", "1", "--sweeps", "1"])
    assert (here / "runs" / "ens" / "searched.yaml").is_file()
    cli.main(["submit", "runs/ens"])
    rows = pd.read_csv(here / "runs" / "ens" / "submission.csv")
    assert sorted(rows["ImageId"]) == TEST
    assert yaml.safe_load((run / "config.yaml").read_text())["experiment"] == "ens"
    assert json.loads((run / "run.json").read_text())["members"] == ["runs/a", "runs/b", "runs/c"]


def test_searched_weights_are_cross_fitted_into_the_store(here, capsys):
    ensemble("runs/a", "runs/b", "runs/c", "--rule", "weighted", "--rounds", "6")
    out = capsys.readouterr().out
    facts = json.loads((here / "runs" / "ens" / "ensemble" / "run.json").read_text())
    assert facts["cross_fitted"] >= facts["equal"]
    assert facts["weights"][2] < min(facts["weights"][:2])  # the noisy member
    for number, weights in facts["weights_without"].items():
        assert f"without fold {number}: {', '.join(f'{w:.3f}' for w in weights)}" in out
    store = PredictionStore.open("runs/ens/ensemble/predictions/val")
    for one in TRAIN[:3]:  # one of each fold
        weights = facts["weights_without"][str(FOLD[one])]
        expected = sum(w * stored(one, *m) for w, m in zip(weights, MEMBERS, strict=True))
        np.testing.assert_allclose(store.read(one)["mask"][0], expected, atol=0.6 / 255)
    # so `score` of the ensemble is the honest one
    cli.main(["score", "runs/ens"])
    assert f"{facts['cross_fitted']:.4f}" in capsys.readouterr().out
    test = PredictionStore.open("runs/ens/ensemble/predictions/test")
    nine = [np.mean([stored("u0", s + 10 + f, n) for f in range(3)], axis=0) for s, n in MEMBERS]
    np.testing.assert_allclose(test.read("u0")["mask"][0], np.tensordot(facts["weights"], nine, 1), atol=0.6 / 255)


def test_weights_that_do_not_help_unseen_images_are_not_used(here, capsys):
    for seed, name in enumerate("abc"):  # of equal worth: nothing can be gained
        write_experiment(name, seed, 0.9)
    ensemble("runs/a", "runs/b", "runs/c", "--rule", "weighted", "--rounds", "10")
    out = capsys.readouterr().out
    facts = json.loads(Path("runs/ens/ensemble/run.json").read_text())
    assert re.search(r"cross-fitted: the searched weights [\d.]+, .*; taken: equal weights", out)
    assert facts["weights"] == pytest.approx([1 / 3] * 3)
    assert facts["cross_fitted"] == facts["equal"]


def test_weak_members_leave_the_best_one_alone(here, capsys, monkeypatch):
    """Also where the search itself is led astray: the member is taken that is best without the fold it is scored on."""
    write_experiment("a", 0, 0.0)  # perfect
    for name in "bc":
        write_experiment(name, 2, 1.5)
    astray = {fold: (0, 1, 1) for fold in range(3)}
    monkeypatch.setattr(
        "commands.ensemble.Scoring.search",
        lambda self, scores, *_: describe(scores, 3, self.parts, (0, 1, 1), astray),
    )
    ensemble("runs/a", "runs/b", "runs/c", "--rule", "weighted")
    out = capsys.readouterr().out
    facts = json.loads(Path("runs/ens/ensemble/run.json").read_text())
    assert "taken: the best single member" in out
    assert "runs/a alone scores as well or better" in out
    assert facts["weights"] == [1, 0, 0]
    assert facts["cross_fitted"] == max(facts["singles"]) > facts["equal"]
    store = PredictionStore.open("runs/ens/ensemble/predictions/val")
    np.testing.assert_allclose(store.read("t00")["mask"][0], stored("t00", 0, 0.0), atol=0.6 / 255)


@pytest.mark.parametrize(
    "flags",
    [
        ["--rule", "geometric", "--weights", "[2, 1, 1]"],
        ["--rule", "mean", "--weights", "least_squares", "--outputs", "[mask]"],
        ["--rule", "mean", "--weights", "simplex", "--rounds", "2"],
        ["--rule", "rank", "--outputs", "[label]", "--score", "false"],
        ["--rule", "vote", "--votes", "2", "--fallback", "union", "--commonest", "[0]"],
        ["--rule", "union", "--outputs", "[mask]"],
        ["--rule", "median", "--dtype", "float16"],
    ],
)
def test_other_rules(here, flags):
    ensemble("runs/a", "runs/b", "runs/c", *flags)
    store = PredictionStore.open("runs/ens/ensemble/predictions/test")
    assert store.ids() == TEST
    weights = json.loads(Path("runs/ens/ensemble/run.json").read_text())["weights"]
    if "least_squares" in flags:
        assert weights[2] < 0.2
    if "geometric" in flags:
        assert weights == [0.5, 0.25, 0.25]
    if "vote" in flags:
        read = store.read("u0")
        members = [
            np.mean([stored("u0", s + 10 + f, n) for f in range(3)], axis=0) for s, n in enumerate((0.35, 0.35, 0.9))
        ]
        np.testing.assert_array_equal(read["mask"][0], (np.stack(members) > 0.5).sum(axis=0) >= 2)


def test_a_member_that_is_better_alone_is_named(here, capsys):
    write_experiment("c", 2, 0.0)  # perfect
    ensemble("runs/a", "runs/c", "--weights", "[3, 1]")
    out = capsys.readouterr().out
    assert "runs/c alone scores as well or better" in out
    assert "runs/a alone" not in out
    assert "weight 0.750" in out
    assert "(nothing to fit)" in out


def test_it_goes_on_where_it_was_cut_off(here, capsys):
    ensemble("runs/a", "runs/b", "--score", "false")
    folder = Path("runs/ens/ensemble/predictions/test")
    (folder / "u1.npz").unlink()
    before = (folder / "u0.npz").stat().st_mtime_ns
    capsys.readouterr()
    ensemble("runs/a", "runs/b", "--score", "false")
    assert "test: 3 images, 1 newly written" in capsys.readouterr().out
    assert (folder / "u0.npz").stat().st_mtime_ns == before
    # other weights or other predictions of a member: anew
    ensemble("runs/a", "runs/b", "--score", "false", "--weights", "[1, 2]")
    assert "test: 3 images, 3 newly written" in capsys.readouterr().out
    write_experiment("b", 1, 0.8)
    ensemble("runs/a", "runs/b", "--score", "false", "--weights", "[1, 2]")
    assert "test: 3 images, 3 newly written" in capsys.readouterr().out


def test_duplicates_runs_checkpoints_and_ensembles_are_members(here):
    """A fold alone, another checkpoint's predictions, an ensemble; copies share their labels."""
    pd.DataFrame({"image_id": ["u0", "u2", "u1"], "duplicate_group": ["u0", "u0", "u1"]}).to_csv("dup.csv", index=False)
    ensemble("runs/a", "runs/b", "--duplicates", "dup.csv")
    store = PredictionStore.open("runs/ens/ensemble/predictions/test")
    np.testing.assert_array_equal(store.read("u0")["label"], store.read("u2")["label"])
    assert not np.array_equal(store.read("u0")["label"], store.read("u1")["label"])
    assert not np.array_equal(store.read("u0")["mask"], store.read("u2")["mask"])
    shutil.copytree("runs/a/fold0/predictions", "other")
    cli.main(["ensemble", "runs/a/fold0", "other", "--output", "runs/two", "--processes", "1"])
    assert PredictionStore.open("runs/two/ensemble/predictions/val").ids() == [one for one in TRAIN if FOLD[one] == 0]
    cli.main(["ensemble", "runs/ens", "runs/c", "--output", "runs/three", "--processes", "1"])
    assert PredictionStore.open("runs/three/ensemble/predictions/val").ids() == TRAIN


def test_what_does_not_fit_is_refused_and_leaves_nothing(here):
    assert "no members" in refused()
    assert "found no predictions in runs/x" in refused("runs/x")
    assert "2 numbers, expected one for each" in refused("runs/a", "runs/b", "runs/c", "--weights", "[1, 2]")
    assert "--weights has no effect" in refused("runs/a", "runs/b", "--rule", "median", "--weights", "hill_climb")
    assert "least_squares needs --rule mean" in refused("runs/a", "--rule", "logit", "--weights", "least_squares")
    assert "--data.root" in refused("runs/a", "--data.root", "x")
    with pytest.raises(SystemExit, match="contains a trained run"):
        cli.main(["ensemble", "runs/a", "runs/b", "--output", "runs/c"])
    with pytest.raises(SystemExit, match="contains the member"):
        cli.main(["ensemble", "runs/a/fold0", "--output", "runs/a"])
    # a store that is not finished, an image that a member lacks, a value that is no number, a damaged file
    file = Path("runs/b/fold1/predictions/test/u2.npz")
    content = file.read_bytes()
    file.unlink()
    assert "incomplete: image 'u2'" in refused("runs/a", "runs/b")
    file.write_bytes(content[:100])
    assert "image 'u2' is damaged" in refused("runs/a", "runs/b")
    broken = prediction("u2", 1, 0.3)
    broken["label"][1] = np.nan
    PredictionStore(file.parent).write("u2", broken)
    assert "output 'label' of image 'u2'" in refused("runs/a", "runs/b")
    file.write_bytes(content)
    write_store(file.parent, TEST[:2], 1, 0.3)
    assert "has no image 'u2'" in refused("runs/a", "runs/b")
    ensemble("runs/a", "runs/b", "--missing", "skip", "--score", "false")
    assert PredictionStore.open("runs/ens/ensemble/predictions/test").ids() == TEST
    shutil.rmtree("runs/ens")
    shutil.rmtree("runs/b/fold1/predictions/val")
    assert "fold1" in refused("runs/a", "runs/b")
    for fold in range(3):
        shutil.rmtree(f"runs/b/fold{fold}/predictions/val", ignore_errors=True)
    assert "--splits '[test]'" in refused("runs/a", "runs/b")
    assert "no out-of-fold predictions" in refused("runs/b", "--rule", "weighted", "--missing", "skip")


@pytest.mark.parametrize("verb", ["score", "search"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_has_no_score(here, verb, value, capsys):
    """At a threshold NaN would be an empty mask, with a score of its own."""
    broken = prediction("t04", 0, 0.35)
    broken["mask"][0, 5, 5] = value
    PredictionStore("runs/a/fold1/predictions/val").write("t04", broken, "float32")
    more = ["--processes", "1"] if verb == "search" else []
    with pytest.raises(
        (ValueError, SystemExit),
        match="^(error: )?output 'mask' of image 't04' in runs/a/fold1.* has NaN or infinite",
    ):
        cli.main([verb, "runs/a", *more])
    assert not Path("runs/a/searched.yaml").exists()


@pytest.mark.parametrize("verb", ["score", "search", "submit"])
def test_half_written_and_missing_images_stop_every_verb(here, verb):
    split = "test" if verb == "submit" else "val"
    file = next(Path(f"runs/a/fold1/predictions/{split}").glob("*.npz"))
    content = file.read_bytes()
    file.write_bytes(content[:60])
    with pytest.raises(ValueError, match=rf"image '{file.stem}' is damaged"):
        cli.main([verb, "runs/a"])
    file.unlink()
    with pytest.raises((ValueError, SystemExit), match=r"^(error: )?runs/a/fold1/predictions/\w+ has \d of \d images"):
        cli.main([verb, "runs/a"])
    assert not list(Path("runs/a").glob("*.csv*"))
    assert not Path("runs/a/searched.yaml").exists()
