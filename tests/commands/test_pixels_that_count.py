"""The offline verbs on two experiments that differ only where no pixel counts: every number is the same."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import cli

rasterio = pytest.importorskip("rasterio", reason='needs the extra: pip install -e ".[satellite]"')

from commands.ensemble import main as ensemble  # noqa: E402
from commands.report import main as report  # noqa: E402
from commands.stack import main as stack  # noqa: E402
from datamodules.readers.geotiff import HANDLES  # noqa: E402
from evaluation.folds import folds_hash, read_folds  # noqa: E402
from files.paths import text_hash  # noqa: E402
from predictions.store import PredictionStore  # noqa: E402

IDS, SIDE = [f"t{number}" for number in range(6)], (48, 40)


def write(path, array, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "count": 1, "height": SIDE[0], "width": SIDE[1], "dtype": array.dtype}
    grid = rasterio.transform.from_origin(5e5, 4e6, 10, 10)
    with rasterio.open(path, "w", **profile, crs="EPSG:32633", transform=grid, **more) as file:
        file.write(array, 1)


def discs(random, count):
    """Ids of discs, and probabilities of them."""
    rows, columns = np.mgrid[: SIDE[0], : SIDE[1]]
    ids = np.zeros(SIDE, np.uint8)
    for number in range(1, count + 1):
        row, column = random.integers(4, SIDE[0] - 4), random.integers(4, SIDE[1] - 4)
        ids[(rows - row) ** 2 + (columns - column) ** 2 <= random.integers(3, 7) ** 2] = number
    return ids, np.clip((ids > 0) * 0.7 + random.random(SIDE) * 0.29, 0, 1).astype(np.float32)


def experiment(folder, anything):
    """Files, folds and two members; under void they hold what `anything` draws."""
    folds = pd.DataFrame({"image_id": IDS, "fold": [n % 2 for n in range(len(IDS))], "group": IDS})
    folds.to_csv(folder / "folds.csv", index=False)
    entries = {"a": {}, "b": {}}
    for number, name in enumerate(IDS):
        random, other = np.random.default_rng(number), np.random.default_rng([number, anything])
        void = np.zeros(SIDE, bool)
        void[:, : (0, 12, 20, 40, 6, 9)[number]] = True  # all of the first counts, nothing of the fourth
        unknown = random.random(SIDE) < 0.05
        ids, _ = discs(random, 5)
        wild_ids, wild = discs(other, 7)
        write(
            folder / f"data/train/{name}.tif",
            np.where(void, 0, random.integers(1, 200, SIDE)).astype(np.uint8),
            nodata=0,
        )
        water = np.where(unknown, 255, ids > 0).astype(np.uint8)
        write(folder / f"data/water/{name}.tif", np.where(void & ~unknown, wild_ids > 0, water).astype(np.uint8))
        write(folder / f"data/ids/{name}.tif", np.where(void | unknown, wild_ids, ids))
        for member in entries:
            _, found = discs(random, 5)
            found = np.maximum(found * 0.6, (ids > 0) * random.uniform(0.6, 0.9))
            found = np.where(void | unknown, wild, found).astype(np.float32)
            entries[member][name] = {"mask": np.round(found * 255)[None].astype(np.float32) / np.float32(255)}
    return entries


def configure(folder, name, entries, metric, chain):
    targets = [
        {"class_path": "datamodules.targets.RasterMasks", "init_args": {"pattern": "water/{image_id}.tif"}},
        {"class_path": "datamodules.targets.LabelImages", "init_args": {"pattern": "ids/{image_id}.tif"}},
    ]
    data = {"root": "data", "images": "train/*.tif", "folds": "folds.csv", "targets": targets}
    competition = {"metric": metric, "postprocess": chain}
    for fold in range(2):
        run = Path("runs") / name / f"fold{fold}"
        store = PredictionStore(run / "predictions" / "val")
        held = {one: entry for number, (one, entry) in enumerate(entries.items()) if number % 2 == fold}
        store.begin(list(held), fingerprint=text_hash(f"{name} {fold}"))
        for image_id, arrays in held.items():
            store.write(image_id, arrays)
        store.finish()
        content = {
            "experiment": name,
            "data": {"class_path": "datamodules.SatelliteDataModule", "init_args": data | {"fold": fold}},
            "competition": competition,
        }
        (run / "config.yaml").write_text(yaml.safe_dump(content))
        (run / "run.json").write_text(json.dumps({"folds_hash": folds_hash(read_folds("folds.csv"))}))


AREAS = [
    {"class_path": "postprocessing.Threshold"},
    {"class_path": "postprocessing.MinimumArea", "init_args": {"pixels": 10}},
]
OBJECTS = [
    {
        "class_path": "postprocessing.Watershed",
        "init_args": {"body": "mask", "border": None, "seed_threshold": 0.7},
    }
]


def numbers(text):
    return re.findall(r"-?\d+\.\d+", text)


def told(folder, anything, monkeypatch, capsys):
    """What the verbs print and write."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    entries = experiment(folder, anything)
    for name, own in entries.items():
        configure(folder, name, own, {"class_path": "evaluation.metrics.DicePerImage"}, AREAS)
    metric = {"class_path": "evaluation.metrics.InstanceAveragePrecision"}
    configure(folder, "objects", entries["a"], metric, OBJECTS)
    found = {}

    def kept(verb):
        found[verb] = capsys.readouterr().out
        HANDLES.close()

    cli.main(["score", "runs/a"])
    kept("score")
    ensemble(["runs/a", "runs/b", "--output", "runs/e", "--weights", "least_squares", "--processes", "1"])
    kept("ensemble")
    cli.main(["search", "runs/a", "--processes", "1", "--sweeps", "1"])
    kept("search")
    found["searched"] = Path("runs/a/searched.yaml").read_text()
    report(["runs/a", "--images", "1"])
    kept("report")
    page = re.sub(r'(src|href)="data:[^"]*"', "", Path("runs/a/report/report.html").read_text())
    found["page"] = numbers(re.sub(r"<svg.*?</svg>", "", page, flags=re.S))
    model = ["--model", "sklearn.linear_model.Ridge"]
    stack(
        ["runs/objects", "--output", "runs/s", *model, "--mode", "objects", "--body", "mask", "--border", "null"],
    )
    kept("stack")
    return found


def test_no_verb_sees_what_does_not_count(tmp_path, monkeypatch, capsys):
    one = told(tmp_path / "one", 1, monkeypatch, capsys)
    other = told(tmp_path / "other", 2, monkeypatch, capsys)
    assert one.keys() == other.keys()
    for name, text in one.items():
        assert other[name] == text, name
    assert re.search(r"score \(DicePerImage\) 0\.\d+ .* over 6 images", one["score"])
    assert "nan" not in one["score"] + one["stack"]
