"""Columns of every kind to divide by, and folds of groups that hold as many images."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold

from evaluation.cross_validation import CrossValidation
from evaluation.folds import folds_hash, make_folds
from evaluation.splits import shuffled


def table(count, **columns):
    return pd.DataFrame({"image_id": [f"{number:05d}" for number in range(count)], **columns})


def settings_of(**values):
    return CrossValidation(**{"duplicates": False} | values)


def test_groups_of_very_different_sizes_give_equal_folds():
    patients = np.repeat(np.arange(20), [100] * 4 + [1] * 16)
    rows = table(416, patient=patients)
    made = [make_folds(rows, settings_of(k=4, group="patient", seed=seed)) for seed in range(5)]
    assert all(folds["fold"].value_counts().tolist() == [104] * 4 for folds in made)
    assert len({folds_hash(folds) for folds in made}) == 5


def test_repetitions_of_groups_are_other_folds_as_even():
    patients = np.repeat(np.arange(40), np.arange(1, 41))
    rows = table(820, patient=patients, label=np.where(patients % 3 == 0, "ill", "well"))
    for stratify in (None, "label"):
        cv = [settings_of(group="patient", stratify=stratify, repeat=repeat) for repeat in range(4)]
        made = [make_folds(rows, one) for one in cv]
        assert len({folds_hash(folds) for folds in made}) == 4
        for folds in made:
            counts = pd.crosstab(folds["fold"], rows["label"])
            assert np.ptp(counts.sum(axis=1)) <= 4
            if stratify:
                assert (counts.max() - counts.min()).max() <= 4
            assert folds.groupby(patients)["fold"].nunique().max() == 1


def test_copies_in_groups_count_as_images():
    """Equal pixels join patients, and what they join is one group of their sizes."""
    patients = np.repeat(np.arange(24), 10)
    pixels = [f"p{number}" for number in range(240)]
    pixels[0], pixels[10], pixels[20] = "same", "same", "same"  # three patients are one
    folds = make_folds(table(240, patient=patients, pixels=pixels), CrossValidation(k=8, group="patient"))
    assert folds["fold"].value_counts().tolist() == [30] * 8
    assert folds.groupby(folds["group"])["fold"].nunique().max() == 1


def test_images_from_elsewhere_do_not_count_in_the_size_of_a_group():
    """Only the competition's images are validated, so only they are balanced."""
    patients = np.repeat(np.arange(12), 10)
    source = ["train"] * 120
    more = table(200, patient=[0] * 100 + [1] * 100)
    rows = pd.concat([table(120, patient=patients, source=source), more.assign(source="other")], ignore_index=True)
    rows["image_id"] = [f"{number:05d}" for number in range(320)]
    folds = make_folds(rows, settings_of(k=4, group="patient"))
    assert folds["fold"][:120].value_counts().tolist() == [30] * 4


# --- columns of every kind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", [None, "patient"])
@pytest.mark.parametrize("gap", [np.nan, None, "", "  ", pd.NA])
def test_a_gap_is_a_class_of_its_own_and_told(gap, group):
    labels = pd.Series(["a", "b", gap, "a"] * 20, dtype=object)
    rows = table(80, label=labels, patient=np.arange(80) // 2 if group else np.arange(80))
    with pytest.warns(UserWarning, match="20 images have no value in 'label'; they form a class of their own"):
        folds = make_folds(rows, settings_of(k=4, stratify="label", group=group))
    for own in ([0, 3], [1], [2]):
        inside = folds["fold"][np.isin(np.arange(80) % 4, own)].value_counts()
        assert np.ptp(inside) <= (2 if group else 0)


@pytest.mark.parametrize("separator", [None, " "])
@pytest.mark.parametrize("group", [None, "patient"])
@pytest.mark.parametrize(
    "values",
    [
        ["one"] * 60,
        [7] * 60,
        [True] * 60,
        [True, False, False] * 20,
        [1, "1", 2.5, "b"] * 15,
        [1.0, np.nan, 2.0] * 20,
        [" a", "a ", "b"] * 20,
        [f"only {number}" for number in range(60)],
        np.linspace(0, 1, 60),
        pd.Categorical(["x", "y", None] * 20),
        pd.array([True, False, None] * 20, dtype="boolean"),
        pd.array([1, 2, None] * 20, dtype="Int64"),
        pd.to_datetime(["2018-01-01", "2019-01-01", None] * 20),
        [None] * 60,
    ],
    ids=[
        *("constant", "number", "true", "booleans", "mixed", "gaps", "blanks", "each once", "many numbers"),
        *("category", "boolean", "integer", "dates", "nothing"),
    ],
)
def test_any_column_can_be_stratified_by(values, group, separator):
    rows = table(60, label=values, patient=np.arange(60) // 3 if group else np.arange(60))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        folds = make_folds(rows, settings_of(k=4, stratify="label", group=group, separator=separator))
    sizes = folds["fold"].value_counts()
    assert sorted(sizes.index) == [0, 1, 2, 3]
    assert sizes.max() <= (18 if group or separator else 16)


@pytest.mark.parametrize("group", [None, "patient"])
def test_one_label_everywhere(group):
    rows = table(60, labels=["cell"] * 60, patient=np.arange(60) // 3)
    folds = make_folds(rows, settings_of(k=5, stratify="labels", separator=" ", group=group))
    assert folds["fold"].value_counts().tolist() == [12] * 5


def test_spaces_around_a_class_are_no_class():
    folds = make_folds(table(40, label=["a", "a "] * 20), settings_of(k=4, stratify="label"))
    assert folds["fold"].value_counts().tolist() == [10] * 4


def test_numbers_of_many_values_point_to_bins():
    rows = table(60, age=np.linspace(20, 80, 60))
    with pytest.warns(UserWarning, match=r"60 values of 'age' have fewer .*cv\.bins cuts numbers into classes"):
        make_folds(rows, settings_of(stratify="age"))
    folds = make_folds(rows, settings_of(stratify="age", bins=4))
    means = rows["age"].groupby(folds["fold"]).mean()
    assert np.ptp(means) < 10


@pytest.mark.parametrize("columns", [{}, {"stratify": "label"}, {"stratify": "label", "separator": " "}])
@pytest.mark.parametrize("group", [None, "patient"])
def test_fewer_images_or_groups_than_folds(columns, group):
    rows = table(12 if group else 3, label=["a b"] * (12 if group else 3), patient=np.arange(12 if group else 3) % 3)
    with pytest.raises(ValueError, match="cv.k is 5, but there are only 3 separate images or groups"):
        make_folds(rows, settings_of(k=5, group=group, **columns))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from(["size", "area", "labels"]))
def test_groups_with_sizes_areas_and_lists(seed, k, stratify):
    random = np.random.default_rng(seed)
    patients = np.repeat(np.arange(30), np.ceil(random.lognormal(1, 1, 30)).astype(int))
    count = len(patients)
    rows = table(
        count,
        patient=patients,
        size=random.choice(["512x512", "520x696", "1024x1024"], count),
        area=np.where(random.random(count) < 0.5, 0, random.lognormal(6, 2, count).astype(int)),
        labels=[" ".join(str(n) for n in np.flatnonzero(random.random(5) < 0.3)) for _ in range(count)],
    )
    separator = " " if stratify == "labels" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        folds = make_folds(rows, settings_of(k=k, group="patient", stratify=stratify, separator=separator, seed=seed))
        alone = make_folds(rows, settings_of(k=k, group="patient", seed=seed))
    assert folds.groupby(patients)["fold"].nunique().max() == 1
    assert folds["fold"].value_counts().max() <= 1.1 * alone["fold"].value_counts().max() + 1e-9


@pytest.mark.parametrize("gap", [np.nan, ""])
def test_the_nonuniform_division_of_a_column_with_gaps(gap):
    labels = pd.Series(["a"] * 100 + ["b"] * 100 + [gap] * 100, dtype=object)
    with pytest.warns(UserWarning, match="100 images have no value"):
        folds = make_folds(table(300, label=labels), settings_of(kind="nonuniform", stratify="label"))
    assert [(folds["fold"][start : start + 100] == 0).sum() for start in (0, 100, 200)] == [2, 2, 2]


@given(k=st.integers(2, 6), more=st.integers(0, 40), seed=st.integers(0, 10**6))
def test_shuffled_folds_are_those_of_scikit_learn(k, more, seed):
    expected = np.empty(k + more, int)
    for fold, (_, held) in enumerate(KFold(k, shuffle=True, random_state=seed).split(expected)):
        expected[held] = fold
    np.testing.assert_array_equal(shuffled(k + more, k, seed), expected)
