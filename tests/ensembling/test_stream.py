"""Members, the blend of an image, and the store that comes of it."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from ensembling.blend import Blend, as_stored
from ensembling.duplicates import copies_among, read_groups
from ensembling.members import Member, common_ids
from ensembling.stream import Stream, write
from predictions.store import PredictionStore

IDS = ["a", "b.1", "c/2"]


def fill(folder, entries, expected=None, fingerprint="x", dtype="float32"):
    """A prediction store with these entries."""
    store = PredictionStore(folder)
    store.begin(expected or sorted(entries), fingerprint)
    for image_id, entry in entries.items():
        store.write(image_id, entry, dtype)
    if expected is None:
        store.finish()
    return store


def member(folder, seed, ids=IDS, side=8, folds=1, split="test"):
    random = np.random.default_rng(seed)
    entries = []
    for fold in range(folds):
        own = {
            one: {"mask": random.random((1, side, side)).astype(np.float32), "label": random.random(3, np.float32)}
            for one in ids
        }
        fill(folder / f"fold{fold}" / "predictions" / split, own)
        entries.append(own)
    return Member(folder), entries


def streamed(members, blend, split="test", skip=False):
    parts = [one.open(split) for one in members]
    return Stream(parts, blend, common_ids(parts, skip))


# --- members ---------------------------------------------------------------------------------------------------------


def test_an_experiment_a_run_and_a_folder_of_predictions_are_members(tmp_path):
    member(tmp_path / "x", 0, folds=2)
    assert len(Member(tmp_path / "x").folders) == 2
    run = tmp_path / "x" / "fold1"
    assert Member(run).folders == Member(run / "predictions").folders == [run / "predictions"]
    assert Member(tmp_path / "x").splits() == ["test"]
    with pytest.raises(FileNotFoundError, match="predict"):
        Member(tmp_path / "nothing")


def test_an_image_out_of_fold_belongs_to_one_run(tmp_path):
    for fold, ids in enumerate((["a", "b"], ["c"])):
        fill(tmp_path / f"fold{fold}" / "predictions" / "val", {one: {"y": np.float32([fold])} for one in ids})
    fill(tmp_path / "all" / "predictions" / "val", {})  # a run on all rows has nothing out of fold
    part = Member(tmp_path).open("val")
    assert part.ids() == {"a", "b", "c"}
    assert part.run == {"a": 1, "b": 1, "c": 2}  # the runs in order: all, fold0, fold1
    fill(tmp_path / "fold1" / "predictions" / "val", {"a": {"y": np.float32([1])}}, fingerprint="y")
    with pytest.raises(ValueError, match="'a' has out-of-fold predictions in two runs"):
        Member(tmp_path).open("val")


def test_divisions_of_their_own_validate_an_image_more_than_once(tmp_path):
    """Seven folds, each of another division (SIIM-ACR, 7th place): what several runs have not seen is averaged."""
    for fold, ids in enumerate((["a", "b"], ["b", "c"])):
        run = tmp_path / f"fold{fold}"
        fill(run / "predictions" / "val", {one: {"y": np.float32([fold])} for one in ids})
        (run / "run.json").write_text(json.dumps({"folds_hash": f"division {fold}"}))
    stream = streamed([Member(tmp_path)], Blend(), "val")
    assert {one: float(stream(one, None)["y"][0]) for one in stream.ids} == {"a": 0, "b": 0.5, "c": 1}
    (tmp_path / "fold1" / "run.json").write_text(json.dumps({"folds_hash": "division 0"}))
    with pytest.raises(ValueError, match="'b' has out-of-fold predictions in two runs"):
        Member(tmp_path).open("val")


def test_half_written_and_missing_stores_are_named(tmp_path):
    one, entries = member(tmp_path / "x", 0, folds=2)
    fill(tmp_path / "y" / "fold0" / "predictions" / "test", {"a": entries[0]["a"]}, IDS)
    with pytest.raises(ValueError, match="incomplete: image 'b.1' and 1 more"):
        Member(tmp_path / "y").open("test")
    fill(tmp_path / "x" / "fold2" / "predictions" / "val", {"z": entries[0]["a"]})
    with pytest.raises(FileNotFoundError, match="fold2"):
        Member(tmp_path / "x").open("test")


def test_an_image_that_a_member_or_a_fold_lacks_is_named(tmp_path):
    one, _ = member(tmp_path / "x", 0)
    other, _ = member(tmp_path / "y", 1, IDS[:2])
    with pytest.raises(ValueError, match=r"y has no test prediction of image 'c/2', .*x has \(1 images"):
        streamed([one, other], Blend())
    fill(tmp_path / "x" / "fold1" / "predictions" / "test", {"a": one.open("test").entry("a", None)})
    with pytest.raises(ValueError, match="fold1.* has no image 'b.1'"):
        streamed([Member(tmp_path / "x")], Blend())


def test_members_that_lack_an_image_are_skipped_when_told_to(tmp_path):
    one, ((first),) = member(tmp_path / "x", 0)
    other, ((second),) = member(tmp_path / "y", 1, IDS[:2])
    stream = streamed([one, other], Blend(), skip=True)
    assert stream.ids == IDS
    np.testing.assert_array_equal(stream("c/2", [1, 3])["mask"], first["c/2"]["mask"])
    np.testing.assert_array_equal(stream("c/2", [0, 1])["mask"], first["c/2"]["mask"])  # the only one that has it
    expected = 0.25 * first["a"]["mask"] + 0.75 * second["a"]["mask"]
    np.testing.assert_allclose(stream("a", [1, 3])["mask"], expected, rtol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named(tmp_path, value):
    one, ((entries),) = member(tmp_path / "x", 0)
    entries["b.1"]["mask"][0, 3, 3] = value
    fill(tmp_path / "y" / "predictions" / "test", entries)
    stream = streamed([one, Member(tmp_path / "y")], Blend())
    with pytest.raises(ValueError, match=r"output 'mask' of image 'b.1' in .*y.*NaN or infinite"):
        stream("b.1", None)


def test_a_damaged_file_is_named(tmp_path):
    one, _ = member(tmp_path / "x", 0)
    file = next((tmp_path / "x" / "fold0" / "predictions" / "test").glob("a.npz"))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match="image 'a' is damaged"):
        streamed([one], Blend())("a", None)


# --- the blend -------------------------------------------------------------------------------------------------------


def test_folds_of_a_member_are_one_member(tmp_path):
    """Three folds of one member and one of another: each member counts half, as in `submit` of the first alone."""
    one, folds = member(tmp_path / "x", 0, folds=3)
    other, ((second),) = member(tmp_path / "y", 1)
    mean = np.mean([fold["a"]["mask"] for fold in folds], axis=0)
    stream = streamed([one, other], Blend())
    np.testing.assert_allclose(stream("a", None)["mask"], (mean + second["a"]["mask"]) / 2, rtol=1e-5)
    np.testing.assert_allclose(streamed([one], Blend())("a", None)["mask"], mean, rtol=1e-6)
    most = streamed([one, other], Blend("max"))("a", None)["mask"]
    np.testing.assert_allclose(most, np.maximum(mean, second["a"]["mask"]), rtol=1e-6)


def test_27_checkpoints_are_one_geometric_mean(tmp_path):
    members, every = zip(*(member(tmp_path / f"{n}", n, folds=9) for n in range(3)), strict=True)
    result = streamed(list(members), Blend("geometric", floor=1e-6))("a", None)["label"]
    values = np.stack([fold["a"]["label"] for folds in every for fold in folds]).astype(np.float64)
    assert len(values) == 27
    np.testing.assert_allclose(result, np.exp(np.log(values).mean(axis=0)), rtol=1e-5)


def test_other_sizes_are_resized_to_that_of_the_first(tmp_path):
    """Sizes 224, 400 and 598 of one picture (Inclusive Images, 2nd place): a smooth map is the same at any size."""

    def ramp(side):
        places = (np.arange(side) + 0.5) / side
        return (0.1 + 0.8 * (places[None, :] + places[:, None]) / 2).astype(np.float32)[None]

    entries = [{"mask": ramp(side), "label": np.float32([0.5])} for side in (60, 45, 80)]
    result = Blend()(entries)
    assert result["mask"].shape == (1, 60, 60)
    np.testing.assert_allclose(result["mask"][:, 2:-2, 2:-2], ramp(60)[:, 2:-2, 2:-2], atol=0.01)
    with pytest.raises(ValueError, match=r"output 'label': members have the shapes \(1,\) and \(2,\)"):
        Blend()([{"label": np.zeros(1, np.float32)}, {"label": np.zeros(2, np.float32)}])
    with pytest.raises(ValueError, match="shapes"):
        Blend()([{"v": np.zeros((1, 4, 8, 8), np.float32)}, {"v": np.zeros((1, 5, 8, 8), np.float32)}])


def test_outputs_must_be_the_same_or_named():
    one = {"mask": np.zeros((1, 2, 2), np.float32), "ids": np.zeros((2, 2), np.int32)}
    other = {"mask": np.ones((1, 2, 2), np.float32)}
    with pytest.raises(ValueError, match=r"\['ids', 'mask'\] and \['mask'\].*--outputs"):
        Blend()([one, other])
    with pytest.raises(ValueError, match="output 'ids': int32 cannot be averaged"):
        Blend()([one, one])
    np.testing.assert_array_equal(Blend(outputs=["mask"])([one, other])["mask"], np.full((1, 2, 2), 0.5))


def test_every_rule_in_one_blend():
    random = np.random.default_rng(0)
    entries = [
        {"mask": random.random((2, 6, 5)).astype(np.float32), "label": random.random(4, np.float32)} for _ in range(3)
    ]
    for rule in ("mean", "weighted", "geometric", "harmonic", "logit", "median", "max", "vote", "union"):
        chosen = Blend(rule, outputs=["mask"] if rule == "union" else None)
        for name, array in chosen(entries).items():
            assert array.dtype == np.float32
            assert array.shape == entries[0][name].shape
            if rule in ("vote", "union"):
                assert set(np.unique(array)) <= {0, 1}
    softmax = [{"label": e["label"] / e["label"].sum()} for e in entries]
    assert Blend("geometric", softmax=["label"])(softmax)["label"].sum() == pytest.approx(1)
    assert Blend("geometric")(softmax)["label"].sum() < 0.99


def test_boxes_are_merged_by_their_own_rule():
    entries = [
        {"boxes": np.float32([[0, 0, 0.5, 0.5, 0.9, 1]]), "label": np.float32([0.2])},
        {"boxes": np.float32([[0, 0, 0.5, 0.6, 0.8, 1]]), "label": np.float32([0.4])},
    ]
    result = Blend(boxes=["boxes"])(entries)
    np.testing.assert_allclose(result["boxes"], [[0, 0, 0.5, 0.547, 0.85, 1]], atol=1e-4)
    assert result["label"] == pytest.approx(0.3)
    nothing = {"boxes": np.zeros((0, 6), np.float32), "label": np.float32([0.4])}
    assert Blend(boxes=["boxes"])([entries[0], nothing])["boxes"][0, 4] == pytest.approx(0.45)


def test_ranks_do_not_know_calibration(tmp_path):
    one, ((entries),) = member(tmp_path / "x", 0)
    cubed = {one: {name: array**3 for name, array in entry.items()} for one, entry in entries.items()}
    fill(tmp_path / "y" / "predictions" / "test", cubed)
    labels = Blend("rank", outputs=["label"])
    both, alone = streamed([one, Member(tmp_path / "y")], labels), streamed([one], labels)
    for image_id in IDS:
        np.testing.assert_allclose(both(image_id, None)["label"], alone(image_id, None)["label"], rtol=1e-6)
    assert sorted(float(alone(one, None)["label"][0]) for one in IDS) == pytest.approx([1 / 6, 1 / 2, 5 / 6])
    assert not labels.ranks  # the given blend is left as it was


# --- the store -------------------------------------------------------------------------------------------------------


def test_the_store_of_an_ensemble_is_a_store_and_goes_on(tmp_path):
    members = [member(tmp_path / name, seed)[0] for seed, name in enumerate("xy")]
    stream, store = streamed(members, Blend()), PredictionStore(tmp_path / "out")
    assert write(stream, store, lambda _: None, "f", "float32") == 3
    assert write(stream, PredictionStore(tmp_path / "out"), lambda _: None, "f", "float32") == 0
    opened = PredictionStore.open(tmp_path / "out")
    assert opened.ids() == IDS
    np.testing.assert_array_equal(opened.read("a")["mask"], stream("a", None)["mask"])
    # cut off after one image: the rest is written, that one is left alone
    store._file("a").unlink()
    before = store._file("c/2").stat().st_mtime_ns
    assert write(stream, store, lambda _: None, "f", "float32") == 1
    assert store._file("c/2").stat().st_mtime_ns == before
    assert write(stream, store, lambda _: None, "other", "float32") == 3


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_what_is_scored_is_what_the_store_gives_back(tmp_path, dtype):
    random = np.random.default_rng(0)
    entry = {
        "mask": random.random((2, 5, 7)).astype(np.float32),
        "label": random.random(3, np.float32),
        "grade": random.normal(size=(1, 4, 4)).astype(np.float32),
        "ids": np.arange(4).reshape(2, 2),
    }
    store = fill(tmp_path / "s", {"a": entry}, dtype=dtype)
    kept = as_stored(entry, dtype)
    for name, array in store.read("a").items():
        np.testing.assert_array_equal(kept[name], array)


def test_copies_share_their_labels_and_nothing_else(tmp_path):
    one, ((entries),) = member(tmp_path / "x", 0, ["a", "b", "c", "d"])
    table = {"image_id": list("abcd") + ["a"], "duplicate_group": ["a", "b", "a", "a", "a"], "split": ["t"] * 4 + ["u"]}
    pd.DataFrame(table).to_csv(tmp_path / "duplicates.csv", index=False)
    groups = read_groups(tmp_path / "duplicates.csv")
    assert groups == {"a": "a", "c": "a", "d": "a"}
    assert copies_among("abcd", groups) == [["a", "c", "d"], ["b"]]
    store = PredictionStore(tmp_path / "out")
    write(streamed([one], Blend()), store, lambda _: None, "f", "float32", groups)
    mean = np.mean([entries[x]["label"] for x in "acd"], axis=0)
    for image_id in "abcd":
        label = entries["b"]["label"] if image_id == "b" else mean
        np.testing.assert_allclose(store.read(image_id)["label"], label, rtol=1e-6)
        np.testing.assert_array_equal(store.read(image_id)["mask"], entries[image_id]["mask"])


def test_duplicates_files_that_do_not_fit(tmp_path):
    path = tmp_path / "duplicates.csv"
    with pytest.raises(ValueError, match="explore"):
        read_groups(path)
    path.write_text("image_id,group\na,b\n")
    with pytest.raises(ValueError, match="duplicate_group"):
        read_groups(path)
    path.write_text("image_id,duplicate_group\na,b\na,c\n")
    with pytest.raises(ValueError, match="'a' is in two groups"):
        read_groups(path)


def test_memory_does_not_grow_with_the_images(tmp_path):
    """One image of each member at a time: the peak for 40 images is that for 8."""

    def peak(count):
        ids = [f"{n:03}" for n in range(count)]
        members = []
        for name in "xyz":
            entry = {"mask": np.random.default_rng(0).random((1, 64, 64)).astype(np.float32)}
            fill(tmp_path / f"{name}{count}" / "predictions" / "test", dict.fromkeys(ids, entry), dtype="uint8")
            members.append(Member(tmp_path / f"{name}{count}"))
        stream = streamed(members, Blend("geometric"))
        stream(ids[0], None)
        tracemalloc.start()
        write(stream, PredictionStore(tmp_path / f"out{count}"), lambda _: None, "f")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(8), peak(40)
    assert many < few + 64 * 64 * 4 * 4  # less than one more image of float32 for each store
