"""The verb `prepare`: what is written reads back the same; resume, broken files, changed settings."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from PIL import Image

import cli
from commands.command_line.config import read_config
from datamodules.plain import ImageData
from datamodules.readers.images import read_picture
from datamodules.table import rows_of
from experiments.conversion import to_depth
from files.png import read_png, write_png
from preprocessing.clahe import clahe
from preprocessing.resize import resize_image, resize_mask

CONFIG = {
    "class_path": "datamodules.ImageDataModule",
    "init_args": {
        "images": "train/*.png",
        "test_images": "test/*.png",
        "targets": [
            {"class_path": "datamodules.targets.MaskFiles", "init_args": {"pattern": "masks/{image_id}.png"}},
            {
                "class_path": "datamodules.targets.MaskFiles",
                "init_args": {"pattern": "classes/{image_id}.png", "name": "kinds", "classes": 3},
            },
            {"class_path": "datamodules.targets.LabelImages", "init_args": {"pattern": "labels/{image_id}.png"}},
            {"class_path": "datamodules.targets.Empty"},
        ],
    },
}
CLAHE = "[{class_path: preprocessing.Clahe, init_args: {kernel: 16}}]"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A competition with 4 training images (RGB, 8 bits) and 2 test images, and its config."""
    monkeypatch.chdir(tmp_path)
    random, root = np.random.default_rng(0), tmp_path / "raw"
    for folder in ("train", "test", "masks", "classes", "labels"):
        (root / folder).mkdir(parents=True)
    for number in range(6):
        name, size = f"{number:03d}.png", (40 + number, 60)
        write_png(
            root / ("train" if number < 4 else "test") / name, random.integers(0, 256, (*size, 3)).astype(np.uint8)
        )
        if number < 4:
            write_png(root / "masks" / name, (random.integers(0, 2, size) * 255 * (number != 2)).astype(np.uint8))
            write_png(root / "classes" / name, random.choice([0, 1, 2, 255], size).astype(np.uint8))
            write_png(root / "labels" / name, random.integers(0, 700, size).astype(np.uint16))
    write_config(root)
    return root


def write_config(root, **settings):
    content = {"class_path": CONFIG["class_path"], "init_args": CONFIG["init_args"] | {"root": str(root)} | settings}
    competition = {"metric": {"class_path": "evaluation.metrics.DicePerImage"}}
    Path("c.yaml").write_text(yaml.safe_dump({"data": content, "competition": competition}))


def run(*flags):
    cli.main(["prepare", "--config", "c.yaml", "--output", "out", "--processes", "1", *flags])


def times():
    """Time of change of everything that was written for an image."""
    files = [path for path in Path("out").rglob("*") if path.suffix in (".png", ".npy")]
    return {path.as_posix(): path.stat().st_mtime_ns for path in files}


def read_back(split="train"):
    """Image and truth of every row as the printed overlay reads them."""
    data = read_config("folds", ["--config", "c.yaml", "--config", "out/data.yaml"]).data
    assert type(data) is ImageData
    table = data.table() if split == "train" else data.test_table()
    return {
        row.image_id: (data.reader.read(row), data.target_arrays(row) if split == "train" else {})
        for row in rows_of(table)
    }


def originals(root, split="train"):
    data = read_config("folds", ["--config", "c.yaml"]).data
    table = data.table() if split == "train" else data.test_table()
    return {
        row.image_id: (data.reader.read(row), data.target_arrays(row) if split == "train" else {})
        for row in rows_of(table)
    }


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for image_id, (image, arrays) in found.items():
        other, truth = expected[image_id]
        assert image.dtype == other.dtype
        assert (image == other).all()
        assert arrays.keys() == truth.keys()
        for name, array in arrays.items():
            assert array.dtype == truth[name].dtype, name
            assert (array == truth[name]).all(), name


@pytest.mark.parametrize("form", ["png", "npy"])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_is_written_reads_back_the_same(tree, form, processes, capsys):
    run("--format", form, "--processes", processes)
    assert_same(read_back(), originals(tree))
    assert_same(read_back("test"), originals(tree, "test"))
    assert sorted(path.stem for path in Path("out/images").iterdir()) == ["000", "001", "002", "003"]
    printed = capsys.readouterr().out
    assert f"images: images/*.{form}" in printed
    assert "next:  python cli.py fit --config c.yaml --config out/data.yaml" in printed
    assert not Path("out/failed.csv").exists()
    assert not list(Path("out").rglob("*.tmp"))


def test_steps_go_over_image_and_masks(tree, capsys):
    steps = Path("steps.yaml")
    steps.write_text(
        "- {class_path: preprocessing.Clahe, init_args: {kernel: 16}}\n"
        "- {class_path: preprocessing.Resize, init_args: {size: [20, 24]}}\n"
    )
    run("--steps", str(steps))
    expected = {}
    for image_id, (image, truth) in originals(tree).items():
        arrays = {name: resize_mask(truth[name], (20, 24)) for name in ("mask", "kinds", "instances")}
        arrays["valid"] = resize_mask(truth["valid"].astype(np.uint8), (20, 24)) > 0
        arrays["empty"] = truth["empty"]
        expected[image_id] = resize_image(clahe(image, kernel=16), (20, 24)), arrays
    assert_same(read_back(), expected)
    table = pd.read_csv("out/table.csv", dtype=str)
    assert table["image_id"].tolist() == ["000", "001", "002", "003"]
    assert table[["height", "width", "prepared_height", "prepared_width"]].iloc[1].tolist() == ["41", "60", "20", "24"]
    assert "image shapes have changed" in capsys.readouterr().out


def test_preprocessing_of_the_config_is_done_once(tree):
    write_config(tree, preprocessing=[{"class_path": "preprocessing.Clahe", "init_args": {"tiles": 4}}])
    run()
    assert read_config("folds", ["--config", "c.yaml", "--config", "out/data.yaml"]).data.preprocessing == []
    expected = {image_id: (clahe(image, tiles=4), truth) for image_id, (image, truth) in originals(tree).items()}
    assert_same(read_back(), expected)


def test_a_second_run_does_nothing(tree, capsys):
    run("--steps", CLAHE)
    before = times()
    run("--steps", CLAHE)
    assert times() == before
    assert "train: 4 of 4 images already prepared" in capsys.readouterr().out


def test_a_killed_run_goes_on(tree):
    run()
    before = times()
    # As a kill leaves it: one image without a file, one half-written, one without its line, a line cut off.
    Path("out/images/000.png").unlink()
    half = Path("out/masks/mask/001.png")
    half.write_bytes(half.read_bytes()[:30])
    Path("out/images/003.png.999.tmp").write_bytes(b"half")
    journal = Path("out/prepared.jsonl")
    lines = [line for line in journal.read_text().splitlines() if json.loads(line)["image_id"] != "002"]
    journal.write_text("\n".join(lines) + '\n{"image_id": "002", "key": "ab')
    Path("out/table.csv").unlink()
    run()
    assert_same(read_back(), originals(tree))
    changed = {path for path, time in times().items() if time != before[path]}
    assert {Path(path).stem for path in changed} == {"000", "001", "002"}
    assert not list(Path("out").rglob("*.tmp"))
    assert len(pd.read_csv("out/table.csv")) == 4
    assert len(journal.read_text().splitlines()) == 4


def test_a_changed_file_is_done_again(tree):
    run()
    before = times()
    write_png(tree / "masks/001.png", np.zeros((41, 60), np.uint8))
    run()
    assert {Path(path).stem for path, time in times().items() if time != before[path]} == {"001"}
    assert_same(read_back(), originals(tree))


def test_changed_settings_are_noticed(tree, capsys):
    run()
    run("--steps", CLAHE)
    assert "4 are outdated" in capsys.readouterr().out
    image, _ = originals(tree)["001"]
    assert (read_back()["001"][0] == clahe(image, kernel=16)).all()
    run("--format", "npy")
    assert_same(read_back(), originals(tree))
    assert {path.suffix for path in Path("out").rglob("images/*")} == {".npy"}


def test_an_image_that_is_gone_goes(tree):
    run()
    (tree / "train/001.png").unlink()
    run()
    assert_same(read_back(), originals(tree))
    assert not list(Path("out").rglob("001.*"))


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_broken_file_is_listed_and_the_others_are_done(tree, processes):
    whole = (tree / "train/000.png").read_bytes()
    (tree / "train/000.png").write_bytes(whole[: len(whole) // 2])
    (tree / "test/004.png").write_bytes(b"")
    with pytest.raises(SystemExit, match="(?s)2 images failed.*failed.csv") as stopped:
        run("--processes", processes)
    assert stopped.value.code not in (0, None)
    failed = pd.read_csv("out/failed.csv", dtype=str)
    assert failed[["image_id", "split"]].to_numpy().tolist() == [["004", "test"], ["000", "train"]]
    assert failed["error"].str.contains(r"004\.png is empty|000\.png is damaged").all()
    assert sorted(read_back()) == ["001", "002", "003"]
    assert list(read_back("test")) == ["005"]
    # Mended, the rest is done and the list goes.
    before = times()
    (tree / "train/000.png").write_bytes(whole)
    shutil.copy(tree / "test/005.png", tree / "test/004.png")
    run("--processes", processes)
    assert before.items() <= times().items()
    assert_same(read_back(), originals(tree))
    assert not Path("out/failed.csv").exists()


def test_a_file_that_breaks_later_takes_its_picture_along(tree):
    run()
    (tree / "train/001.png").write_bytes(b"broken")
    with pytest.raises(SystemExit, match="1 images failed"):
        run()
    assert not list(Path("out").rglob("001.*"))
    assert sorted(read_back()) == ["000", "002", "003"]


def test_sixteen_bits_stay(tree):
    for number in range(4):
        deep = np.random.default_rng(number).integers(0, 4096, (40 + number, 60)).astype(np.uint16)
        write_png(tree / "train" / f"{number:03d}.png", deep)
    run("--splits", "[train]")
    assert_same(read_back(), originals(tree))
    for number in range(4):
        assert (read_png(f"out/images/{number:03d}.png") == read_png(tree / "train" / f"{number:03d}.png")).all()
    run("--splits", "[train]", "--bits", "8")
    assert read_png("out/images/000.png").dtype == np.uint8


def test_what_png_does_not_hold_is_refused_and_kept_in_arrays(tree):
    """Signed pictures, and ids beyond 16 bits."""
    for folder in ("images", "ids"):
        (tree / folder).mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(-1000, 1000, (40, 60)).astype(np.int16)
        pixels = pixels.astype(np.uint16) if number == 0 else pixels
        ids = np.arange(2400, dtype=np.int32).reshape(40, 60) // 100 + (70_000 if number == 2 else 0)
        tifffile.imwrite(tree / f"images/{number}.tif", pixels)
        tifffile.imwrite(tree / f"ids/{number}.tif", ids)
    tifffile.imwrite(tree / "images/3.tif", np.zeros((2, 40, 60), np.uint8), photometric="minisblack")
    shutil.copy(tree / "ids/0.tif", tree / "ids/3.tif")
    reader = {"class_path": "datamodules.readers.ImageReader", "init_args": {"channels": "unchanged"}}
    target = {"class_path": "datamodules.targets.LabelImages", "init_args": {"pattern": "ids/{image_id}.tif"}}
    write_config(tree, images="images/*.tif", test_images=None, reader=reader, targets=[target])
    with pytest.raises(SystemExit, match=r"3 images failed"):
        run()
    errors = pd.read_csv("out/failed.csv", dtype=str).set_index("image_id")["error"]
    assert sorted(errors.index) == ["1", "2", "3"]
    assert "PNG does not support int16" in errors["1"]
    assert "3.tif has 2 pages" in errors["3"]
    (tree / "images/3.tif").unlink()
    run("--format", "npy")
    assert_same(read_back(), originals(tree))
    assert read_back()["2"][1]["instances"].max() == 70_023


def test_colour_of_sixteen_bits_is_never_flattened(tree):
    reader = {"class_path": "datamodules.readers.arrays.ArrayReader"}
    write_config(tree, reader=reader, images="train/*.npy", test_images=None)
    deep = np.random.default_rng(0).integers(0, 65536, (40, 60, 3)).astype(np.uint16)
    np.save(tree / "train/000.npy", deep)
    write_png(tree / "deep.png", deep)
    if read_picture(tree / "deep.png").dtype != np.uint16:  # then a PNG would lose half of it
        with pytest.raises(SystemExit, match="use --format npy"):
            run()
        assert not list(Path("out").rglob("*.png"))
        run("--format", "npy")
    else:
        run()
    assert (read_back()["000"][0] == deep).all()


@pytest.mark.parametrize(("dtype", "bits", "expected"), [(np.uint8, 16, 65535), (np.uint16, 8, 255)])
def test_depth_keeps_white_white(dtype, bits, expected):
    ends = np.array([0, np.iinfo(dtype).max], dtype)
    assert to_depth(ends, bits).tolist() == [0, expected]
    assert (to_depth(to_depth(np.arange(256, dtype=np.uint8), 16), 8) == np.arange(256)).all()
    with pytest.raises(ValueError, match="int16"):
        to_depth(np.zeros(3, np.int16), bits)


def test_what_png_cannot_hold_says_so(tree):
    np.save(tree / "train/000.npy", np.zeros((40, 60, 5), np.float32))
    reader = {"class_path": "datamodules.readers.arrays.ArrayReader"}
    write_config(tree, reader=reader, images="train/*.npy", test_images=None)
    with pytest.raises(SystemExit, match="PNG does not support float32 with 5 channels; use --format npy"):
        run()
    run("--format", "npy")
    assert_same(read_back(), originals(tree))


def test_pixels_that_do_not_count_are_kept(tree):
    pytest.importorskip("rasterio")
    from rasterio.io import MemoryFile

    for number in range(2):
        with (
            MemoryFile() as memory,
            memory.open(driver="GTiff", height=8, width=9, count=1, dtype="uint8", nodata=number * 7) as file,
        ):
            file.write(np.full((1, 8, 9), 5, np.uint8) * (np.arange(9) > 2).astype(np.uint8))
            file.close()
            (tree / f"train/{number}.tif").write_bytes(memory.read())
    write_config(
        tree,
        images="train/*.tif",
        test_images=None,
        reader={"class_path": "datamodules.readers.GeoTiffReader"},
        targets=[],
    )
    run()
    valid = {path.stem: read_png(path)[..., 0] for path in Path("out/masks/valid").iterdir()}
    assert valid["0"][0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    assert (valid["1"] == 1).all()


def test_dicom_becomes_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from pydicom.data import get_testdata_file

    Path("raw").mkdir()
    shutil.copy(get_testdata_file("MR_small.dcm", download=False), "raw/a.dcm")
    reader = {"class_path": "datamodules.readers.DicomReader", "init_args": {"bits": 16, "channels": "gray"}}
    write_config("raw", images="*.dcm", test_images=None, targets=[], reader=reader)
    content = yaml.safe_load(Path("c.yaml").read_text())
    content["data"]["class_path"] = "datamodules.DicomDataModule"
    Path("c.yaml").write_text(yaml.safe_dump(content))
    data = read_config("folds", ["--config", "c.yaml"]).data
    expected = data.reader.read(rows_of(data.table())[0])
    run()
    assert np.asarray(Image.open("out/images/a.png")).dtype == np.uint16
    assert (read_back()["a"][0] == expected).all()
    assert pd.read_csv("out/table.csv")["PatientID"].tolist() == ["4MR1"]


def test_boxes_would_not_fit(tree):
    pd.DataFrame({"image_id": ["000"], "x": [1], "y": [1], "w": [5], "h": [5]}).to_csv(tree / "boxes.csv", index=False)
    write_config(
        tree, targets=[{"class_path": "datamodules.targets.Boxes", "init_args": {"path": "boxes.csv", "kind": "csv"}}]
    )
    with pytest.raises(SystemExit, match="boxes would no longer match"):
        run("--steps", "[{class_path: preprocessing.Resize, init_args: {size: 20}}]")


@pytest.mark.parametrize("kind", ["coco", "voc", "csv"])
def test_boxes_go_along_and_meet_the_written_images(tree, kind):
    names, size = [f"train/{number:03d}.png" for number in range(4)], {"width": 60}
    if kind == "coco":
        images = [{"id": n, "file_name": name, "height": 40 + n} | size for n, name in enumerate(names)]
        boxes = [
            {"id": 2 * n + c, "image_id": n, "category_id": 0, "bbox": [n, 2, 9, 9], "iscrowd": c}
            for n in range(4)
            for c in (0, 1)
        ]
        content = {"images": images, "categories": [{"id": 0, "name": "x"}], "annotations": boxes}
        (tree / "boxes.json").write_text(json.dumps(content))
    elif kind == "csv":
        rows = [f"{name},1,2,9,9" for name in names]
        (tree / "boxes.csv").write_text("\n".join(["image_id,xmin,ymin,xmax,ymax", *rows]))
    else:
        (tree / "xml").mkdir()
        box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        for number in range(4):
            (tree / f"xml/{number:03d}.xml").write_text(f"<annotation><object>{box}</object></annotation>")
    path = {"coco": "boxes.json", "csv": "boxes.csv", "voc": "xml/{image_id}.xml"}[kind]
    write_config(tree, targets=[{"class_path": "datamodules.targets.Boxes", "init_args": {"path": path, "kind": kind}}])
    run()
    expected = originals(tree)
    assert ("ignored_boxes" in expected["000"][1]) == (kind == "coco")
    shutil.rmtree(tree)
    assert_same(read_back(), expected)


def test_only_its_own_folders(tree):
    with pytest.raises(SystemExit, match="is data.root;"):
        cli.main(["prepare", "--config", "c.yaml", "--output", str(tree)])
    with pytest.raises(SystemExit, match="contains files not written by `prepare`"):
        cli.main(["prepare", "--config", "c.yaml", "--output", str(tree / "train")])
    with pytest.raises(SystemExit, match=r"c\.yaml is a file"):
        cli.main(["prepare", "--config", "c.yaml", "--output", "c.yaml"])
    assert len(list((tree / "train").iterdir())) == 4


def test_tables_of_truth_come_along(tree):
    labels = pd.DataFrame({"image_id": [f"{number:03d}" for number in range(4)], "kind": list("abba")})
    labels.to_csv(tree / "labels.csv", index=False)
    target = {"class_path": "datamodules.targets.Labels", "init_args": {"columns": "kind", "csv": "labels.csv"}}
    target["init_args"]["classes"] = ["a", "b"]
    write_config(tree, targets=[*CONFIG["init_args"]["targets"], target])
    run()
    assert Path("out/labels.csv").read_bytes() == (tree / "labels.csv").read_bytes()
    assert_same(read_back(), originals(tree))


def test_one_split_after_the_other(tree):
    run("--splits", "[train]")
    run("--splits", "[test]")
    assert_same(read_back(), originals(tree))
    assert_same(read_back("test"), originals(tree, "test"))
