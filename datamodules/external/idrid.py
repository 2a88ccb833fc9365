"""IDRiD: fundus photographs with retinopathy grades and lesion masks."""

from pathlib import Path

import pandas as pd

from datamodules.external.base import ExternalData
from datamodules.readers import Reader
from datamodules.table import find_images
from datamodules.targets import Target
from files.tables import read_csv


class Idrid(ExternalData):
    """Additional grades for APTOS 2019 (Porwal et al., Data 2018): `B. Disease Grading/` of the data set.

    Args:
        root: folder of `1. Original Images` and `2. Groundtruths`.
        weight: weight of each sample in the loss; 0.5, as graders and cameras differ.
        column: label column of the config, which receives the grade.
        grade: grade to use: `Retinopathy grade` (0 to 4, as in APTOS) or `Risk of macular edema ` (0 to 2).
        label_map: label of the config for each grade in the file; grades not listed are unchanged.
        source: name of the data set.
        reader: image reader, if the config's reader does not fit.
        targets: targets, such as lesion masks (default: the config's).
    """

    def __init__(
        self,
        root: str,
        weight: float = 0.5,
        column: str = "diagnosis",
        grade: str = "Retinopathy grade",
        label_map: dict[str, str] | None = None,
        source: str = "idrid",
        reader: Reader | None = None,
        targets: list[Target] | None = None,
    ) -> None:
        super().__init__(root, weight, source, reader, targets)
        self.column, self.grade, self.label_map = column, grade, label_map or {}

    def table(self) -> pd.DataFrame:
        files = sorted(Path(self.root).glob("2. Groundtruths/*.csv"))
        if not files:
            raise FileNotFoundError(f"Idrid: {self.root} has no 2. Groundtruths/*.csv; check root")
        grades: dict[str, str] = {}
        for file in files:
            rows = read_csv(file)
            lacking = [name for name in ("Image name", self.grade.strip()) if name not in rows]
            if lacking:
                raise ValueError(f"{file} has no column {lacking[0]!r}, only {list(rows.columns)}")
            # Images of training and test have the same numbers; the names of files and folders distinguish them.
            side = "test" if "test" in file.stem.lower() else "train"
            for name, grade in zip(rows["Image name"], rows[self.grade.strip()], strict=True):
                key = f"{side} {name}"
                if name and grades.setdefault(key, grade) != grade:
                    raise ValueError(f"{file}: {name!r} has grade {grade!r}, but {grades[key]!r} before")
        tables = []
        for folder in sorted(path for path in (Path(self.root) / "1. Original Images").glob("*") if path.is_dir()):
            found = find_images(folder, "*.jpg")
            side = "test" if "test" in folder.name.lower() else "train"
            tables.append(found.assign(key=[f"{side} {name}" for name in found["image_id"]]))
        if not tables:
            raise FileNotFoundError(f"Idrid: {self.root} has no folders in 1. Original Images; check root")
        images = pd.concat(tables, ignore_index=True)
        keys = images.pop("key")
        images["image_id"] = keys.str.replace(" ", "_")
        missing = [key for key in keys if key not in grades]
        if missing:
            raise ValueError(f"Idrid: {len(missing)} images have no grade; the first is {missing[0]!r}")
        labels = [self.label_map.get(grades[key], grades[key]) for key in keys]
        return self.named(images.assign(**{self.column: labels}))
