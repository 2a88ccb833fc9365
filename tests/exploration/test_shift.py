"""Equal draws show no shift, unequal ones show which class and how far."""

import numpy as np
import pandas as pd
import pytest

from exploration.shift import compare_files, holm, label_shift, number_shift, read_labels


def draw(random: np.random.Generator, count: int, priors: dict[str, float]) -> list[list[str]]:
    """Multi-label samples with independent classes."""
    names = list(priors)
    present = random.random((count, len(names))) < np.array(list(priors.values()))
    return [[name for name, there in zip(names, row, strict=True) if there] for row in present]


PRIORS = {"nucleus": 0.5, "golgi": 0.2, "rods": 0.3, "rare": 0.01}


def test_two_draws_of_one_distribution_show_no_shift():
    alarms = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        shift = label_shift(draw(random, 1500, PRIORS), draw(random, 700, PRIORS))
        assert ("no shift" in shift.sentences[0]) == (shift.p >= 0.05) == (not shift.shifted)
        alarms += shift.shifted
    assert alarms <= 5  # 2 are expected at the level of 0.05


def test_equal_sets_have_p_1():
    samples = draw(np.random.default_rng(0), 500, PRIORS)
    shift = label_shift(samples, samples)
    assert shift.p == 1
    assert "no shift" in shift.sentences[0]
    assert shift.marginals_p == pytest.approx(1)


def test_a_halved_prior_is_flagged_with_name_and_ratio():
    random = np.random.default_rng(1)
    train, test = draw(random, 4000, PRIORS), draw(random, 4000, PRIORS | {"rods": 0.15})
    shift = label_shift(train, test)
    row = shift.rows.set_index("what").loc["class rods"]
    assert row["shifted"]
    assert row["effect"] == pytest.approx(0.5, abs=0.06)
    assert set(shift.rows.loc[shift.rows["shifted"], "what"]) <= {"class rods", "labels per sample"}
    assert any("class rods" in sentence and f"ratio {row['effect']:.2f}" in sentence for sentence in shift.sentences)
    assert shift.marginals_p < 0.001


def test_labels_per_sample_are_told_with_mean_and_max():
    random = np.random.default_rng(2)
    names = [str(number) for number in range(127)]
    train = [names[: int(n)] for n in np.minimum(random.geometric(1 / 4.1, 3000), 120)] + [names]
    test = [names[: int(n)] for n in np.clip(random.geometric(1 / 2.4, 3000), 1, 9)]
    shift = label_shift(train, test)
    means = [np.mean([len(sample) for sample in samples]) for samples in (train, test)]
    line = next(sentence for sentence in shift.sentences if sentence.startswith("labels per sample"))
    assert f"{means[0]:.3f} (max 127)" in line
    assert f"{means[1]:.3f} (max 9)" in line
    assert shift.rows.set_index("what").loc["labels per sample", "shifted"]


def test_a_class_that_one_side_lacks():
    shift = label_shift([["a"]] * 50 + [["b"]] * 50, [["a"]] * 50 + [["c"]] * 50)
    rows = shift.rows.set_index("what")
    assert rows.loc["class b", "effect"] == 0
    assert np.isinf(rows.loc["class c", "effect"])
    assert rows.loc[["class b", "class c"], "shifted"].all()
    assert "labels per sample" not in rows.index  # one each: nothing to compare


def test_numbers_by_kolmogorov_smirnov():
    random = np.random.default_rng(3)
    train = pd.DataFrame({"age": random.normal(50, 10, 800), "dose": random.normal(0, 1, 800), "only": 1.0})
    test = pd.DataFrame({"age": random.normal(56, 10, 500), "dose": random.normal(0, 1, 500)})
    test.loc[3, "dose"] = np.nan
    rows = number_shift(train, test).rows.set_index("what")
    assert rows["shifted"].to_dict() == {"age": True, "dose": False}
    assert rows.loc["age", "effect"] == pytest.approx(0.24, abs=0.08)  # 2 * Phi(0.3) - 1


def test_holm_is_between_raw_and_bonferroni_and_keeps_the_order():
    raw = np.array([0.04, 0.001, 0.03, 0.5])
    assert holm(raw) == pytest.approx([0.09, 0.004, 0.09, 0.5])
    assert holm([]).size == 0


def test_files(tmp_path):
    (tmp_path / "train.csv").write_text("Id,Target\n" + "".join(f"{n},0 25\n" for n in range(200)))
    (tmp_path / "test.csv").write_text("Id,Target\n" + "".join(f"{n},{n % 2}\n" for n in range(200)))
    shift = compare_files(tmp_path / "train.csv", tmp_path / "test.csv", "Target", " ")
    rows = shift.rows.set_index("what")
    assert rows.loc["class 0", ["train", "reference", "effect"]].tolist() == [1, 0.5, 0.5]
    assert rows.loc["class 25", "reference"] == 0
    with pytest.raises(ValueError, match="no column 'Label', expected one of Id, Target"):
        compare_files(tmp_path / "train.csv", tmp_path / "test.csv", "Label")


def test_a_row_per_class_is_put_together_by_id(tmp_path):
    (tmp_path / "a.csv").write_text("ImageID,LabelName\nx,/m/1\nx,/m/2\ny,/m/1\nz,\n")
    assert read_labels(tmp_path / "a.csv", "LabelName", id_column="ImageID") == [["/m/1", "/m/2"], ["/m/1"], []]
    assert read_labels(tmp_path / "a.csv", "LabelName") == [["/m/1"], ["/m/2"], ["/m/1"], []]


def test_decimals_are_numbers(tmp_path):
    random = np.random.default_rng(0)
    for name, mean in (("a", 0.0), ("b", 2.0)):
        pd.DataFrame({"y": random.normal(mean, 1, 100)}).to_csv(tmp_path / f"{name}.csv", index=False)
    shift = compare_files(tmp_path / "a.csv", tmp_path / "b.csv", "y")
    assert shift.rows["what"].tolist() == ["y"]
    assert shift.shifted


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ValueError, match="reference set has no samples"):
        label_shift([["a"]], [])
