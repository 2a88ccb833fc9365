"""Boxes of CSV, VOC and COCO files: what belongs to which picture, what is an object, what is no box."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules import ImageDataModule
from datamodules.cache import DecodedCache
from datamodules.decoder import Decoder
from datamodules.readers import ImageReader
from datamodules.table import find_images
from datamodules.targets import Boxes
from datamodules.windows import with_window

TABLE = pd.DataFrame({"image_id": ["a", "b"], "path": ["a.jpg", "b.jpg"]})


def coco(*annotations, **changes):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 50, "height": 40}, {"id": 2, "file_name": "b.jpg"}],
        "categories": [{"id": 7, "name": "car"}, {"id": 3, "name": "dog"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 7, "bbox": [5, 6, 10, 10], "iscrowd": 0} | annotation
            for number, annotation in enumerate(annotations, 1)
        ],
    }
    return json.dumps(content | changes)


def voc(*objects, size="<size><width>50</width><height>40</height></size>"):
    texts = [
        f"<object><name>car</name>{more}<bndbox>"
        + "".join(
            f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        + "</bndbox></object>"
        for box, more in objects
    ]
    return f"<annotation>{size}{''.join(texts)}</annotation>"


def prepared(root, target, table=TABLE):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target.prepare(table, root)
    return target


def read(target, image_id="a", size=(40, 50), **more):
    return target.read(SimpleNamespace(image_id=image_id, **more), size)


def test_crowds_and_difficult_objects_are_no_objects(tmp_path):
    (tmp_path / "c.json").write_text(coco({}, {"bbox": [20, 0, 30, 40], "iscrowd": 1, "category_id": 3}))
    found = read(prepared(tmp_path, Boxes("c.json", "coco", ["car", "dog"])))
    assert found["boxes"].tolist() == [[5, 6, 15, 16]]
    assert found["labels"].tolist() == [0]
    assert found["ignored_boxes"].tolist() == [[20, 0, 50, 40]]
    assert found["ignored_boxes"].dtype == np.float32
    assert found["ignored_labels"].tolist() == [1]
    assert found["ignored_crowd"].tolist() == [True]
    none = read(prepared(tmp_path, Boxes("c.json", "coco", ["car", "dog"])), "b")
    assert {name: array.shape for name, array in none.items()} == {
        "boxes": (0, 4),
        "labels": (0,),
        "ignored_boxes": (0, 4),
        "ignored_labels": (0,),
        "ignored_crowd": (0,),
    }
    (tmp_path / "a.xml").write_text(voc(((1, 1, 10, 10), ""), ((11, 11, 20, 20), "<difficult>1</difficult>")))
    found = read(prepared(tmp_path, Boxes("{image_id}.xml", "voc"), TABLE[:1]))
    assert found["boxes"].tolist() == [[0, 0, 10, 10]]
    assert found["ignored_boxes"].tolist() == [[10, 10, 20, 20]]
    assert found["ignored_crowd"].tolist() == [False]


def test_training_samples_are_without_crowds_and_validation_has_them(tmp_path):
    (tmp_path / "i").mkdir()
    for name in "ab":
        Image.new("RGB", (50, 40)).save(tmp_path / f"i/{name}.jpg")
    crowd = {"bbox": [20, 0, 30, 40], "iscrowd": 1}
    (tmp_path / "c.json").write_text(coco({}, crowd, crowd | {"image_id": 2}))
    (tmp_path / "folds.csv").write_text("image_id,fold,group\na,1,a\nb,0,b\n")
    for cache in ("none", "ram"):
        for fold in (0, 1):
            data = ImageDataModule(
                root=str(tmp_path),
                images="i/*.jpg",
                targets=[Boxes("c.json", "coco", ["car", "dog"])],
                folds=str(tmp_path / "folds.csv"),
                fold=fold,
                batch_size=1,
                num_workers=0,
                cache=cache,
            )
            data.setup("fit")
            batch, held = next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))
            assert not [name for name in batch if name.startswith("ignored")]
            assert len(batch["boxes"][0]) == (1 if fold == 0 else 0)  # an image of crowds alone is one without boxes
            assert held["ignored_boxes"][0].tolist() == [[20, 0, 50, 40]]
            assert len(held["boxes"][0]) == (0 if fold == 0 else 1)


NUMBERS = st.lists(
    st.tuples(st.integers(0, 45), st.integers(0, 35), st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boxes=NUMBERS, kinds=st.lists(st.booleans(), min_size=6, max_size=6), window=st.data())
def test_a_window_has_the_boxes_of_its_pixels_from_files_and_from_the_cache(tmp_path, boxes, kinds, window):
    (tmp_path / "i").mkdir(exist_ok=True)
    Image.new("RGB", (50, 40)).save(tmp_path / "i/a.png")
    annotations = [{"bbox": list(box), "iscrowd": int(kind)} for box, kind in zip(boxes, kinds, strict=False)]
    (tmp_path / "c.json").write_text(coco(*annotations))
    top, left = window.draw(st.integers(0, 30)), window.draw(st.integers(0, 40))
    place = (top, left, window.draw(st.integers(1, 10)), window.draw(st.integers(1, 10)))
    table = find_images(tmp_path, "i/*.png")
    target = prepared(tmp_path, Boxes("c.json", "coco", ["car", "dog"]), table)
    row = SimpleNamespace(**table.iloc[0])
    cache = DecodedCache(Decoder(ImageReader(), [target]))
    cache.build(table, show=False)
    for source in (Decoder(ImageReader(), [target]), cache):
        arrays = source.read(with_window(row, place))[1]
        for name, crowd in (("boxes", False), ("ignored_boxes", True)):
            seen = np.zeros((40, 50), bool)
            for (x, y, width, height), kind in zip(boxes, kinds, strict=False):
                if kind == crowd:
                    seen[y : y + height, x : x + width] = True
            own = np.zeros(place[2:], bool)
            for x1, y1, x2, y2 in arrays.get(name, np.zeros((0, 4))).astype(int):
                own[y1:y2, x1:x2] = True
                assert x2 > x1
                assert y2 > y1
            assert (own == seen[top : top + place[2], left : left + place[3]]).all()
        if "ignored_boxes" in arrays:
            assert len(arrays["ignored_boxes"]) == len(arrays["ignored_labels"]) == len(arrays["ignored_crowd"])


# --- pictures of another size ----------------------------------------------------------------------------------------


def picture(path, size=(50, 40), orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)


@pytest.mark.parametrize(
    ("size", "orientation", "message"),
    [
        ((50, 40), 1, None),
        ((50, 40), 3, None),
        ((50, 40), 6, r"a\.jpg\) is declared 50 x 40 .*but is 40 x 50: its EXIF orientation 6 rotates it"),
        ((40, 50), 1, r"a\.jpg\) is declared 50 x 40 .*but is 40 x 50: width and height are swapped"),
        ((25, 20), 1, r"a\.jpg\) is declared 50 x 40 .*but is 25 x 20; the boxes belong to an image of another size"),
        ((40, 50), 8, None),
    ],
)
@pytest.mark.parametrize("kind", ["voc", "coco"])
def test_pictures_that_are_not_as_declared_are_told_before_training(tmp_path, kind, size, orientation, message):
    (tmp_path / "i").mkdir()
    picture(tmp_path / "i/a.jpg", size, orientation)
    (tmp_path / "a.xml").write_text(voc(((1, 1, 10, 10), "")))
    (tmp_path / "c.json").write_text(coco({}))
    target = Boxes("{image_id}.xml", "voc") if kind == "voc" else Boxes("c.json", "coco")
    for windows in (False, True):
        decoder = Decoder(ImageReader(), [prepared(tmp_path, target, find_images(tmp_path, "i/*.jpg"))])
        row = SimpleNamespace(image_id="a", path=str(tmp_path / "i/a.jpg"))
        if message is None:
            decoder.check(row, windows)
            assert len(decoder.read(row)[1]["boxes"]) == 1
            continue
        for look in (lambda row: decoder.check(row, windows), decoder.read):  # noqa: B023 - called at once
            with pytest.raises(ValueError, match=message) as caught:
                look(row)
            assert str(caught.value).startswith(str(tmp_path / ("a.xml" if kind == "voc" else "c.json")))


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_sizes_that_are_not_declared_are_not_compared(tmp_path, size):
    (tmp_path / "a.xml").write_text(voc(((1, 1, 10, 10), ""), size=size))
    assert len(read(prepared(tmp_path, Boxes("{image_id}.xml", "voc"), TABLE[:1]), size=(77, 33))["boxes"]) == 1


# --- counting from 1 -------------------------------------------------------------------------------------------------


def test_voc_counts_from_1_unless_it_is_said_otherwise(tmp_path):
    (tmp_path / "a.xml").write_text(voc(((1, 1, 50, 40), ""), ((3, 4, 3, 4), "")))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target = Boxes("{image_id}.xml", "voc")
        target.prepare(TABLE[:1], tmp_path)
    assert read(target)["boxes"].tolist() == [[0, 0, 50, 40], [2, 3, 3, 4]]  # the whole picture, and one pixel
    (tmp_path / "a.xml").write_text(voc(((0, 2, 50, 40), ""), ((1, 1, 3, 3), "")))
    with pytest.warns(UserWarning, match=r"a\.xml, object 1: .* begins before pixel 1, like 1 of 2 boxes.*base: 0"):
        Boxes("{image_id}.xml", "voc").prepare(TABLE[:1], tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target = Boxes("{image_id}.xml", "voc", base=0)
        target.prepare(TABLE[:1], tmp_path)
    assert read(target)["boxes"].tolist() == [[0, 2, 50, 40], [1, 1, 3, 3]]
    (tmp_path / "b.csv").write_text("image_id,xmin,ymin,xmax,ymax\na,1,1,50,40\n")
    assert read(prepared(tmp_path, Boxes("b.csv", "csv", base=1)))["boxes"].tolist() == [[0, 0, 50, 40]]
    assert read(prepared(tmp_path, Boxes("b.csv", "csv")))["boxes"].tolist() == [[1, 1, 50, 40]]
    (tmp_path / "b.csv").write_text("image_id,x,y,width,height\na,1,1,50,40\n")
    found = read(prepared(tmp_path, Boxes("b.csv", "csv", layout="xywh", base=1)))
    assert found["boxes"].tolist() == [[0, 0, 50, 40]]


# --- what is no box --------------------------------------------------------------------------------------------------


def test_boxes_without_area_are_left_out_and_counted(tmp_path):
    (tmp_path / "c.json").write_text(coco({}, {"bbox": [1, 1, 0, 5]}, {"bbox": [1, 1, 5, 0]}))
    target = Boxes("c.json", "coco")
    with pytest.warns(UserWarning, match=r"2 of 3 boxes have no area and are ignored: .*annotation 2; .*annotation 3"):
        target.prepare(TABLE, tmp_path)
    assert len(read(target)["boxes"]) == 1
    (tmp_path / "b.csv").write_text("image_id,xmin,ymin,xmax,ymax\na,3,3,3,9\na,1,1,5,5\nb,1,1,2,2\n")
    target = Boxes("b.csv", "csv")
    with pytest.warns(UserWarning, match=r"1 of 3 boxes have no area and are ignored: .*b\.csv, row 2"):
        target.prepare(TABLE, tmp_path)
    assert read(target)["boxes"].tolist() == [[1, 1, 5, 5]]
    (tmp_path / "b.csv").write_text("image_id,xmin,ymin,xmax,ymax\na,,,,\nb,,,,\n")
    with pytest.warns(UserWarning, match="none of 2 images has a box"):
        Boxes("b.csv", "csv").prepare(TABLE, tmp_path)


BROKEN_COCO = {
    "no box": (coco({}, {"bbox": None}), "annotation 2: bbox is None"),
    "three numbers": (coco({"bbox": [1, 2, 3]}), r"annotation 1: bbox is \[1, 2, 3\]"),
    "words": (coco({"bbox": [1, 2, 3, "x"]}), "annotation 1: box .*, expected four numbers"),
    "no number": (coco({"bbox": [1, 2, 3, float("nan")]}), "annotation 1: box .*, expected four numbers"),
    "no end": (coco({"bbox": [1, 2, 3, float("inf")]}), "annotation 1: box .*, expected four numbers"),
    "below 0": (coco({}, {"bbox": [1, 2, 3, -4]}), "annotation 2: box .* has no area; is its layout xywh"),
    "a decimal comma": (coco({"bbox": ["1,5", 2, 3, 4]}), "annotation 1: .*numbers have a point"),
    "an unknown category": (coco({"category_id": 9}), "annotation 1: category_id is 9, expected one of .*7 car"),
    "a list": (coco({"category_id": [7]}), r"annotation 1: category_id is \[7\]"),
    "a category that is not wanted": (coco({"category_id": 3}), "annotation 1: class 'dog', expected one of car"),
    "an unknown image": (coco({"image_id": 9}), "annotation 1: image_id is 9, which is not among the file's images"),
    "an id as text": (coco({"image_id": "1"}), "annotation 1: image_id is '1'"),
    "an odd crowd": (coco({"iscrowd": 2}), "annotation 1: iscrowd is 2"),
    "no lists": (json.dumps({"images": []}), "is not a COCO file of objects: it has no list 'categories'"),
    "a list alone": ("[]", "is not a COCO file of objects: it has no list 'images'"),
    "no JSON": ("{", r"c\.json, line 1, column 2: not JSON"),
    "no name": (coco({}, categories=[{"id": 7}]), "category number 0 has no id and name"),
    "an image twice": (coco({}, images=[{"id": 1, "file_name": n} for n in "ab"]), "image 1 occurs twice: 'a' and 'b'"),
    "a file twice": (
        coco({}, images=[{"id": n, "file_name": "a.jpg"} for n in (1, 2)]),
        "images 1 and 2 have the same file_name 'a.jpg'",
    ),
}


@pytest.mark.parametrize("name", BROKEN_COCO)
def test_broken_coco_files_are_refused_with_the_annotation(tmp_path, name):
    text, message = BROKEN_COCO[name]
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match=rf"c\.json.*{message}|{message}"):
        prepared(tmp_path, Boxes("c.json", "coco", ["car"]))


BROKEN_VOC = {
    "no bndbox": (
        voc().replace("</annotation>", "<object><name>car</name></object></annotation>"),
        "object 1: no bndbox",
    ),
    "a side is missing": (voc(((1, 1, 2, 2), "")).replace("<ymax>2</ymax>", ""), "object 1: no bndbox"),
    "words": (voc(((1, 1, 2, 2), ""), ((1, 1, "x", 2), "")), "object 2: box .*, expected four numbers"),
    "a class": (voc(((1, 1, 2, 2), "")).replace("car", "owl"), "object 1: class 'owl', expected one of car"),
    "difficult": (voc(((1, 1, 2, 2), "<difficult>yes</difficult>")), "object 1: difficult is 'yes'"),
    "another file": ("<kml></kml>", "is not a Pascal VOC file: its root is <kml>"),
    "no XML": ("<annotation>\n<object>", "line 2, column 9: not XML"),
}


@pytest.mark.parametrize("name", BROKEN_VOC)
def test_broken_voc_files_are_refused_with_the_object(tmp_path, name):
    text, message = BROKEN_VOC[name]
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.xml.*{message}"):
        prepared(tmp_path, Boxes("{image_id}.xml", "voc", ["car"]), TABLE[:1])
    with pytest.raises(FileNotFoundError, match=r"1 images have no boxes; the first is 'b': file .*b\.xml does not"):
        prepared(tmp_path, Boxes("{image_id}.xml", "voc", ["car"]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,1,1,x,4", r"row 3: box \['1', '1', 'x', '4'\], expected four numbers"),
        ("a,1,1,,4", "row 3: box .*, expected four numbers"),
        ("a,1,1,inf,4", "row 3: box .*, expected four numbers"),
        ('a,"1,5",1,3,4', "row 3: box .*, expected four numbers; numbers have a point"),
        ("a,5,5,3,8", "row 3: box .* has no area; is its layout xyxy"),
    ],
)
def test_rows_that_are_no_boxes_are_refused(tmp_path, row, message):
    (tmp_path / "b.csv").write_text(f"image_id,xmin,ymin,xmax,ymax\nb,1,1,2,2\n{row}\n")
    with pytest.raises(ValueError, match=rf"b\.csv, {message}"):
        prepared(tmp_path, Boxes("b.csv", "csv"))


# --- whose boxes they are --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["train/*.jpg", "*/*.jpg"])
def test_pictures_of_equal_names_keep_their_own_boxes(tmp_path, pattern):
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
        picture(tmp_path / folder / "0001.jpg")
    images = [{"id": 1, "file_name": "train/0001.jpg"}, {"id": 2, "file_name": "val/0001.jpg"}]
    (tmp_path / "all.json").write_text(coco({}, {"image_id": 2, "bbox": [30, 20, 8, 8]}, images=images))
    (tmp_path / "all.csv").write_text("file,x,y,width,height\ntrain/0001.jpg,5,6,10,10\nval/0001.jpg,30,20,8,8\n")
    if pattern == "*/*.jpg":
        with pytest.raises(ValueError, match="two files have the id '0001'"):
            find_images(tmp_path, pattern)
        return
    table = find_images(tmp_path, pattern)
    for target in (Boxes("all.json", "coco"), Boxes("all.csv", "csv", id_column="file", layout="xywh")):
        with pytest.warns(UserWarning, match="1 of 2 names match no image: 'val/0001.jpg'"):
            target.prepare(table, tmp_path)
        assert read(target, "0001")["boxes"].tolist() == [[5, 6, 15, 16]]
    (tmp_path / "all.json").write_text(coco({}, images=[{"id": 1, "file_name": "val/0001.jpg"}]))
    with pytest.raises(ValueError, match=r"all\.json, file_name: none of its 1 names .*folders: false"):
        prepared(tmp_path, Boxes("all.json", "coco"), table)
    assert len(read(prepared(tmp_path, Boxes("all.json", "coco", folders=False), table), "0001")["boxes"]) == 1


def test_images_that_a_coco_file_does_not_list_are_told(tmp_path):
    (tmp_path / "c.json").write_text(coco({}, images=[{"id": 1, "file_name": "a.jpg"}]))
    with pytest.warns(UserWarning, match=r"c\.json: 1 of 2 images are not in its list \(first: 'b'\)"):
        Boxes("c.json", "coco").prepare(TABLE, tmp_path)


NOTHING = {
    "a prefix": (coco(images=[{"id": n, "file_name": f"IMG_{c}.jpg"} for n, c in enumerate("ab")]), "'IMG_' before"),
    "another folder": (coco(images=[{"id": 1, "file_name": "x/c.jpg"}]), "none of its 1 names"),
    "no images": (coco(images=[]), "it has no rows"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_coco_files_of_other_images_are_refused(tmp_path, name):
    text, message = NOTHING[name]
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        prepared(tmp_path, Boxes("c.json", "coco"))


def test_csvs_of_other_images_are_refused_and_shares_told(tmp_path):
    table = pd.DataFrame({"image_id": ["001", "002", "010"]})
    (tmp_path / "b.csv").write_text("image_id,xmin,ymin,xmax,ymax\n1,1,1,6,6\n2,1,1,6,6\n")
    with pytest.raises(
        ValueError, match=r"b\.csv, column image_id: none of its 2 names .*'1', '2'; .*with their leading zeros"
    ):
        Boxes("b.csv", "csv").prepare(table, tmp_path)
    (tmp_path / "b.csv").write_text("image_id,xmin,ymin,xmax,ymax\n1,1,1,6,6\n010,1,1,6,6\n")
    with pytest.warns(
        UserWarning, match="1 of 2 names match no image: '1'; 2 of 3 images have no name.*their leading zeros"
    ):
        Boxes("b.csv", "csv").prepare(table, tmp_path)
    (tmp_path / "b.csv").write_text("image_id,xmin,ymin,xmax,ymax\n")
    with pytest.raises(ValueError, match="it has no rows"):
        Boxes("b.csv", "csv").prepare(table, tmp_path)
