"""Human Protein Atlas version 18: the public images from which the competition's were taken."""

import pandas as pd

from datamodules.external.base import ExternalData
from datamodules.matching import match_images
from datamodules.readers import RgbyReader
from datamodules.table import find_channels
from datamodules.targets import Target
from files.tables import read_csv

# The competition's 28 classes in the order of their numbers.
CLASSES = (
    "Nucleoplasm",
    "Nuclear membrane",
    "Nucleoli",
    "Nucleoli fibrillar center",
    "Nuclear speckles",
    "Nuclear bodies",
    "Endoplasmic reticulum",
    "Golgi apparatus",
    "Peroxisomes",
    "Endosomes",
    "Lysosomes",
    "Intermediate filaments",
    "Actin filaments",
    "Focal adhesion sites",
    "Microtubules",
    "Microtubule ends",
    "Cytokinetic bridge",
    "Mitotic spindle",
    "Microtubule organizing center",
    "Centrosome",
    "Lipid droplets",
    "Plasma membrane",
    "Cell junctions",
    "Mitochondria",
    "Aggresome",
    "Cytosol",
    "Cytoplasmic bodies",
    "Rods & rings",
)
COLOURS = ["red", "green", "blue", "yellow"]


class HpaV18(ExternalData):
    """Images as published by the Atlas: four tinted RGB JPEGs each, labelled with names of locations.

    One plane of each JPEG is the channel: red of the red one, green of the green, blue of the blue; the yellow one is
    gray in the plane given by `planes` (the winners of HPA 2018 used its blue one, see their notes).

    Args:
        root: folder of `<id>_red.jpg`, `<id>_green.jpg`, `<id>_blue.jpg`, `<id>_yellow.jpg` and of `labels`.
        weight: weight of each sample in the loss.
        labels: CSV under the root with `id_column` and `label_column`.
        id_column: column of the ids.
        label_column: column of the location names.
        separator: separator of the names in one field.
        column: label column of the config, which receives class numbers separated by spaces, as in the competition.
        channels: channels in order; must match the config's reader.
        planes: plane of each colour's JPEG.
        class_map: name of the competition's class for each other spelling; an empty name drops that label.
        source: name of the data set.
        targets: targets (default: the config's).

    Raises:
        ValueError: if names are neither in the competition nor in `class_map`; lists all of them.
    """

    def __init__(
        self,
        root: str,
        weight: float = 1.0,
        labels: str = "labels.csv",
        id_column: str = "Id",
        label_column: str = "Target",
        separator: str = ",",
        column: str = "Target",
        channels: list[str] = list(COLOURS),  # noqa: B006 - never changed; --help prints it
        planes: dict[str, int] | None = None,
        class_map: dict[str, str] | None = None,
        source: str = "hpa_v18",
        targets: list[Target] | None = None,
    ) -> None:
        standard = {"red": 0, "green": 1, "blue": 2, "yellow": 2} | (planes or {})
        reader = RgbyReader(list(channels), {name: standard[name] for name in channels})
        super().__init__(root, weight, source, reader, targets)
        self.labels, self.id_column, self.label_column = labels, id_column, label_column
        self.separator, self.column, self.channels = separator, column, list(channels)
        self.planes, self.class_map = planes, class_map or {}

    def table(self) -> pd.DataFrame:
        images = find_channels(self.root, "*_{channel}.jpg", "{channel}", self.channels)
        path = self.file(self.labels)
        rows = read_csv(path)
        lacking = [name for name in (self.id_column, self.label_column) if name not in rows]
        if lacking:
            raise ValueError(f"{path} has no column {lacking[0]!r}, only {list(rows.columns)}")
        numbers, unknown = {}, {}
        known = {name.lower(): number for number, name in enumerate(CLASSES)}
        spellings = {name.lower(): meant.lower() for name, meant in self.class_map.items()}
        for image_id, text in zip(rows[self.id_column], rows[self.label_column], strict=True):
            found = []
            for name in (part.strip().lower() for part in text.split(self.separator)):
                meant = spellings.get(name, name)
                if meant and meant not in known:
                    unknown.setdefault(name, image_id)
                elif meant:
                    found.append(known[meant])
            text = " ".join(map(str, sorted(set(found))))
            if numbers.setdefault(image_id, text) != text:
                raise ValueError(f"{path}: the rows of image {image_id!r} differ")
        if unknown:
            listed = ", ".join(f"{name!r} ({image_id})" for name, image_id in sorted(unknown.items()))
            raise ValueError(f"{path}: {len(unknown)} names are not in the competition: {listed}; set class_map")
        names = match_images(numbers, images, self.root, f"{path}, column {self.id_column}", every=True)
        name_of = {image_id: name for name, image_id in names.items()}
        labels = [numbers[name_of[image_id]] for image_id in images["image_id"]]
        return self.named(images.assign(**{self.column: labels}))
