"""Tests for shift between two datasets: labels, labels per sample, numeric columns."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from files.tables import read_csv

LEVEL = 0.05
SHIFT_COLUMNS = ["what", "train", "reference", "effect", "p", "shifted"]


@dataclass
class Shift:
    """Differences between a dataset and its reference.

    Args:
        rows: one per class, statistic or feature: `what`, its value in `train` and in `reference` (share of samples
            with the class; median of a number), `effect` (ratio reference / train of shares; Kolmogorov-Smirnov
            distance in 0..1 of numbers), `p` (adjusted by Holm over all rows), `shifted` (p below 0.05).
        sentences: summary for people, most important first; starts with the verdict.
        marginals_p: p of the chi-square test of all class counts together; None without classes.
    """

    rows: pd.DataFrame
    sentences: list[str]
    marginals_p: float | None = None

    @property
    def p(self) -> float:
        """Smallest adjusted p, which is the p of the whole comparison."""
        return float(self.rows["p"].min()) if len(self.rows) else 1.0

    @property
    def shifted(self) -> bool:
        """Whether any row is shifted."""
        return bool(self.rows["shifted"].any())


def holm(p: Sequence[float]) -> np.ndarray:
    """Apply Holm's step-down adjustment, which bounds the probability of any false positive among all rows."""
    values = np.asarray(p, float)
    order = np.argsort(values)
    adjusted = np.empty(len(values))
    adjusted[order] = np.maximum.accumulate(np.minimum(values[order] * np.arange(len(values), 0, -1), 1))
    return adjusted


def label_shift(train: Sequence[Sequence[str]], reference: Sequence[Sequence[str]]) -> Shift:
    """Compare the labels of two datasets: the share of samples with each class, and the number of labels per sample.

    Inclusive Images (2018) had 4.083 labels per training image, at most 127, and 2.386, at most 9, in the tuning set:
    thresholds had to be tuned on the latter. Each class is tested by chi-square on its 2 x 2 table (Fisher's exact test
    if an expected count is below 5), the number of labels by Kolmogorov-Smirnov, and all are adjusted by Holm.

    Args:
        train: classes of each sample; an empty list for none.
        reference: classes of each sample of the other dataset: test, validation, another site.

    Raises:
        ValueError: if a dataset has no samples.
    """
    from scipy.stats import chi2_contingency, fisher_exact, ks_2samp  # takes half a second, not needed by other verbs

    for name, samples in (("train", train), ("reference", reference)):
        if not len(samples):
            raise ValueError(f"{name} set has no samples, expected at least one")
    counts = [Counter(label for sample in samples for label in set(sample)) for samples in (train, reference)]
    sizes = [len(train), len(reference)]
    names = sorted(set(counts[0]) | set(counts[1]), key=lambda name: (-counts[0][name], _natural(name)))
    rows, raw = [], []
    for name in names:
        having = np.array([counts[0][name], counts[1][name]])
        table = np.stack([having, np.array(sizes) - having])
        shares = having / sizes
        expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
        if (table.sum(1) == 0).any():
            p = 1.0  # every sample of both sets has it
        else:
            p = (fisher_exact(table) if expected.min() < 5 else chi2_contingency(table)).pvalue
        ratio = shares[1] / shares[0] if shares[0] else np.inf
        rows.append((f"class {name}", shares[0], shares[1], ratio))
        raw.append(float(p))
    lengths = [np.array([len(set(sample)) for sample in samples]) for samples in (train, reference)]
    several = max(length.max() for length in lengths) > 1 or min(length.min() for length in lengths) < 1
    if several:
        test = ks_2samp(*lengths)
        rows.append(("labels per sample", lengths[0].mean(), lengths[1].mean(), test.statistic))
        raw.append(float(test.pvalue))
    frame = _frame(rows, raw)
    marginals = _marginals(np.array([[count[name] for name in names] for count in counts]))
    shift = Shift(frame, [], marginals)
    shift.sentences = [_verdict(shift, "labels"), *_label_sentences(frame, lengths, several)]
    return shift


def number_shift(train: pd.DataFrame, reference: pd.DataFrame, what: str = "numbers") -> Shift:
    """Compare common numeric columns of two tables by two-sided Kolmogorov-Smirnov tests, adjusted by Holm.

    Args:
        train: table with one row per sample; non-numeric values and NaN are ignored.
        reference: table of the other dataset.
        what: name of the numbers in the verdict.
    """
    from scipy.stats import ks_2samp

    rows, raw = [], []
    for column in [column for column in train if column in reference]:
        one, other = (pd.to_numeric(table[column], errors="coerce").dropna() for table in (train, reference))
        if not len(one) or not len(other):
            continue
        test = ks_2samp(one, other)
        rows.append((column, one.median(), other.median(), test.statistic))
        raw.append(float(test.pvalue))
    shift = Shift(_frame(rows, raw), [])
    shift.sentences = [_verdict(shift, what)]
    for row in shift.rows[shift.rows["shifted"]].sort_values("effect", ascending=False).head(5).itertuples():
        shift.sentences.append(
            f"{row.what}: median {row.train:.4g} against {row.reference:.4g} (distance {row.effect:.2f}, p {_p(row.p)})"
        )
    return shift


def _frame(rows: list[tuple], raw: list[float]) -> pd.DataFrame:
    adjusted = holm(raw)
    records = [(*row, p, bool(p < LEVEL)) for row, p in zip(rows, adjusted, strict=True)]
    return pd.DataFrame(records, columns=SHIFT_COLUMNS)


def _marginals(table: np.ndarray) -> float | None:
    """Return the chi-square p of the class counts `(2, K)`; classes too rare for the test are merged."""
    from scipy.stats import chi2_contingency

    table = table[:, table.sum(0) > 0]
    if not table.size or (table.sum(1) == 0).any():
        return None
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    rare = expected.min(0) < 5
    if rare.any():
        table = np.concatenate([table[:, ~rare], table[:, rare].sum(1, keepdims=True)], axis=1)
    return float(chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0


def _verdict(shift: Shift, what: str) -> str:
    if not len(shift.rows):
        return f"{what}: nothing to compare"
    count = int(shift.rows["shifted"].sum())
    if not count:
        return f"{what}: no shift (smallest adjusted p {_p(shift.p)} of {len(shift.rows)} tests)"
    return f"{what}: shift in {count} of {len(shift.rows)} (smallest adjusted p {_p(shift.p)})"


def _label_sentences(frame: pd.DataFrame, lengths: list[np.ndarray], several: bool) -> list[str]:
    sentences = []
    if several:
        one, other = lengths
        shifted = bool(frame.loc[frame["what"] == "labels per sample", "shifted"].item())
        sentences.append(
            f"labels per sample: {one.mean():.3f} (max {one.max()}) in train against {other.mean():.3f} "
            f"(max {other.max()}) in reference" + (": tune thresholds on data like the reference" if shifted else "")
        )
    classes = frame[frame["shifted"] & frame["what"].str.startswith("class ")]
    far = classes.assign(far=np.abs(np.log(classes["effect"].clip(1e-6, 1e6)))).sort_values("far", ascending=False)
    for row in far.head(10).itertuples():
        sentences.append(
            f"{row.what}: {row.train:.1%} of train against {row.reference:.1%} of reference, "
            f"ratio {row.effect:.2f} (p {_p(row.p)})"
        )
    if len(far) > 10:
        sentences.append(f"and {len(far) - 10} more classes")
    return sentences


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "below 0.0001"


def _natural(name: str) -> tuple:
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


# --- from files ------------------------------------------------------------------------------------------------------


def read_labels(
    path: Path | str, column: str, separator: str | None = None, id_column: str | None = None
) -> list[list[str]]:
    """Read the classes of each sample from a CSV.

    Args:
        path: path of the CSV.
        column: column of the labels.
        separator: separator of the classes in a field (default: a field is one class).
        id_column: column of the sample id, for a CSV with one row per class; rows with equal ids are merged (default:
            each row is a sample).

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the column is missing, or there are no rows.
    """
    rows = read_csv(path)
    for name in (column, id_column):
        if name is not None and name not in rows:
            raise ValueError(f"{path} has no column {name!r}, expected one of {', '.join(rows.columns)}")
    if not len(rows):
        raise ValueError(f"{path} has no rows")
    fields = rows[column].str.strip()
    parts = [[part.strip() for part in text.split(separator) if part.strip()] if separator else
             [text] if text else [] for text in fields]  # fmt: skip
    if id_column is None:
        return parts
    samples: dict[str, list[str]] = {}
    for sample, labels in zip(rows[id_column], parts, strict=True):
        samples.setdefault(sample, []).extend(labels)
    return list(samples.values())


def compare_files(
    train: Path | str,
    reference: Path | str,
    column: str,
    separator: str | None = None,
    id_column: str | None = None,
) -> Shift:
    """Compare a label column of two CSVs; a column with decimal numbers is compared as numbers."""
    sets = [read_labels(path, column, separator, id_column) for path in (train, reference)]
    if (
        separator is None
        and all(_decimal(samples) for samples in sets)
        and any(not float(label).is_integer() for samples in sets for sample in samples for label in sample)
    ):
        frames = [pd.DataFrame({column: [sample[0] for sample in samples if sample]}) for samples in sets]
        return number_shift(*frames, what=column)
    return label_shift(*sets)


def _decimal(samples: list[list[str]]) -> bool:
    labels = pd.Series([label for sample in samples for label in sample], dtype=str)
    return len(labels) > 0 and bool(pd.to_numeric(labels, errors="coerce").notna().all())
