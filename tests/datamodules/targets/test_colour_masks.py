"""Masks in colours: every class by its colour, and no pixel guessed."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from datamodules.plain import ImageData
from datamodules.targets import ColourMasks

COLOURS = {"sky": [70, 130, 180], "road": [[128, 64, 128], [244, 35, 232]], "void": [0, 0, 0]}
CODES = np.array([(70, 130, 180), (128, 64, 128), (244, 35, 232), (0, 0, 0), (255, 255, 255)], np.uint8)
NUMBERS = np.array([0, 1, 1, 255, 255])


def read(root, target, size=(20, 30)):
    target.prepare(pd.DataFrame({"image_id": ["a"]}), root)
    return target.read(SimpleNamespace(image_id="a"), size)


@pytest.fixture
def codes(tmp_path):
    codes = np.random.default_rng(0).integers(0, 5, (20, 30))
    Image.fromarray(CODES[codes]).save(tmp_path / "a.png")
    return codes


def target(colours=COLOURS, void=("void", [255, 255, 255]), **others):
    return ColourMasks("{image_id}.png", colours, list(void), **others)


def check(arrays, codes, numbers=NUMBERS):
    np.testing.assert_array_equal(arrays["mask"], numbers[codes])
    np.testing.assert_array_equal(arrays["valid"], numbers[codes] != 255)
    assert arrays["mask"].dtype == np.int64


def test_classes_by_colour(tmp_path, codes):
    check(read(tmp_path, target()), codes)
    assert target().class_names(tmp_path) == ["sky", "road"]


@pytest.mark.parametrize("kind", ["P", "RGBA", "list.csv", "list.txt"])
def test_palettes_alpha_and_lists_in_files(tmp_path, codes, kind):
    made = target()
    if kind.startswith("list"):
        lines = [(name, one) for name, found in COLOURS.items() for one in (found if name == "road" else [found])]
        texts = [
            f"{name},{','.join(map(str, one))}" if kind.endswith("csv") else f"{' '.join(map(str, one))}\t{name}"
            for name, one in lines
        ]
        (tmp_path / kind).write_text("\n".join([*(["name,r,g,b"] if kind.endswith("csv") else []), *texts]))
        made = target(kind)
        assert made.class_names(tmp_path) == ["sky", "road"]
    elif kind == "P":
        picture = Image.fromarray(codes.astype(np.uint8), "P")
        picture.putpalette(CODES.ravel().tolist())
        picture.save(tmp_path / "a.png")
    else:
        Image.open(tmp_path / "a.png").convert("RGBA").save(tmp_path / "a.png")
    check(read(tmp_path, made), codes)
    files = made.files(SimpleNamespace(image_id="a"))
    assert [file.name for file in files] == ["a.png", *([kind] if kind.startswith("list") else [])]


def test_the_names_of_the_data_give_the_order(tmp_path, codes):
    made = target()
    data = ImageData(str(tmp_path), "*.png", [made], classes=["road", "sky"])
    assert data.class_names == ["road", "sky"]
    check(read(tmp_path, made), codes, np.array([1, 0, 0, 255, 255]))


def test_an_unknown_colour_is_named_with_its_share(tmp_path, codes):
    image = CODES[codes].copy()
    image[:2], image[5, 5] = (1, 200, 3), (9, 9, 90)
    Image.fromarray(image).save(tmp_path / "a.png")
    message = (
        r"a\.png: 10.00% of its pixels have the colour \[1, 200, 3\], 0.17% another of 1 unknown colours, expected one "
        r"of sky \[70, 130, 180\], .*; add it to colours of the target, or to void"
    )
    with pytest.raises(ValueError, match=message):
        read(tmp_path, target())
    with pytest.raises(ValueError, match=r"0.17% of its pixels have the colour \[9, 9, 90\], expected"):
        read(tmp_path, target(void=("void", [255, 255, 255], [1, 200, 3])))


def test_the_cause_of_many_colours_is_told(tmp_path, codes):
    soft = np.clip(CODES[codes] + np.random.default_rng(1).integers(-3, 4, (20, 30, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(soft).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"nearly \[\d+, \d+, \d+\]: was it resized with interpolation"):
        read(tmp_path, target())
    Image.fromarray(soft).save(tmp_path / "a.jpg", quality=70)
    with pytest.raises(ValueError, match="JPEG changed its values, save masks as PNG"):
        read(tmp_path, ColourMasks("{image_id}.jpg", COLOURS, ["void"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"colours": {"sky": [1, 2]}}, r"the colour of 'sky' is \[1, 2\], expected \[red, green, blue\] of 0 to 255"),
        ({"colours": {"sky": [1, 2, 300]}}, "the colour of 'sky' is"),
        ({"colours": COLOURS | {"sea": [70, 130, 180]}}, r"'sky' and 'sea' have the same colour \[70, 130, 180\]"),
        ({"void": ["nothing"]}, "'nothing' has no colour, only sky, road, void; set colours"),
        ({"void": ["void", [1]]}, r"the colour of 'void' is \[1\]"),
        ({"classes": ["sky"]}, "'road' of colours is neither in classes .* nor in void"),
        ({"classes": ["sky", "road", "void"]}, "'void' of colours is both in classes .* and in void"),
        ({"classes": ["sky", "road", "car"]}, "'car' has no colour"),
    ],
)
def test_settings_that_contradict_each_other(tmp_path, codes, arguments, message):
    with pytest.raises(ValueError, match=f"ColourMasks: {message}"):
        read(tmp_path, target(**arguments))


def test_another_size_or_depth(tmp_path, codes):
    with pytest.raises(ValueError, match=r"a\.png is \(20, 30\), its image 'a' is \(30, 20\)"):
        read(tmp_path, target(), (30, 20))
    Image.fromarray(codes.astype(np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png is uint16, expected 8 bits"):
        read(tmp_path, target())
