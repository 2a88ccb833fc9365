"""Submissions of a file per image: class numbers, colours, instance ids; as folder, zip and list."""

import zipfile

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from submissions import ClassImages, InstanceImages, SubmissionError

NAMES = ["background", "road", "car"]
COLOURS = {"background": [0, 0, 0], "road": [128, 64, 128], "car": [0, 0, 142]}
SIZE = (7, 9)
SIZES = {"a": SIZE, "b": SIZE}
OUTPUTS = ["submission.zip", "results", "list.csv"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("images")


def maps(seed=0, classes=3):
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, classes, SIZE) for name in SIZES}


def files_of(output):
    """What a server would unpack: bytes by name."""
    if output.suffix == ".zip":
        with zipfile.ZipFile(output) as content:
            return {name: content.read(name) for name in content.namelist()}
    folder = output.with_suffix("") if output.suffix == ".csv" else output
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("kind", ["numbers", "palette", "rgb"])
def test_class_images_are_what_pillow_reads(tmp_path, kind, output):
    values = None if kind == "rgb" else [0, 7, 26]
    form = ClassImages(NAMES, kind, values, COLOURS if kind != "numbers" else None)
    found, path = maps(), tmp_path / output
    form.write([(name, {"mask": array}) for name, array in found.items()], path, None, SIZES)
    assert sorted(files_of(path)) == ["a.png", "b.png"]
    for name, array in found.items():
        (tmp_path / "one.png").write_bytes(files_of(path)[f"{name}.png"])
        with Image.open(tmp_path / "one.png") as image:
            assert image.mode == {"numbers": "L", "palette": "P", "rgb": "RGB"}[kind]
            if kind != "rgb":
                np.testing.assert_array_equal(np.asarray(image), np.array([0, 7, 26])[array])
            if kind != "numbers":
                table = np.array(list(COLOURS.values()))
                np.testing.assert_array_equal(np.asarray(image.convert("RGB")), table[array])
    again = form.read(path, SIZES)
    for name, array in found.items():
        np.testing.assert_array_equal(again[name]["mask"], array)
    assert sorted(path.name for path in tmp_path.iterdir() if ".tmp" in path.name) == []


@settings(max_examples=30, deadline=None)
@given(labels=arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 70_000)))
def test_instances_come_back_as_one_to_n(folder, labels):
    size = labels.shape
    ids = np.unique(labels[labels > 0])
    expected = np.where(labels > 0, np.searchsorted(ids, labels) + 1, 0)
    for form in (InstanceImages(), InstanceImages(".tif"), InstanceImages(".tif", 32)):
        output = folder / "instances.zip"
        form.write([("x.y", {"instances": labels})], output, None, {"x.y": size})
        np.testing.assert_array_equal(form.read(output, {"x.y": size})["x.y"]["instances"], expected)
        (folder / "one").write_bytes(files_of(output)[f"x.y{form.ending}"])
        read = np.asarray(Image.open(folder / "one")) if form.ending == ".png" else tifffile.imread(folder / "one")
        np.testing.assert_array_equal(read, expected)
        if form.ending == ".tif":
            assert read.dtype == (np.uint16 if form.bits == 16 else np.uint32)


def test_more_instances_than_bits_are_told(tmp_path):
    labels = np.arange(1, 65_537).reshape(256, 256)
    with pytest.raises(
        SubmissionError, match=r"image 'a': 65536 instances do not fit into 16 bits; set `ending: .tif`"
    ):
        InstanceImages().write([("a", {"instances": labels})], tmp_path / "s.zip", None, {"a": (256, 256)})
    form = InstanceImages(".tif", 32)
    form.write([("a", {"instances": labels})], tmp_path / "s.zip", None, {"a": (256, 256)})
    np.testing.assert_array_equal(form.read(tmp_path / "s.zip", {"a": (256, 256)})["a"]["instances"], labels)
    assert [path.name for path in tmp_path.iterdir()] == ["s.zip"]


def test_probabilities_and_one_mask_are_class_maps(tmp_path):
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), SIZE).transpose(2, 0, 1).astype(np.float32)
    form, path = ClassImages(3), tmp_path / "s.zip"
    form.write([("a", {"mask": probabilities})], path, None, {"a": SIZE})
    np.testing.assert_array_equal(form.read(path, {"a": SIZE})["a"]["mask"], probabilities.argmax(0))
    mask = probabilities[:1] > 0.5
    ClassImages(2).write([("a", {"mask": mask})], path, None, {"a": SIZE})
    np.testing.assert_array_equal(ClassImages(2).read(path, {"a": SIZE})["a"]["mask"], mask[0])


@pytest.mark.parametrize("output", OUTPUTS)
def test_what_is_refused_leaves_nothing(tmp_path, output):
    form, good = ClassImages(3), {"mask": np.zeros(SIZE, np.int64)}
    cases = [
        ([("a", good)], r"1 ids without a prediction \['b'\]"),
        ([("a", good), ("b", {"mask": np.full(SIZE, 3)})], "image 'b': 'mask' has class 3, expected 0 to 2"),
        ([("a", good), ("b", {"mask": np.zeros((3, 3), int)})], r"'b'.*it is \(3, 3\), expected \(7, 9\)"),
        ([("a", good), ("b", {"mask": np.zeros((2, *SIZE), bool)})], "expected class numbers"),
        ([("a", good), ("b", good), ("../c", good)], "outside"),
        ([("a", good), ("b", good), ("c", good)], "'c'.*unknown"),
    ]
    for predictions, message in cases:
        with pytest.raises(SubmissionError, match=message):
            form.write(predictions, tmp_path / output, None, SIZES)
        assert not list(tmp_path.iterdir())
    with pytest.raises(SubmissionError, match="competition.max_file_size"):
        form.write([("a", good), ("b", good)], tmp_path / output, None, SIZES, 1e-6)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_other_files_is_not_replaced(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "thesis.txt").write_text("years of work")
    predictions = [(name, {"mask": array}) for name, array in maps().items()]
    with pytest.raises(SubmissionError, match=r"results has other files, such as thesis.txt"):
        ClassImages(3).write(predictions, tmp_path / "results", None, SIZES)
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["thesis.txt"]
    (tmp_path / "results" / "thesis.txt").unlink()
    (tmp_path / "results" / "old.png").write_bytes(b"of an image that is no longer there")
    ClassImages(3).write(predictions, tmp_path / "results", None, SIZES)
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["a.png", "b.png"]


def test_the_sample_may_be_a_list_a_folder_or_a_zip(tmp_path):
    form = ClassImages(3)
    predictions = [(name, {"mask": array}) for name, array in maps().items()]
    form.write(predictions, tmp_path / "sample", None, SIZES)
    form.write(predictions, tmp_path / "sample.zip", None, SIZES)
    pd.DataFrame({"image_id": ["b", "a"]}).to_csv(tmp_path / "sample.csv", index=False)
    for sample in ("sample", "sample.zip", "sample.csv"):
        form.write(predictions, tmp_path / "s.zip", tmp_path / sample, SIZES)
        with pytest.raises(SubmissionError, match=r"1 ids without a prediction \['b'\]"):
            form.write(predictions[:1], tmp_path / "t.zip", tmp_path / sample, SIZES)


def test_files_of_others_are_checked(tmp_path):
    found = tmp_path / "found"
    found.mkdir()
    for name in SIZES:
        Image.fromarray(np.full(SIZE, 2, np.uint8)).save(found / f"{name}.png")
    assert (ClassImages(3).read(found, SIZES)["b"]["mask"] == 2).all()
    with pytest.raises(SubmissionError, match=r"found, image 'a': a.png: value 2 of 63 pixels is not one of the 2"):
        ClassImages(2).read(found, SIZES)
    with pytest.raises(SubmissionError, match=r"a.png: its mode is L, expected RGB"):
        ClassImages(NAMES, "rgb", colours=COLOURS).read(found, SIZES)
    (found / "a.png").write_bytes(b"no image")
    with pytest.raises(SubmissionError, match=r"a.png: cannot identify"):
        ClassImages(3).read(found, SIZES)
    with pytest.raises(SubmissionError, match="no file that ends in .tif"):
        InstanceImages(".tif").read(found, SIZES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 3, "values": [0, 1]}, "expected 3 different numbers"),
        ({"classes": 3, "values": [0, 1, 256]}, "expected 3 different numbers"),
        ({"classes": NAMES, "kind": "rgb"}, "colours lack the classes"),
        ({"classes": NAMES, "kind": "rgb", "colours": COLOURS | {"car": [0, 0, 0]}}, "same colour"),
        ({"classes": NAMES, "kind": "palette", "colours": COLOURS | {"car": [0, 0, 300]}}, "colour of 'car'"),
        ({"classes": 300}, "do not fit into 8 bits"),
    ],
)
def test_contradicting_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ClassImages(**arguments)


def test_void_pixels_of_a_solution_do_not_count(tmp_path):
    solution, found = tmp_path / "solution", np.random.default_rng(0).integers(0, 3, SIZE)
    solution.mkdir()
    valid = np.ones(SIZE, bool)
    valid[2:4] = False
    Image.fromarray(np.where(valid, found, 255).astype(np.uint8)).save(solution / "a.png")
    arrays_ = ClassImages(3, ignore=255).read(solution, {"a": SIZE})["a"]
    np.testing.assert_array_equal(arrays_["valid"], valid)
    np.testing.assert_array_equal(arrays_["mask"], found * valid)
    colours = np.array(list(COLOURS.values()), np.uint8)[found]
    colours[~valid] = 224, 224, 192
    Image.fromarray(colours).save(solution / "a.png")
    form = ClassImages(kind="rgb", colours=COLOURS, ignore=[224, 224, 192])
    np.testing.assert_array_equal(form.read(solution, {"a": SIZE})["a"]["mask"], found * valid)
    with pytest.raises(SubmissionError, match=r"colour \[224, 224, 192\] of 18 pixels is not one of the 3"):
        ClassImages(kind="rgb", colours=COLOURS).read(solution, {"a": SIZE})
    for ignore in (255, [224, 224], [224, 224, 300]):
        with pytest.raises(ValueError, match="ignore is .*, expected a colour"):
            ClassImages(kind="rgb", colours=COLOURS, ignore=ignore)
    with pytest.raises(ValueError, match="expected a colour for kind rgb, else a number"):
        ClassImages(3, ignore=[224, 224, 192])
