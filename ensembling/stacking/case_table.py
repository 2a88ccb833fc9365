"""Case table of the Data Science Bowl 2017: a row per patient from the nodules that a detector found.

Julian de Wit (2nd place) used boosted trees on seven columns: the most malignant nodule at three magnifications of the
scan, its depth, and the amount of strange tissue. (His files call the malignancy `diameter_mm`.) He also used the
held-out part for early stopping, which makes predictions on it optimistic; that is left out here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from datamodules.matching import matched
from files.tables import numbers_of, read_csv

COLUMNS = ("mass", "mx_10", "mx_15", "mx_20", "crdz_10", "crdz_15", "crdz_20")
MAGNIFICATIONS = {1.0: "10", 1.5: "15", 2.0: "20"}
NODULES = ("magnification", "malignancy", "nodule_chance", "coord_z")
CHANCE = 0.5  # nodules up to this probability are ignored


@dataclass(frozen=True)
class Preset:
    """Second level of a winning solution.

    Attributes:
        model: class path of the model.
        arguments: arguments of the model.
        columns: features in order.
        folds: number of folds K; 5 leave out a fifth, as the winner's random splits did.
        repeats: number of repetitions; 200 times 5 folds are 1000 models, as many as the winner averaged.
        clip: probabilities are clipped to [clip, 1 - clip], as the log loss punishes certainty.
    """

    model: str
    arguments: dict[str, Any] = field(default_factory=dict)
    columns: tuple[str, ...] = COLUMNS
    folds: int = 5
    repeats: int = 200
    clip: float = 0.001


PRESETS = {
    "dsb2017": Preset(
        "xgboost.XGBRegressor",
        {
            "max_depth": 4,
            "n_estimators": 80,
            "learning_rate": 0.05,
            "min_child_weight": 60,
            "subsample": 0.95,
            "colsample_bytree": 0.95,
        },
    )
}


def read_case_table(
    nodules: Path | str, mass: Path | str | None, ids: Sequence[str], id_column: str = "image_id"
) -> pd.DataFrame:
    """Read the case table of patients.

    Args:
        nodules: path of a CSV with a row per nodule: the patient, `magnification` (1, 1.5 or 2, of the scan it was
            found in), `malignancy` and `coord_z` from the detector, `nodule_chance` in 0..1.
        mass: path of a CSV with a row per patient and the column `mass`, area of suspicious tissue; None: 0 for all.
        ids: ids of the patients, in the order of the result.
        id_column: column of the patient in both files.

    Returns:
        `COLUMNS`, `(N, 7)` float64. A patient without nodules has zeros, as in the winner's code.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing, a value is not a number, a magnification is none of the three, or the files
            have none of the patients; names the row.
    """
    table = _numbers(nodules, id_column, NODULES)
    strange = table[~table["magnification"].isin(MAGNIFICATIONS)]
    if len(strange):
        raise ValueError(
            f"{nodules}, row {strange.index[0] + 2}: magnification {strange['magnification'].iloc[0]:g}, expected "
            f"{', '.join(f'{one:g}' for one in MAGNIFICATIONS)}"
        )
    patients = pd.DataFrame({"image_id": list(ids)})
    table[id_column] = matched(table[id_column], patients, ".", f"{nodules}, --id_column {id_column}", others="ignore")
    masses = pd.Series(0.0, index=list(ids))
    if mass is not None:
        given = _numbers(mass, id_column, ("mass",))
        given[id_column] = matched(given[id_column], patients, ".", f"{mass}, --id_column {id_column}", True, "ignore")
        given = given[given[id_column].notna()]
        twice = given[given[id_column].duplicated()]
        if len(twice):
            raise ValueError(f"{mass}, row {twice.index[0] + 2}: patient {twice[id_column].iloc[0]!r} is repeated")
        masses = given.set_index(id_column)["mass"]
    return case_table(table.rename(columns={id_column: "patient"}), masses, ids)


def case_table(nodules: pd.DataFrame, mass: pd.Series, ids: Sequence[str]) -> pd.DataFrame:
    """Compute `COLUMNS` for each patient.

    Args:
        nodules: table `patient, magnification, malignancy, nodule_chance, coord_z`.
        mass: area of suspicious tissue by patient.
        ids: ids of the patients, in the order of the result.

    Returns:
        `mx_*`: highest malignancy of nodules with a chance above 0.5 at that magnification; `crdz_*`: z of that nodule
        (ties go to the first).
    """
    result = pd.DataFrame(0.0, index=list(ids), columns=list(COLUMNS))
    result["mass"] = mass.loc[list(ids)].to_numpy(float)
    counting = nodules[(nodules["nodule_chance"] > CHANCE) & (nodules["malignancy"] > 0)]
    worst = counting.sort_values("malignancy", ascending=False, kind="stable")
    worst = worst.drop_duplicates(["patient", "magnification"])
    worst = worst[worst["patient"].isin(set(ids))]
    for magnification, name in MAGNIFICATIONS.items():
        own = worst[worst["magnification"] == magnification].set_index("patient")
        result.loc[own.index, f"mx_{name}"] = own["malignancy"]
        result.loc[own.index, f"crdz_{name}"] = own["coord_z"]
    return result.reset_index(drop=True)


def _numbers(path: Path | str, id_column: str, columns: Sequence[str]) -> pd.DataFrame:
    """Read the id and number columns of a CSV."""
    table = read_csv(path)
    lacking = [name for name in (id_column, *columns) if name not in table]
    if lacking:
        raise ValueError(f"{path} has no column {lacking[0]!r}, found {list(table.columns)}")
    result = table[[id_column, *columns]].copy()
    for name in columns:
        result[name] = numbers_of(result[name], f"{path}, column {name}")
    return result
