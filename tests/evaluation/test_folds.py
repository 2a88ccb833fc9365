"""Folds by classes, groups, lists of labels, areas and quotas, and the file they are kept in."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.cross_validation import CrossValidation
from evaluation.folds import folds_hash, make_folds, read_folds, write_folds
from evaluation.splits import validation_quota


def table(count, **columns):
    return pd.DataFrame({"image_id": [f"{number:05d}" for number in range(count)], **columns})


def settings_of(**values):
    return CrossValidation(**{"duplicates": False} | values)


def never_split(folds, column):
    assert folds.groupby(np.asarray(column))["fold"].nunique().max() == 1


def shares(folds, indicator):
    """`(k, L)`: share of each label in each fold."""
    counts = np.stack([np.asarray(indicator)[folds["fold"] == fold].sum(0) for fold in range(folds["fold"].max() + 1)])
    return counts / counts.sum(0)


def label_lists(count, seed=0, labels=6, separator=" "):
    """Lists of labels, the rarest about 2 % of the images; and which image has which."""
    random = np.random.default_rng(seed)
    indicator = random.random((count, labels)) < np.geomspace(0.4, 0.02, labels)
    return [separator.join(str(n) for n in np.flatnonzero(row)) for row in indicator], indicator


def test_five_folds_unless_told_otherwise():
    folds = make_folds(table(103), settings_of())
    assert sorted(folds["fold"].value_counts()) == [20, 20, 21, 21, 21]
    assert (folds["group"] == folds["image_id"]).all()


def test_stratified_folds_hold_equal_shares():
    random = np.random.default_rng(0)
    labels = random.choice(["a", "b", "c"], 400, p=[0.8, 0.15, 0.05])
    folds = make_folds(table(400, label=labels), settings_of(stratify="label"))
    counts = pd.crosstab(folds["fold"], labels)
    assert (counts.max() - counts.min()).max() <= 1


def test_groups_stay_together_and_shares_bounded():
    random = np.random.default_rng(1)
    patients = random.integers(0, 120, 600)
    labels = np.where(patients % 4 == 0, "ill", "well")
    folds = make_folds(table(600, patient=patients, label=labels), settings_of(stratify="label", group="patient"))
    never_split(folds, patients)
    ill = pd.crosstab(folds["fold"], labels)["ill"] / (labels == "ill").sum()
    assert ill.max() - ill.min() < 0.05


def test_several_group_columns_join():
    patients, sites = [0, 0, 1, 2, 3, 4, 5, 6], ["x", "y", "y", "z", "z", "v", "w", "u"]
    folds = make_folds(table(8, patient=patients, site=sites), settings_of(k=3, group=["patient", "site"]))
    never_split(folds, patients)
    never_split(folds, sites)
    assert folds["group"].tolist() == ["00000"] * 3 + ["00003"] * 2 + ["00005", "00006", "00007"]


def test_duplicates_join_groups():
    pixels = ["a", "b", "c", "a", "d", "e", "f", "g"]
    patients = [0, 0, 1, 2, 2, 3, 4, 5]
    folds = make_folds(table(8, patient=patients, pixels=pixels), CrossValidation(k=2, group="patient"))
    never_split(folds, patients)
    never_split(folds, pixels)


def test_images_without_a_group_are_told():
    with pytest.warns(UserWarning, match="2 images have no value in 'patient'"):
        folds = make_folds(table(9, patient=["", "", *"abcdefg"]), settings_of(k=3, group="patient"))
    assert folds["fold"][0] == folds["fold"][1]


@pytest.mark.parametrize("separator", [" ", "|"])
def test_lists_of_labels_are_spread(separator):
    texts, indicator = label_lists(1000, separator=separator)
    folds = make_folds(table(1000, labels=texts), settings_of(stratify="labels", separator=separator))
    found = shares(folds, indicator)
    assert np.abs(found - 0.2).max() < 0.06
    empty = ~indicator.any(1)
    assert np.abs(shares(folds, empty[:, None]) - 0.2).max() < 0.02
    plain = make_folds(table(1000), settings_of())
    assert np.abs(shares(plain, indicator) - 0.2).max() > np.abs(found - 0.2).max()


def test_lists_of_labels_with_groups():
    texts, indicator = label_lists(1000)
    random = np.random.default_rng(3)
    slides = random.integers(0, 200, 1000)
    rows = table(1000, labels=texts, slide=slides)
    folds = make_folds(rows, settings_of(stratify="labels", separator=" ", group="slide"))
    never_split(folds, slides)
    # within one image and a half of the rarest label, and 3 % of all images
    assert (np.abs(shares(folds, indicator) - 0.2) * indicator.sum(0) < np.maximum(1.5, 0.02 * indicator.sum(0))).all()
    assert np.abs(shares(folds, np.ones((1000, 1))) - 0.2).max() < 0.03
    again = make_folds(rows, settings_of(stratify="labels", separator=" ", group="slide"))
    pd.testing.assert_frame_equal(folds, again)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(8, 60))
def test_grouped_lists_for_any_table(seed, k, groups):
    texts, _ = label_lists(150, seed)
    slides = np.random.default_rng(seed).integers(0, groups, 150)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if len(np.unique(slides)) < k:
            return
        folds = make_folds(
            table(150, labels=texts, slide=slides),
            settings_of(k=k, stratify="labels", separator=" ", group="slide", seed=seed),
        )
    never_split(folds, slides)
    assert set(folds["fold"]) == set(range(k))


def test_area_bins_with_empty_masks_apart():
    random = np.random.default_rng(0)
    areas = np.where(random.random(500) < 0.6, 0, random.lognormal(6, 2, 500).astype(int) + 1)
    folds = make_folds(table(500, area=areas), settings_of(stratify="area"))
    empty = shares(folds, (areas == 0)[:, None])
    assert np.abs(empty - 0.2).max() < 0.01
    filled = areas[areas > 0]
    for low, high in zip([0, 0.2, 0.4, 0.6, 0.8], [0.2, 0.4, 0.6, 0.8, 1], strict=True):
        inside = (areas > 0) & (areas >= np.quantile(filled, low)) & (areas <= np.quantile(filled, high))
        assert np.abs(shares(folds, inside[:, None]) - 0.2).max() < 0.06
    assert max(areas[folds["fold"] == fold].mean() for fold in range(5)) < 2.5 * areas.mean()


def test_bins_of_any_column_of_text():
    depths = [str(number) for number in range(99)] + [""]
    with (
        pytest.warns(UserWarning, match=r"2 values of 'z'.*'0'"),
        pytest.warns(UserWarning, match="1 images have no value in 'z'"),
    ):
        folds = make_folds(table(100, z=depths), settings_of(k=2, stratify="z", bins=4))
    means = pd.to_numeric(pd.Series(depths)).groupby(folds["fold"]).mean()
    assert abs(means[0] - means[1]) < 8
    with pytest.raises(ValueError, match=r"expects numbers, image '00001' has 'deep' in 'z'"):
        make_folds(table(4, z=["1", "deep", "2", "3"]), settings_of(k=2, stratify="z", bins=2))


# --- the non-uniform division ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "quota"),
    [
        (9, 0), (49, 4), (50, 2), (99, 4), (100, 2), (999, 19), (1_000, 10), (9_999, 99), (10_000, 20), (99_999, 199),
        (100_000, 100), (250_000, 250),
    ],
)  # fmt: skip
def test_quota_at_the_breakpoints(size, quota):
    assert validation_quota(size) == quota


def test_single_labels_meet_their_quota_exactly():
    sizes = {"a": 8, "b": 49, "c": 50, "d": 99, "e": 100, "f": 999, "g": 1_000, "h": 9_999, "i": 10_000}
    labels = np.repeat(list(sizes), list(sizes.values()))
    np.random.default_rng(0).shuffle(labels)
    folds = make_folds(table(len(labels), label=labels), settings_of(kind="nonuniform", stratify="label"))
    assert set(folds["fold"]) == {0, -1}
    held = pd.Series(labels)[folds["fold"] == 0].value_counts()
    assert {label: int(held.get(label, 0)) for label in sizes} == {k: validation_quota(n) for k, n in sizes.items()}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_every_label_of_a_list_meets_its_quota(seed, grouped):
    texts, indicator = label_lists(1_500, seed)
    columns = {"slide": np.random.default_rng(seed).integers(0, 500, 1_500)} if grouped else {}
    cv = settings_of(kind="nonuniform", stratify="labels", separator=" ", seed=seed, group="slide" if grouped else None)
    folds = make_folds(table(1_500, labels=texts, **columns), cv)
    held = indicator[folds["fold"] == 0].sum(0)
    quotas = [validation_quota(int(size)) for size in indicator.sum(0)]
    assert (held >= quotas).all()
    assert (held < indicator.sum(0)).all()
    assert held.sum() <= 3 * sum(quotas) + 30
    if grouped:
        never_split(folds, columns["slide"])


def test_a_class_in_one_group_stays_in_training():
    labels = ["rare"] * 20 + ["common"] * 80
    groups = ["one"] * 20 + [f"g{number}" for number in range(80)]
    with pytest.warns(UserWarning, match="'rare' 0 of 2"):
        folds = make_folds(
            table(100, label=labels, site=groups), settings_of(kind="nonuniform", stratify="label", group="site")
        )
    assert (folds["fold"][:20] == -1).all()
    assert (folds["fold"] == 0).sum() == validation_quota(80)


def test_classes_too_small_for_any_quota():
    with pytest.raises(ValueError, match=r"the largest has 9.*kfold"):
        make_folds(table(18, label=list("ab" * 9)), settings_of(kind="nonuniform", stratify="label"))


# --- given, external rows, repetitions -------------------------------------------------------------------------------


def test_the_authors_division():
    folds = make_folds(table(4, given=[True, False, False, True]), settings_of(kind="given"))
    assert folds["fold"].tolist() == [0, -1, -1, 0]
    named = make_folds(table(3, split=["train", "VAL", "train"]), settings_of(kind="given", given="split"))
    assert named["fold"].tolist() == [-1, 0, -1]
    numbered = make_folds(table(4, part=["2", "0", "1", "-1"]), settings_of(kind="given", given="part"))
    assert numbered["fold"].tolist() == [2, 0, 1, -1]


@pytest.mark.parametrize(
    ("columns", "cv", "message"),
    [
        ({"given": ["train", "x", "val"]}, {}, "image '00001' has 'x'"),
        ({"given": ["train", "train", "train"]}, {}, "puts no image in a validation fold"),
        ({"given": [0, 1, 1], "patient": [5, 5, 6]}, {"group": "patient"}, r"splits 1 groups.*'00000', '00001'"),
        ({}, {}, "names column 'given'"),
    ],
)
def test_a_given_division_that_cannot_be(columns, cv, message):
    with pytest.raises(ValueError, match=message):
        make_folds(table(3, **columns), settings_of(kind="given", **cv))


def test_rows_from_elsewhere_are_never_validated_alone():
    source = ["train"] * 6 + ["external"] * 3
    patient = [0, 1, 2, 3, 4, 5, 0, 7, 8]
    folds = make_folds(table(9, source=source, patient=patient), settings_of(k=3, group="patient"))
    assert folds["fold"].tolist()[7:] == [-1, -1]
    assert folds["fold"][6] == folds["fold"][0]
    assert sorted(folds["fold"][:6]) == [0, 0, 1, 1, 2, 2]


def test_repetitions_are_other_shuffles_of_the_seed():
    rows = table(60, label=list("ab" * 30))
    made = [make_folds(rows, settings_of(stratify="label", repeat=repeat)) for repeat in (0, 1, 2, 1)]
    hashes = [folds_hash(folds) for folds in made]
    assert len(set(hashes)) == 3
    assert hashes[1] == hashes[3]
    assert all((pd.crosstab(folds["fold"], rows["label"]) == 6).all().all() for folds in made)


# --- bad settings and files ------------------------------------------------------------------------------------------


def test_rare_classes_are_told():
    with pytest.warns(UserWarning, match=r"1 values of 'label' have fewer images than there are folds.*'rare'"):
        make_folds(table(30, label=["rare"] * 2 + list("ab" * 14)), settings_of(stratify="label"))
    texts = ["9", "9", *["0 1", "1"] * 14]
    with pytest.warns(UserWarning, match="'9'"):
        make_folds(table(30, label=texts), settings_of(stratify="label", separator=" "))


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ({"separator": " "}, "cv.separator requires cv.stratify"),
        ({"kind": "nonuniform"}, "cv.kind nonuniform requires cv.stratify"),
        ({"stratify": "label", "bins": 1}, "cv.bins is 1"),
        ({"stratify": "label", "bins": 3, "separator": " "}, "one of them"),
        ({"stratify": "label", "separator": ""}, "separator is empty"),
        ({"k": 1}, "cv.k is 1"),
        ({"k": 21}, "only 20 separate"),
        ({"group": ["label", "patient"]}, "names column 'patient'"),
        ({"group": "label", "k": 3}, "only 2 separate"),
        ({"duplicates": True}, "names column 'pixels'"),
    ],
)
def test_settings_that_cannot_be(cv, message):
    with pytest.raises(ValueError, match=message):
        make_folds(table(20, label=list("ab" * 10)), settings_of(**cv))


def test_the_file_comes_back(tmp_path):
    texts, _ = label_lists(300)
    cv = settings_of(kind="nonuniform", stratify="labels", separator=" ")
    folds = make_folds(table(300, labels=texts), cv)
    write_folds(folds, tmp_path / "folds.csv")
    again = read_folds(tmp_path / "folds.csv")
    pd.testing.assert_frame_equal(again, folds, check_dtype=False)
    assert again.attrs["grouped"]
    assert folds_hash(again) == folds_hash(folds.sample(frac=1, random_state=0))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,-2,a\n", "row 2: fold is '-2'"),
        ("a,0,a\nb,x,b\n", "row 3: fold is 'x'"),
        ("a,0,a\na,1,a\n", "row 3: image 'a' is repeated"),
        ("a,0,g\nb,-1,g\n", r"the first is 'g': a in fold 0, b in fold -1"),
        ("a,-1,a\nb,-1,b\n", "never validated"),
    ],
)
def test_hand_made_files_that_cannot_be(tmp_path, rows, message):
    (tmp_path / "folds.csv").write_text("image_id,fold,group\n" + rows)
    with pytest.raises(ValueError, match=message):
        read_folds(tmp_path / "folds.csv")
