"""Formats with classes take the class names of the data."""

from pathlib import Path

import numpy as np
import pytest

from datamodules.plain import ImageData
from datamodules.targets import Foreground, Labels
from evaluation import FBeta
from evaluation.cross_validation import CrossValidation
from experiments.configuration import OfflineConfig
from submissions import Boxes, ClassColumns, ClassRows, ClassRunLengths, RunLengths
from submissions import Labels as LabelLists
from submissions.competition import Competition


def config_of(submission, classes=("fish", "sugar"), targets=None):
    data = ImageData("data", "*.png", targets or [Foreground()], classes=None if classes is None else list(classes))
    return OfflineConfig(
        Path("runs"), data, Competition(FBeta(), submission=submission), CrossValidation(), [], None, None
    )


@pytest.mark.parametrize(
    ("kind", "prediction"),
    [
        (ClassColumns, {"label": np.array([0.25, 0.5], np.float32)}),
        (ClassRows, {"label": np.array([0.25, 0.5], np.float32)}),
        (ClassRunLengths, {"mask": np.eye(4, dtype=bool)[None].repeat(2, 0)}),
        (LabelLists, {"label": np.array([False, True])}),
        (Boxes, {"boxes": np.array([[1, 2, 3, 4, 0.5, 1]])}),
    ],
)
def test_a_format_writes_the_names_of_the_data_as_if_they_were_its_own(kind, prediction):
    made, own = config_of(kind()).submission(), kind(classes=["fish", "sugar"])
    assert made.rows("a", prediction) == own.rows("a", prediction)
    assert made.columns == own.columns
    assert "sugar" in str(made.columns) + str(made.rows("a", prediction))


def test_names_come_from_the_targets_too():
    made = config_of(ClassColumns(), None, [Labels("kind", classes=["fish", "sugar"])]).submission()
    assert made.columns == ("image_name", "fish", "sugar")


def test_own_classes_stay():
    assert config_of(ClassColumns(classes=["a", "b"])).submission().classes == ["a", "b"]
    assert not hasattr(config_of(RunLengths()).submission(), "classes")
    assert config_of(Boxes(), ["opacity"]).submission().classes is None  # one class is not written


def test_no_names_anywhere_are_told():
    with pytest.raises(ValueError, match="ClassColumns: classes is not set, and the targets do not name their classes"):
        config_of(ClassColumns(), None).submission()


@pytest.mark.parametrize(("made", "names"), [(LabelLists(), ["a b", "c"]), (Boxes(), ["a b", "c"])])
def test_a_name_that_the_format_cannot_write_is_told(made, names):
    with pytest.raises(ValueError, match="class 'a b'"):
        config_of(made, names).submission()
