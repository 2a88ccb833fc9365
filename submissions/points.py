"""One row per candidate: LUNA16's format."""

import numpy as np

from submissions.base import Row, RowError, Submission


class Points(Submission):
    """`seriesuid,coordX,coordY,coordZ,probability`: a row per candidate of `Clusters` or `Blobs`.

    An image without candidates has no row.

    Args:
        id_column: name of the id column.
        columns: names of the coordinate columns, x first, one per axis (default: `coordX`, `coordY`, `coordZ`).
        probability_column: name of the probability column.
        unit: unit of coordinates: `mm` from the centre of voxel 0, or `voxel`.
        output: name of the candidates in the post-processed prediction.
    """

    several_rows = True
    sparse = True
    spatial = False

    def __init__(
        self,
        id_column: str = "seriesuid",
        columns: list[str] | None = None,
        probability_column: str = "probability",
        unit: str = "mm",
        output: str = "candidates",
    ) -> None:
        if unit not in ("mm", "voxel"):
            raise ValueError(f"Points: unit is {unit!r}, expected mm or voxel")
        self.coordinates = columns or ["coordX", "coordY", "coordZ"]
        self.columns = (id_column, *self.coordinates, probability_column)
        self.unit, self.output = unit, output

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[Row]:
        found, axes = prediction[self.output], len(self.coordinates)
        if found.shape[1] != 4 * axes + 2:
            raise ValueError(
                f"candidates have {(found.shape[1] - 2) // 4} axes, expected {axes}: columns are {self.coordinates}"
            )
        first = 2 * axes if self.unit == "mm" else 0
        return [
            (image_id, *(f"{number:.3f}" for number in row[first : first + axes][::-1]), f"{row[-1]:.5f}")
            for row in found
        ]

    def image(self, texts: list[Row], size: tuple[int, int]) -> dict[str, np.ndarray]:
        axes = len(self.coordinates)
        table = np.zeros((len(texts), 4 * axes + 2))
        for number, text in enumerate(texts):
            try:
                values = [float(field) for field in text[1:]]
            except ValueError:
                raise RowError(f"values are {text[1:]}, expected numbers", number) from None
            if not 0 <= values[-1] <= 1:
                raise RowError(f"probability is {values[-1]}, expected 0 to 1", number)
            for start in range(0, 4 * axes, axes):
                table[number, start : start + axes] = values[-2::-1]
            table[number, -1] = values[-1]
        return {self.output: table}
