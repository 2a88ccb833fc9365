import json
import os
import shutil
import warnings

import numpy as np
import pytest

from predictions.store import STRIP_ROWS, PredictionStore, read_finite, read_mean
from preprocessing.sources import Inputs, look

RANDOM = np.random.default_rng(0)


@pytest.fixture
def store(tmp_path):
    return PredictionStore(tmp_path / "store")


@pytest.mark.parametrize(("dtype", "error"), [("uint8", 0.5 / 255 + 1e-6), ("float16", 1e-3), ("float32", 0)])
def test_probabilities_come_back(store, dtype, error):
    mask = RANDOM.random((2, 600, 37), dtype=np.float32)
    store.write("a", {"mask": mask}, dtype=dtype)
    again = store.read("a")["mask"]
    assert again.dtype == np.float32
    assert np.abs(again - mask).max() <= error


def test_other_arrays_are_kept_exactly(store):
    arrays = {
        "label": np.array([0.123456, 0.9], np.float32),
        "boxes": RANDOM.random((0, 4), dtype=np.float32),
        "map": RANDOM.normal(size=(1, 5, 5)).astype(np.float32),
        "instances": np.arange(12, dtype=np.int32).reshape(3, 4),
    }
    store.write("a", arrays)
    for name, array in store.read("a").items():
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize(
    "window", [(0, 0, 10, 10), (250, 3, 520, 30), (STRIP_ROWS, 0, STRIP_ROWS + 1, 40), (590, 0, 600, 40)]
)
def test_a_window_is_the_cut_of_the_whole(store, window):
    store.write("a", {"mask": RANDOM.random((3, 600, 40), dtype=np.float32)})
    top, left, bottom, right = window
    whole = store.read("a")["mask"]
    np.testing.assert_array_equal(store.read("a", window=window)["mask"], whole[:, top:bottom, left:right])


@pytest.mark.parametrize("image_id", ["001", "NA", "a/b", "../up", ".hidden", "ünï 1", "x.jpg", "%41"])
def test_any_id_stays_in_the_folder(store, image_id):
    store.write(image_id, {"label": np.zeros(1, np.float32)})
    assert store.ids() == [image_id]
    assert image_id in store
    assert [path.parent for path in store.path.rglob("*.npz")] == [store.path]


def test_numpy_opens_an_entry(store):
    store.write("a", {"label": np.ones(3, np.float32)})
    with np.load(next(store.path.glob("*.npz"))) as content:
        np.testing.assert_array_equal(content["label.0"], np.ones(3))


def entry(value=0.0):
    return {"label": np.full(1, value, np.float32)}


def test_begin_resumes_and_finish_completes(store):
    assert store.begin(["b", "a"], "one") == ["a", "b"]
    store.write("a", entry(1))
    with pytest.raises(ValueError, match=r"1 of 2.*run predict again"):
        PredictionStore.open(store.path)
    with pytest.raises(ValueError, match="lacks 1 of 2"):
        store.finish()
    assert store.begin(["b", "a"], "one") == ["b"]
    store.write("b", entry(2))
    store.finish()
    assert PredictionStore.open(store.path).ids() == ["a", "b"]


def test_another_fingerprint_starts_anew(store):
    store.begin(["a"], "one")
    store.write("a", entry())
    assert store.begin(["a"], "two") == ["a"]
    assert store.ids() == []


def test_half_written_and_damaged_entries(store):
    store.begin(["a"], "one")
    (store.path / "xyz.tmp").write_bytes(b"half")
    assert store.ids() == []
    store.write("a", entry())
    file = next(store.path.glob("*.npz"))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"'a' is damaged.*a\.npz"):
        store.read("a")


def test_absent_and_empty_stores_are_refused(store):
    with pytest.raises(FileNotFoundError, match="predict"):
        PredictionStore.open(store.path)
    store.begin([], "one")
    store.finish()
    with pytest.raises(ValueError, match="no image"):
        PredictionStore.open(store.path)
    with pytest.raises(KeyError, match="'zz'"):
        store.read("zz")


def test_the_mean_of_stores(tmp_path):
    stores = [PredictionStore(tmp_path / str(number)) for number in range(3)]
    maps = RANDOM.random((3, 2, 300, 5), dtype=np.float32)
    for number, (store, mask) in enumerate(zip(stores, maps, strict=True)):
        store.write("a", {"mask": mask, "label": np.full(2, number, np.float32)}, "float32")
        store.write("ids", {"instances": np.full((4, 4), 100 * number + 55, np.uint8)})
    found = read_mean(stores, "a")
    np.testing.assert_allclose(found["mask"], maps.mean(0), atol=1e-6)
    np.testing.assert_array_equal(found["label"], [1, 1])
    assert list(read_mean(stores, "a", ["label"])) == ["label"]
    alone = read_mean(stores[:1], "ids")["instances"]
    assert alone.dtype == np.uint8
    assert (read_mean(stores, "ids")["instances"] == 155).all()  # 55, 155, 255: bytes hold no sum


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_by_image_and_output(store, tmp_path, value):
    other = PredictionStore(tmp_path / "other")
    for each in (store, other):
        each.write("a", {"mask": np.zeros((1, 3, 3), np.float32), "label": np.zeros(2, np.float32)}, "float32")
    other.write("a", {"mask": np.full((1, 3, 3), value, np.float32), "label": np.zeros(2, np.float32)}, "float32")
    message = r"output 'mask' of image 'a' in .*other has NaN or infinite values"
    for read in (lambda: read_finite(other, "a"), lambda: read_mean([store, other], "a")):
        with pytest.raises(ValueError, match=message):
            read()
    assert list(read_finite(other, "a", ["label"])) == ["label"]


# --- what a store was made from --------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    (tmp_path / "data").mkdir()
    for name in "abc":
        (tmp_path / "data" / f"{name}.png").write_bytes(name.encode() * 50)
    return {name: Inputs([tmp_path / "data" / f"{name}.png"]) for name in "abc"}


def fill(store, files, **given):
    """Predict what is left; returns which."""
    left = store.begin(list(files), "one", files, **given)
    for name in left:
        store.write(name, entry())
    store.finish(look({name: files[name] for name in left}, {}))
    return left


def test_only_images_whose_files_changed_are_predicted_anew(store, files, caplog):
    assert fill(store, files) == ["a", "b", "c"]
    assert fill(store, files) == []
    before = store.state()
    os.utime(files["a"].files[0], (1, 1))
    files["b"].files[0].write_bytes(b"other" * 10)
    assert fill(store, files) == ["b"]
    assert "1 of 3 images were predicted from other files or values, first 'b'" in caplog.text
    assert store.state() != before
    assert fill(store, {name: Inputs(inputs.files, "[1.0]") for name, inputs in files.items()}) == ["a", "b", "c"]


def test_equal_files_in_another_place_need_no_prediction(store, files, tmp_path, monkeypatch):
    fill(store, files)
    state = store.state()
    shutil.move(tmp_path / "data", tmp_path / "moved")
    PredictionStore.open(store.path)
    moved = {name: Inputs([tmp_path / "moved" / f"{name}.png"]) for name in files}
    store.check_sources(moved)
    monkeypatch.setattr("preprocessing.sources.file_hash", None)  # read once, known from then on
    store.check_sources(moved)
    assert fill(store, moved) == []
    assert store.state() == state


def test_replaced_files_are_refused(store, files, tmp_path):
    fill(store, files)
    files["b"].files[0].write_bytes(b"B" * 50)
    with pytest.raises(ValueError, match=r"1 of 3 images .*, first 'b' \(.*b\.png\); these results are outdated"):
        PredictionStore.open(store.path)
    fill(store, files)
    PredictionStore.open(store.path)
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    (tmp_path / "other" / "c.png").write_bytes(b"C" * 50)
    with pytest.raises(ValueError, match=r"first 'c' \(.*other/c\.png\)"):
        store.check_sources({name: Inputs([tmp_path / "other" / f"{name}.png"]) for name in files})
    with pytest.raises(ValueError, match=r"2 files, predicted from 1"):
        store.check_sources({"a": Inputs([*files["a"].files] * 2)})


def test_a_store_that_was_made_from_others_knows_when_they_change(tmp_path, files):
    member, blend = PredictionStore(tmp_path / "a"), PredictionStore(tmp_path / "ens")
    fill(member, files)
    for name in blend.begin(list(files), "blend", stores=[member]):
        blend.write(name, entry())
    blend.finish()
    PredictionStore.open(blend.path)
    (tmp_path / "runs").mkdir()
    for store in (member, blend):
        shutil.move(store.path, tmp_path / "runs")
    blend = PredictionStore.open(tmp_path / "runs" / "ens")
    files["a"].files[0].write_bytes(b"A" * 50)
    with pytest.raises(ValueError, match=r"runs/a was made from other files"):
        PredictionStore.open(blend.path)
    fill(PredictionStore(tmp_path / "runs" / "a"), files)
    with pytest.raises(ValueError, match=r"ens was made from .*runs/a, which have changed"):
        PredictionStore.open(blend.path)


def test_what_was_written_before_a_stop_is_kept_while_its_files_are(store, files):
    """Files are noted at the end; until then those that have not changed since their prediction are the same."""
    store.begin(list(files), "one", files)
    for name in "ab":
        store.write(name, entry())
    files["a"].files[0].write_bytes(b"A" * 50)
    assert fill(store, files) == ["a", "c"]
    assert set(store.seen()) == {"a", "b", "c"}


def as_written_before(store):
    """Make it one of the first format, which noted neither files nor checkpoint."""
    (store.path / "sources.json").unlink()
    manifest = {key: store.manifest()[key] for key in ("fingerprint", "complete", "ids")}
    store.manifest_path.write_text(json.dumps(manifest | {"format": 1}))


def test_stores_of_an_older_version_load_with_a_message_and_go_on(store, files):
    fill(store, files)
    as_written_before(store)
    with pytest.warns(UserWarning, match="older version, which did not record checkpoint and files"):
        assert PredictionStore.open(store.path).ids() == ["a", "b", "c"]
    os.utime(files["b"].files[0])  # after it was predicted, as far as anyone can tell
    assert fill(store, files) == ["b"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PredictionStore.open(store.path)
