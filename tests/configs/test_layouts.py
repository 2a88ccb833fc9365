"""Every competition's config on a small tree in its exact layout: folds, two training steps, predict, submit, score."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import cli
from masks import rle

ROOT = Path(__file__).resolve().parents[2]
SIDE = 64


def save(path: str, pixels: np.ndarray, **more) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **more)


def table(path: str, *rows: tuple) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as handle:
        csv.writer(handle).writerows(rows)


def picture(number: int, boxes: list, channels: int = 3, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """Noise with bright boxes `(top, left, bottom, right)`."""
    pixels = np.random.default_rng(number).integers(0, 90, (height, width, channels)).astype(np.uint8)
    for top, left, bottom, right in boxes:
        pixels[top:bottom, left:right] += 120
    return pixels


def mask_of(boxes: list, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def corners(box: tuple) -> list[tuple]:
    """A box as a closed ring of `(x, y)`."""
    top, left, bottom, right = box
    return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]


def boxes_of(number: int) -> list:
    """Two boxes; none in every third image."""
    return [] if number % 3 == 0 else [(6, 8 + number, 24, 30 + number), (36, 4, 56, 20 + number)]


def geotiff(path: str, pixels: np.ndarray, east: float, pixel: float = 0.5) -> None:
    rasterio = pytest.importorskip("rasterio")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    place = {"crs": "EPSG:32611", "transform": rasterio.transform.from_origin(660_000 + east, 4_000_000, pixel, pixel)}
    with rasterio.open(path, "w", **profile, **place) as target:
        target.write(pixels)


# --- layouts ---------------------------------------------------------------------------------------------------------


def hpa_2018():
    rows = [("Id", "Target")]
    for number in range(12):
        split, name = ("train", f"0{number:02d}-bb") if number < 10 else ("test", f"0{number:02d}-bb")
        for plane, colour in enumerate(("red", "green", "blue", "yellow")):
            save(f"data/hpa/{split}/{name}_{colour}.png", picture(number * 4 + plane, boxes_of(number), 1)[..., 0])
        if number < 10:
            rows.append((name, "0 25" if number % 2 else "16"))
    table("data/hpa/train.csv", *rows)
    table("data/hpa/sample_submission.csv", ("Id", "Predicted"), ("011-bb", "0"), ("010-bb", "0"))
    return {"rows": 2, "flags": {"model.inference.size": f"[{SIDE}, {SIDE}]"}, "size": SIDE}


def planet_amazon():
    rows = [("image_name", "tags")]
    for number in range(10):
        save(f"data/planet/train-jpg/train_{number}.jpg", picture(number, boxes_of(number)))
        rows.append((f"train_{number}", "clear primary water" if number % 2 else "haze primary"))
    save("data/planet/test-jpg/test_0.jpg", picture(20, []))
    save("data/planet/test-jpg-additional/file_0.jpg", picture(21, []))
    table("data/planet/train_v2.csv", *rows)
    table("data/planet/sample_submission_v2.csv", ("image_name", "tags"), ("test_0", "primary"), ("file_0", "primary"))
    return {"rows": 2, "size": SIDE}


def spacenet_buildings():
    for number in range(10):
        split = "Train" if number < 8 else "Test_public"
        name, folder = f"AOI_2_Vegas_img{number * 7}", f"data/spacenet/AOI_2_Vegas_{split}"
        pixels = picture(number, boxes_of(number)).transpose(2, 0, 1).astype(np.uint16) * 8
        # Pairs of chips touch.
        geotiff(f"{folder}/RGB-PanSharpen/RGB-PanSharpen_{name}.tif", pixels, 100 * (number // 2) + 32 * (number % 2))
        if split == "Train":
            east = 660_000 + 100 * (number // 2) + 32 * (number % 2)
            rings = [[[east + x / 2, 4_000_000 - y / 2] for x, y in corners(box)] for box in boxes_of(number)]
            features = [
                {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
                for ring in rings
            ]
            crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32611"}}
            path = Path(f"{folder}/geojson/buildings/buildings_{name}.geojson")
            path.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
            path.write_text(text if features else "")
    return {"rows": None, "windows": 48, "ids": {"AOI_2_Vegas_img56", "AOI_2_Vegas_img63"}}


def dstl():
    xmax, ymin = 0.0091, -0.0091
    rows, sample = [("ImageId", "ClassType", "MultipolygonWKT")], [("ImageId", "ClassType", "MultipolygonWKT")]
    sizes = [("", "Xmax", "Ymin")]
    for number in range(8):
        name = f"61{number}0_0_{number}"
        pixels = picture(number, boxes_of(number)).transpose(2, 0, 1).astype(np.uint16) * 8
        geotiff(f"data/dstl/three_band/{name}.tif", pixels, 100 * number)
        coarse = picture(number + 50, [], 8, 16, 16).transpose(2, 0, 1).astype(np.uint16)
        geotiff(f"data/dstl/sixteen_band/{name}_M.tif", coarse, 100 * number, 2.0)
        sizes.append((name, xmax, ymin))
        wide = SIDE * SIDE / (SIDE + 1)
        parts = [
            "((" + ", ".join(f"{x / wide * xmax} {y / wide * ymin}" for x, y in corners(box)) + "))"
            for box in boxes_of(number)
        ]
        for kind in range(1, 11):
            text = f"MULTIPOLYGON ({', '.join(parts)})" if parts and kind in (1, 5) else "MULTIPOLYGON EMPTY"
            (rows if number < 6 else sample).append((name, kind, text if number < 6 else "MULTIPOLYGON EMPTY"))
    table("data/dstl/train_wkt_v4.csv", *rows)
    table("data/dstl/grid_sizes.csv", *sizes)
    table("data/dstl/sample_submission.csv", *sample)
    return {"rows": 20, "windows": 48, "channels": 11, "flags": {"model.inference.tile": 64}}


def tgs_salt():
    for number in range(12):
        split, name = ("train", f"00{number:x}a") if number < 10 else ("test", f"00{number:x}a")
        save(f"data/tgs/{split}/images/{name}.png", picture(number, boxes_of(number), 3, 101, 101))
        if number < 10:
            save(f"data/tgs/train/masks/{name}.png", mask_of(boxes_of(number), 101, 101).astype(np.uint16) * 65535)
    table("data/tgs/sample_submission.csv", ("id", "rle_mask"), ("00ba", "1 1"), ("00aa", "1 1"))
    return {"rows": 2, "flags": {"model.inference.size": "[64, 64]"}, "size": SIDE}


def airbus_ships():
    rows = [("ImageId", "EncodedPixels")]
    for number in range(12):
        split = "train_v2" if number < 10 else "test_v2"
        save(f"data/airbus/{split}/0{number}ff.jpg", picture(number, boxes_of(number)))
        if number < 10:
            texts = [rle.encode(mask_of([box])) for box in boxes_of(number)] or [""]
            rows += [(f"0{number}ff.jpg", text) for text in texts]
    table("data/airbus/train_ship_segmentations_v2.csv", *rows)
    table("data/airbus/sample_submission_v2.csv", ("ImageId", "EncodedPixels"), ("011ff.jpg", ""), ("010ff.jpg", ""))
    return {"rows": None, "windows": 48, "ids": {"010ff.jpg", "011ff.jpg"}}


def clouds():
    height, width, rows, sample = 140, 210, [("Image_Label", "EncodedPixels")], [("Image_Label", "EncodedPixels")]
    for number in range(10):
        split = "train_images" if number < 8 else "test_images"
        save(f"data/clouds/{split}/00{number}1165.jpg", picture(number, boxes_of(number), 3, height, width))
        for kind in ("Fish", "Flower", "Gravel", "Sugar"):
            boxes = boxes_of(number) if kind in ("Fish", "Sugar") else []
            text = rle.encode(mask_of(boxes, height, width))
            (rows if number < 8 else sample).append((f"00{number}1165.jpg_{kind}", text if number < 8 else "1 1"))
    table("data/clouds/train.csv", *rows)
    table("data/clouds/sample_submission.csv", *sample)
    return {"rows": 8, "flags": {"model.inference.size": "[64, 96]"}, "size": SIDE}


def carvana():
    for car in range(3):
        for view in range(1, 5):
            number = car * 4 + view
            save(f"data/carvana/train/00{car}bc_{view:02d}.jpg", picture(number, boxes_of(number)))
            mask = Image.fromarray(mask_of(boxes_of(number)).astype(np.uint8)).convert("P")
            Path("data/carvana/train_masks").mkdir(exist_ok=True)
            mask.putpalette([0, 0, 0, 255, 255, 255])
            mask.save(f"data/carvana/train_masks/00{car}bc_{view:02d}_mask.gif")
    for view in (1, 2):
        save(f"data/carvana/test/0ff_{view:02d}.jpg", picture(view, []))
    table("data/carvana/sample_submission.csv", ("img", "rle_mask"), ("0ff_02.jpg", ""), ("0ff_01.jpg", ""))
    return {"rows": 2, "size": SIDE, "flags": {"model.inference.tile": 64}}


LAYOUTS = [spacenet_buildings]
# Of kinds that the others cover, too.
REST = (hpa_2018, planet_amazon, airbus_ships, carvana, dstl, clouds, tgs_salt)
SLOW = [pytest.param(layout, marks=pytest.mark.slow) for layout in REST]


@pytest.mark.parametrize("layout", [*LAYOUTS, *SLOW], ids=lambda layout: layout.__name__)
def test_from_folds_to_submission(layout, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    facts, name = layout(), layout.__name__
    config = str(ROOT / "configs" / f"{name}.yaml")
    content = yaml.safe_load(Path(config).read_text())
    small = flags(content, facts)
    assert cli.main(["folds", "--config", config, "--cv.k", "2"]) == 0
    assert cli.main(["fit", "--config", config, *small]) == 0
    assert cli.main(["predict", f"runs/{name}", "--trainer.enable_progress_bar", "false"]) == 0
    assert cli.main(["score", f"runs/{name}"]) == 0
    printed = re.search(r"out of fold: score \(\w+\) (\d\.\d+)", capsys.readouterr().out)
    assert 0 <= float(printed.group(1)) <= 1
    assert cli.main(["submit", f"runs/{name}", "--output", "submission.csv"]) == 0
    rows = list(csv.reader(open("submission.csv")))
    if facts["rows"] is not None:
        assert len(rows) - 1 == facts["rows"]
    sample = content["data"]["init_args"].get("sample_submission")
    if sample is not None:
        expected = list(csv.reader(open(Path(content["data"]["init_args"]["root"]) / sample)))
        assert rows[0] == expected[0]
        assert list(dict.fromkeys(row[0] for row in rows[1:])) == list(dict.fromkeys(row[0] for row in expected[1:]))
    else:
        assert {row[0] for row in rows[1:]} == facts["ids"]


def flags(content: dict, facts: dict) -> list[str]:
    """A tiny network, no crop above 64 pixels, two steps."""
    network = content["model"]["init_args"]["network"]
    tiny = "tf_mobilenetv3_small_minimal_100"
    if network["class_path"].endswith("ImageClassifier"):
        network["init_args"] |= {"encoder": tiny, "pretrained": False}
    else:
        network["init_args"] |= {
            "encoder_name": f"tu-{tiny}",
            "encoder_weights": None,
            "decoder_channels": [16, 16, 16, 16, 16],
        }
    if "size" in facts:
        side = facts["size"]
        crop = {"height": side, "width": side, "pad_if_needed": True}
        augmentation = [{"class_path": "albumentations.RandomCrop", "init_args": crop}]
    else:
        side = facts["windows"]
        augmentation = [{"class_path": "albumentations.D4", "init_args": {"p": 1.0}}]
    values = {
        "model.network": network,
        "data.augmentation": augmentation,
        "data.batch_size": 4,
        "data.num_workers": 0,
        "data.cache": "none",
        "trainer.max_steps": 2,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.enable_progress_bar": False,
        "trainer.enable_model_summary": False,
    } | facts.get("flags", {})
    if "windows" in facts:
        values["data.windows.size"] = facts["windows"]
    lines = []
    for key, value in values.items():
        text = (
            yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
            if isinstance(value, list | dict)
            else value
        )
        lines += [f"--{key}", str(text)]
    return lines
