"""DICOM images: X-ray, CT, MR, ultrasound, mammography; single and multi-frame, plain and compressed."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from datamodules.readers.base import Pixels, Reader
from datamodules.readers.dicom_elements import whole_number
from datamodules.readers.dicom_errors import DicomReadError, explained, wrong
from datamodules.readers.dicom_files import read_dataset, read_header
from datamodules.readers.dicom_pixels import stored_values
from datamodules.readers.dicom_values import colour_values, compact, fill_padding, modality_values, padding_of, voi
from datamodules.row import Row
from preprocessing.hounsfield import named_window, to_bits, window

if TYPE_CHECKING:
    from pydicom import Dataset


class DicomReader(Reader):
    """Reads DICOM files as 8- or 16-bit images, as Hounsfield units, or as stored.

    PALETTE COLOR is resolved and YBR becomes RGB. For a multi-frame file, the row's `frame` (from 0) is read. Padding
    (PixelPaddingValue up to PixelPaddingRangeLimit, and −2000 in CT) is black in `voi`; in `hu` it is air (−1000) in
    CT, and the smallest measured value in other modalities. It is valid unless `void_padding` is set. Compressed files
    need decoders: `pip install -e ".[dicom]"`; plain JPEG and JPEG 2000 work without.

    Args:
        output: kind of values. `voi`: as displayed to a radiologist, by the modality LUT, then the file's VOI LUT or
            (first) window, then inversion of MONOCHROME1. Without both, 8-bit files keep their values; deeper ones are
            scaled from their minimum to their maximum, without padding. `hu`: modality values, int16 Hounsfield units
            for CT, float32 for others. `raw`: stored values (palette indices). The latter two are never inverted.
        windows: windows used instead of that of the file: names (`lung`, `brain`, … see
            `preprocessing.hounsfield.WINDOWS`) or `[centre, width]` in HU; one channel each. Only with `output: voi`.
        bits: bit depth of `voi`: 8 (uint8) or 16 (uint16; set `model.input_range: 65535`).
        channels: `rgb` repeats gray three times, for networks pretrained on RGB images; `gray` returns one channel.
            No effect if several windows or slices are the channels.
        neighbours: number of slices on each side used as channels (2.5-D): 2 gives 5 slices, from low to high along the
            normal, each with all its windows. At the ends of a stack the last slice is repeated. `DicomDataModule`
            finds the neighbours; phases, echoes and scouts of one series are separate stacks.
        stride: step between these slices.
        void_padding: whether padding is ignored in losses, metrics and statistics (`valid` is False there; with
            `neighbours`, that of the middle slice), whatever its target.
        max_pixels: maximum number of pixels of a frame, checked in the header; a small file can claim 65535 x 65535.
    """

    def __init__(
        self,
        output: Literal["voi", "hu", "raw"] = "voi",
        windows: list[str | list[float]] | None = None,
        bits: Literal[8, 16] = 8,
        channels: Literal["rgb", "gray"] = "rgb",
        neighbours: int = 0,
        stride: int = 1,
        void_padding: bool = False,
        max_pixels: int = 100_000_000,
    ) -> None:
        if windows and output != "voi":
            raise ValueError(f"DicomReader: windows need output: voi, but output is {output!r}")
        if neighbours < 0 or stride < 1:
            raise ValueError(f"DicomReader: neighbours is {neighbours}, stride {stride}; expected >= 0 and >= 1")
        self.output, self.windows, self.bits, self.channels = output, windows, bits, channels
        self.neighbours, self.stride, self.void_padding, self.max_pixels = (
            neighbours,
            stride,
            void_padding,
            max_pixels,
        )
        self._windows = [_window_of(entry) for entry in windows or []]

    def read(self, row: Row) -> np.ndarray:
        """Return `(H, W, C)`: uint8 or uint16 (`voi`), int16 or float32 (`hu`), the stored type (`raw`).

        Raises:
            DicomReadError: if the file cannot be read; names file, tag and value.
        """
        return self.read_with_valid(row)[0]

    def read_with_valid(self, row: Row) -> tuple[np.ndarray, np.ndarray | None]:
        slices = self._slices(row)
        read = {place: self._read(*place) for place in dict.fromkeys(slices)}
        shapes = {image.shape for image, _ in read.values()}
        if len(shapes) > 1:
            raise DicomReadError(f"{row.path}: its neighbouring slices differ in size: {sorted(shapes)}", row.path)
        image, padding = read[slices[len(slices) // 2]]
        if len(slices) > 1:
            image = np.concatenate([read[place][0] for place in slices], axis=2)
        if self.channels == "rgb" and image.shape[2] == 1:
            image = np.repeat(image, 3, axis=2)
        return image, ~padding if self.void_padding and padding is not None else None

    def known(self, row: Row) -> np.ndarray | None:
        if not self.void_padding:
            return None
        slices = self._slices(row)
        padding = self._read(*slices[len(slices) // 2])[1]
        return None if padding is None else ~padding

    def size(self, row: Row) -> tuple[int, int]:
        header = read_header(row.path, ["Rows", "Columns"])
        return tuple(whole_number(header, keyword, row.path) for keyword in ("Rows", "Columns"))

    def pixels(self, row: Row) -> Pixels | None:
        if self.output != "voi":
            return None
        channels = max(1, len(self._windows)) * (2 * self.neighbours + 1)
        return Pixels(f"uint{self.bits}", 3 if channels == 1 and self.channels == "rgb" else channels)

    def files(self, row: Row) -> list[Path | str]:
        return list(dict.fromkeys([row.path, *(path for path, _ in self._slices(row))]))

    def _slices(self, row: Row) -> list[tuple[str, int | None]]:
        """Return file and frame of each slice of the stack."""
        if not self.neighbours:
            frame = getattr(row, "frame", None)
            return [(str(row.path), None if frame is None else int(frame))]
        slices = getattr(row, "slices", None)
        if slices is None:
            raise ValueError(
                f"image {row.image_id!r}: reader.neighbours is set, but the row has no neighbours; use "
                "datamodules.DicomDataModule"
            )
        return [(str(path), None if frame is None else int(frame)) for path, frame in slices]

    def _read(self, path: str, frame: int | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the image `(H, W, C)` of a frame, and the mask of its padding."""
        dataset = read_dataset(path, self.max_pixels)
        with explained(path):
            stored = stored_values(dataset, path, frame)
            return self._converted(dataset, stored, path, frame or 0)

    def _converted(
        self, dataset: "Dataset", stored: np.ndarray, path: str, frame: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        photometric = dataset.PhotometricInterpretation
        if self.output == "raw":
            stored = stored if stored.flags.writeable else stored.copy()
            return (stored, None) if stored.ndim == 3 else (stored[..., None], padding_of(dataset, stored, frame))
        if photometric == "PALETTE COLOR" or stored.ndim == 3:
            if self.output == "hu" or self._windows:
                raise wrong(path, "PhotometricInterpretation", photometric, "Hounsfield units need MONOCHROME2")
            colour = colour_values(dataset, stored, self.bits)
            gray = self.channels == "gray" or self.neighbours
            return (cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)[..., None] if gray else colour), None
        values, padding = modality_values(dataset, stored, path, frame)
        if self.output == "hu":
            fill_padding(dataset, values, padding)
            return compact(dataset, values)[..., None], padding
        if self._windows:
            views = [window(values, centre, width, self.bits) for centre, width in self._windows]
        else:
            views = [to_bits(voi(dataset, values, stored, padding, path, frame), self.bits)]
        image = np.stack(views, axis=-1) if len(views) > 1 else views[0][..., None]
        if photometric == "MONOCHROME1":
            np.subtract(np.iinfo(image.dtype).max, image, out=image)
        if padding is not None:
            image[padding] = 0
        return image, padding


def _window_of(entry: str | list[float]) -> tuple[float, float]:
    if isinstance(entry, str):
        return named_window(entry)
    if len(entry) != 2 or not entry[1] > 0:
        raise ValueError(f"window is {entry}, expected a name or [centre, width] with a width above 0")
    return float(entry[0]), float(entry[1])
