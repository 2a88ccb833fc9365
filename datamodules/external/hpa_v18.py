"""Human Protein Atlas version 18: the public pictures behind the competition's."""

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
    """Fields of the Atlas as it publishes them: four tinted RGB JPEGs each, with the places as names.

    Of each JPEG one plane is the channel: red of the red one, green of the green, blue of the blue; the yellow one is
    gray in the plane that `planes` says (the winners of HPA 2018 took its blue one, for whose JPEGs see their notes).

    Args:
        root: folder of `<id>_red.jpg`, `<id>_green.jpg`, `<id>_blue.jpg`, `<id>_yellow.jpg` and of `labels`.
        weight: of each sample in the loss.
        labels: CSV with `id_column` and `label_column` under the root.
        id_column: its column of ids.
        label_column: its column of names.
        separator: between the names of one field.
        column: of the config's label column; gets class numbers separated by spaces, as the competition writes them.
        channels: channels and their order; those of the config's reader.
        planes: plane of each colour's JPEG.
        class_map: other spellings → name of the competition's class; an empty name drops that label alone.
        source: its name.
        targets: its sources of truth; None takes the config's.

    Raises:
        ValueError: names that neither the competition nor `class_map` knows, all of them.
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
                raise ValueError(f"{path}: the rows of image {image_id!r} contradict each other")
        if unknown:
            listed = ", ".join(f"{name!r} ({image_id})" for name, image_id in sorted(unknown.items()))
            raise ValueError(f"{path}: {len(unknown)} names are no class of the competition: {listed}; set class_map")
        names = match_images(numbers, images, self.root, f"{path}, column {self.id_column}", every=True)
        name_of = {image_id: name for name, image_id in names.items()}
        labels = [numbers[name_of[image_id]] for image_id in images["image_id"]]
        return self.named(images.assign(**{self.column: labels}))
