"""Feature tables for second-level models: out-of-fold probabilities of several experiments, columns of CSVs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from datamodules.matching import matched
from ensembling.blend import Blend
from ensembling.members import MemberSplit
from files.tables import read_csv


@dataclass(frozen=True)
class Table:
    """Rows of features, each of an image.

    Attributes:
        names: names of the features, F.
        values: features `(R, F)` float32; NaN for an empty cell of a CSV.
        owner: index of the image of each row, `(R,)`, ascending. Rows of one image stay in one fold.
        images: number of images; some may have no row.
    """

    names: list[str]
    values: np.ndarray
    owner: np.ndarray
    images: int

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.owner), len(self.names)):
            raise ValueError(
                f"values are {self.values.shape}, expected ({len(self.owner)}, {len(self.names)}) for "
                f"{len(self.owner)} rows of {len(self.names)} features"
            )


def labels_of(paths: Sequence[Path]) -> list[str]:
    """Names of members in feature names: their folder, with as many parents as make it unique.

    Raises:
        ValueError: a member is repeated.
    """
    parts = [path.resolve().parts for path in paths]
    twice = next((path for path, own in zip(paths, parts, strict=True) if parts.count(own) > 1), None)
    if twice is not None:
        raise ValueError(f"member {twice} is repeated; give it once")
    depth = 1
    while len({own[-depth:] for own in parts}) < len(parts):
        depth += 1
    return ["/".join(own[-depth:]) for own in parts]


def outputs_of(part: MemberSplit, image_id: str, wanted: Sequence[str] | None = None) -> list[str]:
    """Image-level outputs of a member: float arrays `(C,)`, in alphabetical order.

    Args:
        part: predictions of the member for a split.
        image_id: id of an image; all others have the same outputs.
        wanted: names of the outputs to use; None: all.

    Raises:
        ValueError: there are none; lists the outputs.
    """
    entry = part.holders[image_id][0].read(image_id)
    flat = sorted(name for name, array in entry.items() if array.ndim == 1 and array.dtype.kind == "f")
    taken = [name for name in flat if wanted is None or name in wanted]
    if not taken:
        what = f"none of the outputs {list(wanted)}" if wanted is not None else "no image-level probabilities (C,)"
        listed = ", ".join(f"{name} {array.shape}" for name, array in sorted(entry.items()))
        raise ValueError(
            f"{part.member.path} has {what}, only {listed}; for a second level on maps use `ensemble`, on objects "
            "--mode objects"
        )
    return taken


def read_outputs(part: MemberSplit, ids: Sequence[str], outputs: Sequence[str]) -> dict[str, np.ndarray]:
    """Read image-level outputs of a member, averaged over its folds.

    Returns:
        Outputs `(N, C)` float32 by name, in the order of `ids`.

    Raises:
        ValueError: images differ in the number of classes.
    """
    merge = Blend("mean").of_runs
    rows: dict[str, list[np.ndarray]] = {name: [] for name in outputs}
    for image_id in ids:
        entry = part.entry(image_id, merge, list(outputs))
        for name in outputs:
            if rows[name] and entry[name].shape != rows[name][0].shape:
                raise ValueError(
                    f"output {name!r} of image {image_id!r} in {part.member.path} is {entry[name].shape}, expected "
                    f"{rows[name][0].shape} as for {ids[0]!r}; predict again, or select others with --outputs"
                )
            rows[name].append(entry[name])
    return {name: np.stack(values).astype(np.float32) for name, values in rows.items()}


def feature_table(members: dict[str, dict[str, np.ndarray]], extra: pd.DataFrame | None, images: int) -> Table:
    """Table with a row per image: probabilities of every member, then the extra columns.

    Args:
        members: outputs `(N, C)` by member and output name.
        extra: further columns with a row per image in the same order.
        images: number of images N.

    Returns:
        Features `<member>.<output>.<class>`, and the extra columns under their own names.
    """
    names: list[str] = []
    columns: list[np.ndarray] = [np.zeros((images, 0), np.float32)]
    for member, outputs in members.items():
        for output, values in outputs.items():
            names += [f"{member}.{output}.{number}" for number in range(values.shape[1])]
            columns.append(values)
    if extra is not None:
        names += [str(name) for name in extra]
        columns.append(extra.to_numpy(np.float32))
    if not names:
        raise ValueError("found no features; give members, or --features FILE.csv")
    return Table(names, np.concatenate(columns, axis=1).astype(np.float32), np.arange(images), images)


def extra_columns(
    path: Path | str, ids: Sequence[str], id_column: str = "image_id", columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read number columns of a CSV with a row per image.

    Args:
        path: path of the CSV.
        ids: image ids, in the order of the result.
        id_column: column of the image id; suffixes such as `.jpg` are allowed.
        columns: names of the columns, in order (default: all).

    Returns:
        `(N, F)` float64; an empty cell is NaN, which boosted trees accept and linear models do not.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing, an image has no row or two, or a value is not a number; names it.
    """
    table = read_csv(path)
    lacking = [name for name in (id_column, *(columns or [])) if name not in table]
    if lacking:
        raise ValueError(
            f"{path} has no column {lacking[0]!r}, found {list(table.columns)}; change --id_column or the CSV"
        )
    images = pd.DataFrame({"image_id": list(ids)})
    table[id_column] = matched(table[id_column], images, ".", f"{path}, column {id_column}", True, "ignore")
    own = table[table[id_column].notna()]
    twice = own[own[id_column].duplicated()]
    if len(twice):
        raise ValueError(f"{path}, row {twice.index[0] + 2}: image {twice[id_column].iloc[0]!r} is repeated")
    own = own.set_index(id_column)
    result = {}
    for name in columns if columns is not None else [column for column in own if column != id_column]:
        texts = own[name].fillna("").astype(str).str.strip()
        numbers = pd.to_numeric(texts.where(texts != ""), errors="coerce")
        wrong = (numbers.isna() | np.isinf(numbers)) & (texts != "")
        if wrong.any():
            raise ValueError(
                f"{path}: {name!r} of image {texts[wrong].index[0]!r} is {texts[wrong].iloc[0]!r}, expected a number; "
                "remove the column, or replace its values by numbers"
            )
        result[name] = numbers
    return pd.DataFrame(result, index=own.index).loc[list(ids)].reset_index(drop=True).astype(float)
