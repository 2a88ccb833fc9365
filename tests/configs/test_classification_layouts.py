"""Grades, single and several labels: each config on a small tree in its exact layout, from folds to submission."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

import cli
from tests.configs.test_layouts import ROOT, flags, picture, save, table

SIDE = 64
KINDS = ["epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any"]


def aptos():
    rows = []
    for number in range(15):
        save(f"data/aptos/train_images/{number:012x}.png", picture(number, [(8, 8, 20 + number, 40)], width=80))
        rows.append((f"{number:012x}", number % 5))
    for number in (90, 91):
        save(f"data/aptos/test_images/{number:012x}.png", picture(number, []))
    table("data/aptos/train.csv", ("id_code", "diagnosis"), *rows)
    sample = [(f"{number:012x}", 0) for number in (91, 90)]
    table("data/aptos/sample_submission.csv", ("id_code", "diagnosis"), *sample)
    return {"rows": 2, "size": SIDE}


def cervical():
    for number in range(12):
        place = f"data/cervical/train/Type_{number % 3 + 1}/{number}.jpg"
        save(place, picture(number, [(8, 8, 20 + number, 40)], height=80))
    for number in (100, 101):
        save(f"data/cervical/test/{number}.jpg", picture(number, []))
    header = ("image_name", "Type_1", "Type_2", "Type_3")
    sample = [(f"{number}.jpg", 0.17, 0.53, 0.3) for number in (100, 101)]
    table("data/cervical/sample_submission.csv", header, *sample)
    return {"rows": 2, "size": SIDE}


def rsna_hemorrhage():
    pytest.importorskip("pydicom")
    from tests.datamodules.test_dicom import save as save_dicom

    def slices(folder, numbers):
        for number in numbers:
            pixels = np.full((SIDE, SIDE), 1064, np.uint16)
            pixels[10:30, 10 : 20 + number] = 1100 + 10 * number
            patient = {"PatientID": f"ID_{number // 2:08x}", "RescaleIntercept": -1024, "RescaleSlope": 1}
            path = Path(f"data/rsna_hemorrhage/{folder}/ID_{number:09x}.dcm")
            save_dicom(path, pixels, Modality="CT", WindowCenter=40, WindowWidth=80, **patient)

    slices("stage_2_train", range(12))
    slices("stage_2_test", (40, 41))
    Path("data/rsna_hemorrhage/stage_2_train/ID_6431af929.dcm").write_bytes(b"\0" * 200)  # the damaged one
    labels = {number: [int(number % 5 == place) for place in range(5)] for number in range(12)}
    rows = [
        (f"ID_{number:09x}_{kind}", value)
        for number, flagged in labels.items()
        for kind, value in zip(KINDS, [*flagged, int(any(flagged))], strict=True)
    ]
    rows += [(f"ID_6431af929_{kind}", 0) for kind in KINDS]
    table("data/rsna_hemorrhage/stage_2_train.csv", ("ID", "Label"), *rows, rows[0])  # the real file repeats rows, too
    sample = [(f"ID_{number:09x}_{kind}", 0.5) for number in (40, 41) for kind in KINDS]
    table("data/rsna_hemorrhage/stage_2_sample_submission.csv", ("ID", "Label"), *sample)
    return {"rows": 12, "size": SIDE}


LAYOUTS = [aptos, *(pytest.param(layout, marks=pytest.mark.slow) for layout in (cervical, rsna_hemorrhage))]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
@pytest.mark.filterwarnings("ignore:data.skip_unreadable")
def test_from_folds_to_submission(layout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    facts, name = layout(), layout.__name__
    config = str(ROOT / "configs" / f"{name}.yaml")
    content = yaml.safe_load(Path(config).read_text())
    small = flags(content, facts) + ["--model.inference.size", f"[{SIDE}, {SIDE}]", "--trainer.log_every_n_steps", "1"]
    assert cli.main(["folds", "--config", config, "--cv.k", "2"]) == 0
    assert cli.main(["fit", "--config", config, *small]) == 0
    assert cli.main(["predict", f"runs/{name}", "--trainer.enable_progress_bar", "false"]) == 0
    assert cli.main(["score", f"runs/{name}"]) == 0
    printed = re.search(r"out of fold: score \(\w+\) (-?\d+\.\d+)", capsys.readouterr().out)
    assert np.isfinite(float(printed.group(1)))
    if content["competition"]["postprocess"]:
        assert cli.main(["search", f"runs/{name}"]) == 0
    assert cli.main(["submit", f"runs/{name}", "--output", "submission.csv"]) == 0
    rows = list(csv.reader(open("submission.csv")))
    assert len(rows) - 1 == facts["rows"]
    data = content["data"]["init_args"]
    expected = list(csv.reader(open(Path(data["root"]) / data["sample_submission"])))
    assert rows[0] == expected[0]
    assert [row[0] for row in rows] == [row[0] for row in expected]
