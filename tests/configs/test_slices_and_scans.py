"""UW-Madison's slices and HuBMAP's scans: each config on a small tree in its exact layout, from folds to submission."""

import csv
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

import cli
from datamodules import SliceDataModule
from datamodules.readers import ImageReadError, StackReader
from datamodules.table import rows_of
from masks import rle

ROOT = Path(__file__).resolve().parents[2]
ORGANS = ["large_bowel", "small_bowel", "stomach"]


def table(path, *rows):
    with open(path, "w", newline="") as handle:
        csv.writer(handle).writerows(rows)


def rectangle(size, top, left, height=8, width=10):
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def uw_madison():
    rows, sample = [("id", "class", "segmentation")], [("id", "class", "predicted")]
    for case in range(5):
        size = (30 + case, 40)  # rows, columns: the name has them the other way round
        for number in range(1, 4):
            split, image_id = "train" if case < 4 else "test", f"case{case}_day2_slice_{number:04}"
            stomach = rectangle(size, 4 + number, 6 + case)
            scans = f"data/uw_madison/{split}/case{case}/case{case}_day2/scans"
            path = f"{scans}/slice_{number:04}_40_{30 + case}_1.50_1.50.png"
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((300 + 900 * stomach.astype(np.uint16)) * (case + 1)).save(path)
            for organ in ORGANS:
                text = rle.encode(stomach, order="row") if organ == "stomach" else ""
                (rows if case < 4 else sample).append((image_id, organ, text if case < 4 else ""))
    table("data/uw_madison/train.csv", *rows)
    table("data/uw_madison/sample_submission.csv", sample[0], *sample[:0:-1])
    expected = {(f"case4_day2_slice_{n:04}", "stomach"): rectangle((34, 40), 4 + n, 10) for n in (1, 2, 3)}
    return {"channels": 3, "classes": 3}, expected


def hubmap_kidney():
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("rasterio")
    rows, sample = [("id", "encoding")], [("id", "predicted")]
    for number in range(6):
        split, image_id = ("train", f"{number}e2425f28") if number < 4 else ("test", f"{number}a05346ff")
        mask = rectangle((180 + number, 150), 20 + number, 30, 60, 50)
        path = Path(f"data/hubmap_kidney/{split}/{image_id}.tiff")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.where(mask[..., None], 220, 30).astype(np.uint8).repeat(3, axis=2)
        planar = number % 2  # some of the competition's files hold one colour after the other
        tifffile.imwrite(
            path, pixels.transpose(2, 0, 1) if planar else pixels, photometric="rgb", tile=(64, 64), metadata=None
        )
        (rows if number < 4 else sample).append((image_id, rle.encode(mask) if number < 4 else ""))
    table("data/hubmap_kidney/train.csv", *rows)
    table("data/hubmap_kidney/sample_submission.csv", sample[0], *sample[:0:-1])
    expected = {(f"{n}a05346ff", None): rectangle((180 + n, 150), 20 + n, 30, 60, 50) for n in (4, 5)}
    return {"channels": 3, "classes": 1}, expected


LAYOUTS = [(uw_madison, [("data.batch_size", 4)]), (hubmap_kidney, [("data.windows.size", 64), ("data.batch_size", 4)])]


@pytest.mark.parametrize(("layout", "more"), LAYOUTS, ids=lambda value: getattr(value, "__name__", ""))
def test_from_folds_to_submission(layout, more, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    facts, expected = layout()
    name = layout.__name__
    config = str(ROOT / "configs" / f"{name}.yaml")
    content = yaml.safe_load(Path(config).read_text())
    arguments = {"in_channels": facts["channels"], "out_channels": facts["classes"], "kernel_size": 1}
    network = {"class_path": "torch.nn.Conv2d", "init_args": arguments}
    side = dict(more).get("data.windows.size", 24)
    crop = {"height": side, "width": side, "pad_if_needed": True}
    values = {
        "model.network": network,
        "model.optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.5}},
        "data.augmentation": [{"class_path": "albumentations.RandomCrop", "init_args": crop}],
        "data.num_workers": 0,
        "data.cache": "none",
        "trainer.max_epochs": 6,
        "trainer.check_val_every_n_epoch": 6,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.enable_progress_bar": False,
        "trainer.enable_model_summary": False,
        "panels": 0,
    } | dict(more)
    flags = [
        part
        for key, value in values.items()
        for part in (
            f"--{key}",
            yaml.safe_dump(value, default_flow_style=True, width=10_000).partition("\n...")[0].strip(),
        )
    ]
    assert cli.main(["folds", "--config", config, "--cv.k", "2"]) == 0
    assert cli.main(["fit", "--config", config, *flags]) == 0
    assert cli.main(["predict", f"runs/{name}/fold0", "--trainer.enable_progress_bar", "false"]) == 0
    assert cli.main(["score", f"runs/{name}"]) == 0
    assert re.search(r"out of fold: score \(\w+\) [01]\.\d{4}", capsys.readouterr().out)
    assert cli.main(["submit", f"runs/{name}", "--output", "s.csv"]) == 0
    rows = list(csv.reader(open("s.csv")))
    sample = list(csv.reader(open(Path(content["data"]["init_args"]["root"]) / "sample_submission.csv")))
    assert rows[0] == sample[0]
    assert [row[:-1] for row in rows] == [row[:-1] for row in sample]
    order = content["competition"]["submission"]["init_args"].get("order", "column")
    found = {(row[0], row[1] if len(row) == 3 else None): row[-1] for row in rows[1:]}
    for key, mask in expected.items():
        again = rle.decode(found[key], mask.shape, order=order)
        assert 2 * (again & mask).sum() / (again.sum() + mask.sum()) > 0.95, key


def slices(root, **changed):
    arguments = {
        "path_pattern": r"(?P<case>case\d+)_(?P<day>day\d+)/scans/slice_(?P<slice>\d+)_\d+_\d+_(?P<mm>[\d.]+)_.*\.png",
        "ids": "{case}_{day}_slice_{slice}",
    } | changed
    return SliceDataModule(str(root), "*/*/scans/*.png", [], **arguments)


def test_a_path_says_what_a_slice_is(tmp_path):
    for name in (
        "case1/case1_day2/scans/slice_0003_266_234_1.50_1.63.png",
        "case1/case1_day0/scans/slice_0003_1_1_1_2.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = slices(tmp_path).table()
    assert found["image_id"].tolist() == ["case1_day0_slice_0003", "case1_day2_slice_0003"]
    assert found[["case", "day", "slice", "mm"]].to_numpy().tolist()[1] == ["case1", "day2", "0003", "1.50"]
    with pytest.raises(ValueError, match=r"data.ids is '\{case\}_\{hour\}', but \['hour'\] are not groups"):
        slices(tmp_path, ids="{case}_{hour}")
    with pytest.raises(ValueError, match="two files have the id 'case1_0003'"):
        slices(tmp_path, ids="{case}_{slice}").table()
    (tmp_path / "case1/case1_day2/scans/other.png").touch()
    with pytest.raises(ValueError, match=r"does not match .*case1_day2/scans/other\.png"):
        slices(tmp_path).table()


def test_neighbours_are_channels(tmp_path):
    folder = tmp_path / "case1/case1_day2/scans"
    folder.mkdir(parents=True)
    for number in (1, 2, 3, 10):  # 10 comes after 3 by number, and there is nothing between them
        pixels = np.full((5, 6), 1000 * number, np.uint16)
        Image.fromarray(pixels).save(folder / f"slice_{number:0{4 if number < 10 else 2}}_6_5_1_1.png")
    other = tmp_path / "case1/case1_day3/scans"
    other.mkdir(parents=True)
    Image.fromarray(np.zeros((5, 6), np.uint16)).save(other / "slice_0004_6_5_1_1.png")
    data = slices(tmp_path, reader=StackReader(neighbours=2, stride=1))
    with pytest.warns(UserWarning, match=r"1 gaps in the slice numbers.*slice_0003_6_5_1_1\.png is followed by 10"):
        rows = {row.image_id: row for row in rows_of(data.table())}

    def levels(image_id):
        image = data.reader.read(rows[image_id])
        assert (image.dtype, image.shape) == (np.uint16, (5, 6, 5))
        return (image[0, 0] // 1000).tolist()

    assert levels("case1_day2_slice_0001") == [1, 1, 1, 2, 3]
    assert levels("case1_day2_slice_0003") == [1, 2, 3, 10, 10]
    assert levels("case1_day2_slice_10") == [2, 3, 10, 10, 10]
    assert levels("case1_day3_slice_0004") == [0] * 5
    data.reader.stride = 2
    assert [Path(path).name[:10] for path in slices(tmp_path, reader=data.reader).table()["slices"][1]] == [
        "slice_0001"
    ] * 2 + ["slice_0002", "slice_10_6", "slice_10_6"]
    Image.fromarray(np.zeros((5, 7), np.uint16)).save(folder / "slice_0002_6_5_1_1.png")
    with pytest.raises(ImageReadError, match="slice_0001_6_5_1_1.png and its neighbouring slices differ in size"):
        levels("case1_day2_slice_0001")
    with pytest.raises(ImageReadError, match="needs SliceDataModule"):
        data.reader.read(SimpleNamespace(path="x.png"))
    Image.fromarray(np.zeros((5, 6), np.uint16)).save(folder / "slice_03_6_5_1_1.png")
    with pytest.raises(ValueError, match=r"two files of one volume have slice number 3: .*slice_0003.* and .*slice_03"):
        slices(tmp_path, reader=data.reader).table()


def test_a_slice_without_a_number_is_named(tmp_path):
    folder = tmp_path / "case1/case1_day2/scans"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((5, 6), np.uint16)).save(folder / "slice_top_6_5_1_1.png")
    pattern = r"(?P<case>case\d+)_(?P<day>day\d+)/scans/slice_(?P<slice>\w+?)_.*\.png"
    with pytest.raises(ValueError, match=r"slice_top_6_5_1_1\.png: group `slice` .* is 'top', expected a number"):
        slices(tmp_path, reader=StackReader(), path_pattern=pattern).table()
