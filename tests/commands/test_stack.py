"""`stack` on stores that are written here, and the verbs that take what it wrote."""

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
from commands.ensemble import main as ensemble
from ensembling.stacking.case_table import PRESETS
from evaluation.folds import folds_hash, read_folds
from evaluation.metrics import LogLoss
from files.paths import text_hash
from predictions.store import PredictionStore

CLASSES = 4
TRAIN = [f"t{n:03}" for n in range(120)]
TEST = ["u0", "u1", "u2"]
FOLD = {one: n // 2 % 3 for n, one in enumerate(TRAIN)}
PATIENT = {one: f"p{n // 2}" for n, one in enumerate(TRAIN)}
SURENESS = {"a": 0.5, "b": 1.0, "c": 6.0}  # far from sure enough, right, far too sure
TREES = ["--model", "sklearn.ensemble.ExtraTreesClassifier"]
TREES += ["--model_args", "{n_estimators: 20, min_samples_leaf: 4, n_jobs: 1}"]


def truth(image_id):
    return sum(map(ord, image_id)) % CLASSES


def probabilities(image_id, name):
    random = np.random.default_rng([ord(name), sum(map(ord, image_id)), int(image_id[1:])])
    logits = random.normal(size=CLASSES)
    logits[truth(image_id)] += 1.5
    logits = np.exp(logits * SURENESS[name])
    return (logits / logits.sum()).astype(np.float32)


def write_store(folder, entries, made_by):
    store = PredictionStore(folder)
    store.begin(list(entries), fingerprint=text_hash(made_by))
    for image_id, arrays in entries.items():
        store.write(image_id, arrays)
    store.finish()


def write_experiment(name, entry, train, test, fold_of):
    """An experiment of three folds as `fit` and `predict` leave it, without its checkpoints."""
    for fold in range(3):
        run = Path("runs") / name / f"fold{fold}"
        held = {one: entry(one) for one in train if fold_of[one] == fold}
        write_store(run / "predictions" / "val", held, f"{name} {fold}")
        write_store(run / "predictions" / "test", {one: entry(one) for one in test}, f"{name} {fold} test")
        content = yaml.safe_load(Path("config.yaml").read_text()) | {"experiment": name}
        content["data"]["init_args"]["fold"] = fold
        (run / "config.yaml").write_text(yaml.safe_dump(content))
        (run / "run.json").write_text(json.dumps({"folds_hash": folds_hash(read_folds("folds.csv"))}))


def write_files(train, test, fold_of, group_of, targets, competition, picture):
    for split, ids in (("train", train), ("test", test)):
        Path("data", split).mkdir(parents=True)
        for one in ids:
            cv2.imwrite(f"data/{split}/{one}.png", picture(one))
    rows = [(one, fold_of[one], group_of[one]) for one in train]
    pd.DataFrame(rows, columns=["image_id", "fold", "group"]).to_csv("folds.csv", index=False)
    init_args = {"root": "data", "images": "train/*.png", "test_images": "test/*.png", "folds": "folds.csv"}
    data = {"class_path": "datamodules.ImageDataModule", "init_args": init_args | {"targets": targets}}
    Path("config.yaml").write_text(yaml.safe_dump({"data": data, "competition": competition}))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three models of four classes."""
    folder = tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        labels = {"columns": "class", "csv": "train.csv", "kind": "single", "classes": CLASSES}
        submission = {
            "class_path": "submissions.ClassColumns",
            "init_args": {"classes": list("wxyz"), "id_column": "id"},
        }
        write_files(
            TRAIN,
            TEST,
            FOLD,
            PATIENT,
            [{"class_path": "datamodules.targets.Labels", "init_args": labels}],
            {"metric": {"class_path": "evaluation.metrics.LogLoss"}, "submission": submission},
            lambda one: np.zeros((4, 4), np.uint8),
        )
        pd.DataFrame({"image_id": TRAIN, "class": [truth(one) for one in TRAIN]}).to_csv("data/train.csv", index=False)
        pd.DataFrame({"image_id": [*TRAIN, *TEST], "age": range(123)}).to_csv("extra.csv", index=False)
        for name in SURENESS:
            extra = {"mask": np.full((1, 2, 2), 0.2, np.float32)} if name == "a" else {}

            def entry(one, name=name, extra=extra):
                return {"label": probabilities(one, name)} | extra

            write_experiment(name, entry, TRAIN, TEST, FOLD)
    return folder


def stack(*arguments):
    cli.main(["stack", *arguments, "--output", "runs/s"])


def refused(*arguments):
    with pytest.raises(SystemExit) as stopped:
        stack(*arguments)
    assert not list(Path("runs").glob("s/*/config.yaml"))
    assert not list(Path("runs").glob("s/**/*.npz"))
    return str(stopped.value)


def log_loss(entry_of):
    metric = LogLoss()
    for one in TRAIN:
        metric.add(one, {"label": entry_of(one)}, {"label": np.array(truth(one))})
    return float(metric.compute())


def test_a_stack_is_an_experiment_for_every_later_verb(here, capsys):
    stack("runs/a", "runs/b", "runs/c", *TREES, "--keep", "[mask]")
    out = capsys.readouterr().out
    run = here / "runs" / "s" / "stack"
    val, test = (PredictionStore.open(run / "predictions" / split) for split in ("val", "test"))
    assert val.ids() == TRAIN
    assert test.ids() == TEST
    # the printed scores are those of the definitions, and the stack's is the best
    singles = [log_loss(lambda one, name=name: probabilities(one, name)) for name in SURENESS]
    printed = [float(re.search(rf"^  {name}\s+([\d.]+)", out, re.M).group(1)) for name in SURENESS]
    assert printed == pytest.approx(singles, abs=1e-5)
    own = float(re.search(r"^  stack\s+([\d.]+)", out, re.M).group(1))
    assert own == pytest.approx(log_loss(lambda one: val.read(one)["label"]), abs=1e-5)
    assert own < min(singles) - 0.05
    assert "as good" not in out
    entry = test.read("u1")
    assert entry["label"].shape == (CLASSES,)
    assert entry["label"].sum() == pytest.approx(1)
    np.testing.assert_allclose(entry["mask"], 0.2, atol=1e-6)  # kept of the first member
    facts = json.loads((run / "run.json").read_text())
    assert facts["members"] == ["runs/a", "runs/b", "runs/c"]
    assert facts["features"][:2] == ["a.label.0", "a.label.1"]
    assert len(facts["features"]) == 12
    # and every later verb takes it
    cli.main(["score", "runs/s"])
    assert f"{own:.4f}" in capsys.readouterr().out
    cli.main(["submit", "runs/s"])
    rows = pd.read_csv("runs/s/submission.csv")
    assert rows["id"].tolist() == TEST
    np.testing.assert_allclose(rows[list("wxyz")].to_numpy()[1], entry["label"], rtol=1e-6)
    ensemble(["runs/s", "runs/b", "--output", "runs/e", "--processes", "1", "--outputs", "[label]"])
    assert PredictionStore.open("runs/e/ensemble/predictions/val").ids() == TRAIN


def test_folds_of_the_first_level_are_kept_and_new_ones_keep_groups(here, monkeypatch):
    seen = []

    def remember(self, x, target, others, seed=0):
        seen.append((x, others[0], seed))
        return [np.full((len(one), target.classes), 1 / target.classes, np.float32) for one in others]

    monkeypatch.setattr("ensembling.stacking.models.Model.fit_predict", remember)
    stack("runs/b", *TREES)
    row = {probabilities(one, "b").tobytes(): one for one in TRAIN}
    for x, held, _ in seen:
        assert len({FOLD[row[one.tobytes()]] for one in held}) == 1
        assert len({FOLD[row[one.tobytes()]] for one in x}) == 2
    assert len(seen) == 3
    seen.clear()
    stack("runs/b", *TREES, "--folds", "4", "--repeats", "3")
    assert len(seen) == 12
    assert len({seed for _, _, seed in seen}) == 3
    divisions = set()
    for x, held, _ in seen:
        trained, left = ({PATIENT[row[one.tobytes()]] for one in rows} for rows in (x, held))
        assert not trained & left
        divisions.add(frozenset(left))
    assert len(divisions) == 12


def test_repetitions_are_averaged_and_go_on(here, capsys):
    stack("runs/a", "runs/b", *TREES, "--folds", "3", "--repeats", "2")
    capsys.readouterr()
    stack("runs/a", "runs/b", *TREES, "--folds", "3", "--repeats", "4")
    out = capsys.readouterr().out
    single, spread = map(float, re.search(r"one repetition\s+([\d.]+)  \(std ([\d.]+) over 4\)", out).groups())
    own = float(re.search(r"^  stack\s+([\d.]+)", out, re.M).group(1))
    assert own <= single  # the log loss of a mean
    assert spread > 0
    files = sorted(Path("runs/s/stack/repeats").glob("*.npz"))
    assert len(files) == 4
    each = [np.load(file)["=val"] for file in files]
    store = PredictionStore.open("runs/s/stack/predictions/val")
    np.testing.assert_allclose(store.read(TRAIN[7])["label"], np.mean(each, axis=0)[7], atol=1e-6)
    before = [file.stat().st_mtime_ns for file in files]
    Path("runs/s/stack/predictions/test/u1.npz").unlink()
    stack("runs/a", "runs/b", *TREES, "--folds", "3", "--repeats", "4")
    assert "test: 3 images, 1 newly written" in capsys.readouterr().out
    assert [file.stat().st_mtime_ns for file in files] == before


def test_candidates_as_rows_and_extra_columns(here, capsys):
    flags = ["--mode", "top_k", "--k", "2", "--features", "extra.csv"]
    stack("runs/a", "runs/b", "runs/c", *TREES, *flags)
    out = capsys.readouterr().out
    store = PredictionStore.open("runs/s/stack/predictions/test")
    assert store.read("u0")["label"].shape == (CLASSES,)
    share = float(re.search(r"([\d.]+)% of the images have their class among them", out).group(1))
    best = [[np.argsort(-probabilities(one, name))[:2] for name in SURENESS] for one in TRAIN]
    assert share == pytest.approx(
        100 * np.mean([truth(t) in np.ravel(b) for t, b in zip(TRAIN, best, strict=True)]), abs=0.06
    )
    facts = json.loads(Path("runs/s/stack/run.json").read_text())
    assert facts["features"][-1] == "age"
    assert facts["score"] < facts["singles"]["c"]


def test_a_case_table_needs_no_first_level(here, capsys):
    pytest.importorskip("xgboost")
    random = np.random.default_rng(0)
    values = random.normal(size=(123, 7))
    values[:, 1] += [4 * (truth(one) == 1) for one in [*TRAIN, *TEST]]
    columns = ["mass", "mx_10", "mx_15", "mx_20", "crdz_10", "crdz_15", "crdz_20"]
    table = pd.DataFrame(values, columns=columns)
    table.insert(0, "image_id", [*TRAIN, *TEST])
    table["unused"] = "text"
    table.to_csv("cases.csv", index=False)
    pd.DataFrame({"image_id": TRAIN, "class": [int(truth(one) == 1) for one in TRAIN]}).to_csv(
        "data/train.csv", index=False
    )
    content = yaml.safe_load(Path("config.yaml").read_text())
    content["data"]["init_args"]["targets"][0]["init_args"]["classes"] = 2
    content["competition"]["submission"]["init_args"]["classes"] = ["no", "cancer"]
    Path("config.yaml").write_text(yaml.safe_dump(content))
    preset = ["--preset", "dsb2017", "--features", "cases.csv", "--repeats", "2"]
    stack("--config", "config.yaml", *preset, "--model_args", "{min_child_weight: 10}")  # 60 are too many for 96 rows
    facts = json.loads(Path("runs/s/stack/run.json").read_text())
    assert facts["features"] == columns
    assert facts["model"] == "xgboost.XGBRegressor"
    assert facts["model_args"] | {"min_child_weight": 60} == PRESETS["dsb2017"].arguments
    share = np.mean([truth(one) == 1 for one in TRAIN])
    assert facts["score"] < -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert PredictionStore.open("runs/s/stack/predictions/test").ids() == TEST
    cli.main(["submit", "runs/s"])
    # the same from the nodules, by another model
    nodules = pd.DataFrame({"image_id": ["t001", "u1", "t001"], "magnification": [1, 1, 2], "malignancy": [9, 3, 4]})
    nodules.assign(nodule_chance=0.9, coord_z=0.5).to_csv("nodules.csv", index=False)
    boosting = ["--model", "sklearn.ensemble.GradientBoostingClassifier", "--model_args", "{n_estimators: 3}"]
    stack("--config", "config.yaml", "--preset", "dsb2017", "--nodules", "nodules.csv", *boosting, "--repeats", "1")
    assert "val: 119 of 120 cases have no valid nodule" in capsys.readouterr().out
    assert json.loads(Path("runs/s/stack/run.json").read_text())["features"] == columns


def test_what_does_not_fit_is_refused_and_leaves_nothing(here):
    assert "no model" in refused("runs/a")
    assert "no members" in refused(*TREES)
    assert "found no predictions in runs/x" in refused("runs/x", *TREES)
    assert "does not accept --model_args" in refused("runs/a", *TREES[:3], "{trees: 3}")
    assert "no class 'Forest'" in refused("runs/a", "--model", "sklearn.ensemble.Forest")
    assert "--data.root" in refused("runs/a", *TREES, "--data.root", "x")
    assert "needs --nodules FILE" in refused("runs/a", "--preset", "dsb2017", *TREES)
    assert "need --preset dsb2017" in refused("runs/a", *TREES, "--nodules", "extra.csv")
    assert "2 or more folds" in refused("runs/a", *TREES, "--folds", "1")
    assert "--k has no effect with --mode columns" in refused("runs/a", *TREES, "--k", "3")
    assert "--clip has no effect with --mode objects" in refused("runs/a", *TREES, "--mode", "objects", "--clip=0.1")
    assert "['masks']" in refused("runs/a", *TREES, "--keep", "[masks]")
    assert "is repeated" in refused("runs/a", "runs/a", *TREES)
    assert "none of the outputs ['mask']" in refused("runs/a", *TREES, "--outputs", "[mask]")
    assert "set --data_target" in refused("runs/a", *TREES, "--data_target", "grade")
    assert "one experiment, found 2" in refused("runs/a", "runs/b", *TREES, "--mode", "objects")
    with pytest.raises(SystemExit, match="contains a trained run"):
        cli.main(["stack", "runs/a", *TREES, "--output", "runs/c"])
    with pytest.raises(SystemExit, match="contains the member"):
        cli.main(["stack", "runs/a/fold0", *TREES, "--output", "runs/a"])
    pd.DataFrame({"image_id": TRAIN, "age": 3}).to_csv("short.csv", index=False)
    assert "no row for 3 of 3 images; the first is 'u0'" in refused("runs/a", *TREES, "--features", "short.csv")
    write_store(Path("runs/b/fold0/predictions/test"), {"u0": {"label": probabilities("u0", "b")}}, "one")
    assert "u1" in refused("runs/a", "runs/b", *TREES)
    shutil.rmtree("runs/b/fold0/predictions/test")
    for fold in range(3):
        shutil.rmtree(f"runs/b/fold{fold}/predictions/val")
    assert "runs/b has no out-of-fold predictions" in refused("runs/a", "runs/b", *TREES, "--splits", "[]")


def test_a_member_that_the_chain_cannot_take_still_gives_features(here, capsys):
    def entry(one):
        return {"other": probabilities(one, "c")}

    write_experiment("stack", entry, TRAIN, TEST, FOLD)  # its name is no other's
    stack("runs/a", "runs/stack", *TREES)
    out = capsys.readouterr().out
    assert re.search(r"^  stack +not scored: .*'label'", out, re.M)
    facts = json.loads(Path("runs/s/stack/run.json").read_text())
    assert facts["features"][4] == "stack.other.0"
    assert facts["score"] < facts["singles"]["a"] - 0.05


# --- objects ---------------------------------------------------------------------------------------------------------

CELLS = [f"c{n:02}" for n in range(12)]


def cells(image_id):
    """Two discs; a ring that is none, but looks as sure; two discs that touch."""
    random = np.random.default_rng(int(image_id[1:]))
    rows, columns = np.mgrid[:48, :64]

    def disc(row, column, radius):
        return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2

    true = np.zeros((48, 64), np.uint16)
    true[disc(12, 12, random.integers(6, 9))] = 1
    true[disc(34, random.integers(10, 20), random.integers(6, 9))] = 2
    column = random.integers(38, 42)
    left, right = disc(12, column, 7), disc(12, column + 13, 7)
    true[left] = 3
    true[right & ~left] = 4
    body = np.where(true > 0, 0.9, 0.05)
    body[disc(34, 46, 9) & ~disc(34, 46, 6)] = 0.9
    border = np.where((np.abs(columns - column - 7) <= 1) & (true > 2), 0.35, 0.02)
    return true, {"body": body.astype(np.float32)[None], "border": border.astype(np.float32)[None]}


def test_objects_are_dropped_and_split_out_of_fold(tmp_path, monkeypatch, capsys):
    pytest.importorskip("lightgbm")
    monkeypatch.chdir(tmp_path)
    fold_of = {one: n % 3 for n, one in enumerate(CELLS)}
    write_files(
        CELLS[:9],
        CELLS[9:],
        fold_of,
        {one: one for one in CELLS},
        [{"class_path": "datamodules.targets.LabelImages", "init_args": {"pattern": "labels/{image_id}.png"}}],
        {
            "metric": {"class_path": "evaluation.metrics.InstanceAveragePrecision"},
            "dataset_postprocess": [
                {"class_path": "postprocessing.MatchPrior"}
            ],  # of an output that the objects have not
            "postprocess": [
                {
                    "class_path": "postprocessing.Watershed",
                    "init_args": {"seed_threshold": 0.3, "mask_threshold": 0.99},
                },  # until searched
            ],
            "submission": {"class_path": "submissions.InstanceRunLengths"},
        },
        lambda one: np.zeros((48, 64), np.uint8),
    )
    Path("data/labels").mkdir()
    for one in CELLS[:9]:
        cv2.imwrite(f"data/labels/{one}.png", cells(one)[0])
    write_experiment("net", lambda one: cells(one)[1], CELLS[:9], CELLS[9:], fold_of)
    tuned = [{"class_path": "postprocessing.Watershed", "init_args": {"seed_threshold": 0.3, "mask_threshold": 0.5}}]
    Path("runs/net/searched.yaml").write_text(yaml.safe_dump({"competition": {"postprocess": tuned}}))
    trees = ["--model", "lightgbm.LGBMRegressor", "--model_args"]
    trees += ["{n_estimators: 40, min_child_samples: 3, num_leaves: 4, n_jobs: 1}"]
    stack("runs/net", *trees, "--mode", "objects")
    out = capsys.readouterr().out
    assert "by the post-processing in runs/net/searched.yaml" in out
    facts = json.loads(Path("runs/s/stack/run.json").read_text())
    assert 0.3 < facts["singles"]["net"] < 0.45  # two of five objects are right, two are one, one is none
    assert facts["score"] > 0.9
    assert f"stack           {facts['score']:.5f}" in out
    store = PredictionStore.open("runs/s/stack/predictions/val")
    entry = store.read(CELLS[0])
    assert entry["instances"].dtype == np.int32
    assert entry["object_scores"].shape == (entry["instances"].max(),)
    content = yaml.safe_load(Path("runs/s/stack/config.yaml").read_text())
    assert [step["class_path"] for step in content["competition"]["postprocess"]] == ["postprocessing.ObjectScore"]
    cli.main(["score", "runs/s"])
    assert f"{facts['score']:.4f}" in capsys.readouterr().out
    cli.main(["search", "runs/s", "--processes", "1", "--sweeps", "1"])
    assert "ObjectScore.threshold" in capsys.readouterr().out
    cli.main(["submit", "runs/s"])
    rows = pd.read_csv("runs/s/submission.csv")
    assert rows.groupby("ImageId").size().to_dict() == dict.fromkeys(CELLS[9:], 4)


@pytest.mark.slow
def test_objects_of_real_nuclei_are_better_for_it(competition_data, tmp_path, monkeypatch):
    """Otsu's threshold as the network: what is no nucleus, or several, is learned from the other folds."""
    pytest.importorskip("lightgbm")
    monkeypatch.chdir(tmp_path)
    source = competition_data / "dsb2018"
    pictures = {path.stem: cv2.imread(str(path), 0) for path in sorted((source / "images").glob("*.png"))[::2]}
    ids = [one for one, picture in pictures.items() if picture.size <= 320 * 256 and np.median(picture) < 100][:66]

    def entry(one):
        picture = cv2.GaussianBlur(pictures[one], (0, 0), 1)
        middle, _ = cv2.threshold(picture, 0, 255, cv2.THRESH_OTSU)
        body = 1 / (1 + np.exp(-8 * (picture.astype(np.float32) - middle) / max(10.0, np.ptp(picture))))
        return {"body": body.astype(np.float32)[None]}

    train, test = ids[:60], ids[60:]
    fold_of = {one: n % 3 for n, one in enumerate(train)}
    write_files(
        train,
        test,
        fold_of,
        {one: one for one in train},
        [{"class_path": "datamodules.targets.LabelImages", "init_args": {"pattern": "labels/{image_id}.png"}}],
        {
            "metric": {"class_path": "evaluation.metrics.InstanceAveragePrecision"},
            "postprocess": [
                {"class_path": "postprocessing.Threshold", "init_args": {"output": "body", "result": "mask"}},
                {"class_path": "postprocessing.ConnectedComponents"},
            ],
        },
        pictures.get,
    )
    Path("data/labels").symlink_to(source / "labels")
    write_experiment("otsu", entry, train, test, fold_of)
    trees = ["--model", "lightgbm.LGBMRegressor", "--model_args", "{n_estimators: 60, num_leaves: 15, n_jobs: 1}"]
    flags = ["--border", "null", "--levels", "[0.6, 0.7, 0.8, 0.9]"]
    stack("runs/otsu", *trees, "--mode", "objects", *flags)
    facts = json.loads(Path("runs/s/stack/run.json").read_text())
    assert facts["score"] > facts["singles"]["otsu"] + 0.03
