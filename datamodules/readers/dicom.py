"""DICOM files: X-ray, CT, MR, ultrasound, mammography; single and multi-frame, plain and compressed."""

import os
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from datamodules.readers.base import ImageReadError, Reader
from preprocessing.hounsfield import AIR, lookup, named_window, padding_mask, to_bits, to_hu, window
from preprocessing.series import common_orientation, gaps, slice_places, stack_affine

if TYPE_CHECKING:
    from pydicom import Dataset

CODECS = 'pip install -e ".[dicom]"'
AT_ONCE = 256 << 20  # bytes; a larger file is first asked for its size alone
INFLATED = 1 << 29  # bytes; a deflated file that unpacks to more is refused
DEFLATED = b"1.2.840.10008.1.2.1.99"
JPEG_EXTENDED_OR_LOSSLESS = ("1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
# gdcm ends the whole process on some damaged JPEG streams (an uncaught C++ exception), so it is never asked.
UNSAFE = ("gdcm",)
COMMON_PADDING = (-2000,)  # many CTs are filled with it and do not say so; only signed data can hold it
MACROS = {  # where an enhanced multi-frame file keeps what others have at the top (PS3.3 C.7.6.16)
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "VOILUTFunction": "FrameVOILUTSequence",
    "WindowCenter": "FrameVOILUTSequence",
    "WindowWidth": "FrameVOILUTSequence",
}


class DicomReadError(ImageReadError):
    """A DICOM file that cannot be read; names path, tag, what was found, and the cure.

    Attributes:
        path: the file.
        tag: keyword of the DICOM element that is wrong, or None where the file as a whole is.
        found: what it holds.
    """

    def __init__(self, message: str, path: Path | str | None = None, tag: str | None = None, found: Any = None) -> None:
        super().__init__(message)  # a message alone must do: so loader processes hand it on
        self.path, self.tag, self.found = path, tag, found


def wrong(path: Path | str, tag: str | None, found: Any, expected: str) -> DicomReadError:
    """The error for one element of a file."""
    what = f"{tag} is {found!r}" if tag is not None else str(found)
    return DicomReadError(f"{path}: {what}; {expected}", path, tag, found)


class DicomReader(Reader):
    """Reads DICOM files as 8- or 16-bit pictures, as Hounsfield units, or as they are stored.

    PALETTE COLOR is resolved and YBR becomes RGB. Of a multi-frame file the row's `frame` (from 0) is read. Padding
    (PixelPaddingValue up to PixelPaddingRangeLimit, and −2000 in CT) is air in `hu` and black in `voi`. Compressed
    files need decoders: `pip install -e ".[dicom]"`; plain JPEG and JPEG 2000 work without.

    Args:
        output: `voi` is what a radiologist sees: modality LUT, then the file's VOI LUT or window (the first, where
            there are several), then MONOCHROME1 inverted. A file without either keeps its values where it has 8 bits;
            deeper ones are spread from their smallest to their largest value, padding left out. `hu` gives modality
            values: int16 Hounsfield units for CT, float32 for everything else. `raw` gives the stored numbers (of a
            palette its indices). Neither of these inverts.
        windows: instead of the file's own window: names (`lung`, `brain`, … see `preprocessing.hounsfield.WINDOWS`) or
            `[centre, width]` in HU; each becomes a channel. Only with `output: voi`.
        bits: of `voi`: 8 (uint8) or 16 (uint16; set `model.input_range: 65535`).
        channels: `rgb` repeats gray three times, for networks pretrained on pictures; `gray` gives one channel. Several
            windows or slices are channels themselves and stay as they are.
        neighbours: slices on each side that become channels (2.5-D): 2 gives 5 slices, from low to high along the
            normal, each with all its windows. At the ends of a series the last slice is repeated. `DicomDataModule`
            finds the neighbours.
        stride: steps between these slices.
        pixel_limit: largest frame in pixels, checked in the header; a small file can claim 65535 x 65535.
    """

    def __init__(
        self,
        output: Literal["voi", "hu", "raw"] = "voi",
        windows: list[str | list[float]] | None = None,
        bits: Literal[8, 16] = 8,
        channels: Literal["rgb", "gray"] = "rgb",
        neighbours: int = 0,
        stride: int = 1,
        pixel_limit: int = 100_000_000,
    ) -> None:
        if windows and output != "voi":
            raise ValueError(f"DicomReader: windows go with output: voi, not with {output!r}")
        if neighbours < 0 or stride < 1:
            raise ValueError(f"DicomReader: neighbours is {neighbours}, stride {stride}; expected 0 or more, 1 or more")
        self.output, self.windows, self.bits, self.channels = output, windows, bits, channels
        self.neighbours, self.stride, self.pixel_limit = neighbours, stride, pixel_limit
        self._windows = [_window_of(entry) for entry in windows or []]

    def read(self, row: Any) -> np.ndarray:
        """`(H, W, C)`: uint8 or uint16 (`voi`), int16 or float32 (`hu`), the stored type (`raw`).

        Raises:
            DicomReadError: names file, tag and what it holds.
        """
        slices = self._slices(row)
        images = {place: self._read(*place) for place in dict.fromkeys(slices)}
        shapes = {image.shape for image in images.values()}
        if len(shapes) > 1:
            raise DicomReadError(f"{row.path}: its neighbour slices have other sizes: {sorted(shapes)}", row.path)
        image = np.concatenate([images[place] for place in slices], axis=2) if len(slices) > 1 else images[slices[0]]
        if self.channels == "rgb" and image.shape[2] == 1:
            return np.repeat(image, 3, axis=2)
        return image

    def size(self, row: Any) -> tuple[int, int]:
        header = read_header(row.path, ["Rows", "Columns"])
        return tuple(_whole(header, keyword, row.path) for keyword in ("Rows", "Columns"))

    def files(self, row: Any) -> list[Path | str]:
        return list(dict.fromkeys([row.path, *(path for path, _ in self._slices(row))]))

    def _slices(self, row: Any) -> list[tuple[str, int | None]]:
        """File and frame of each slice of the stack."""
        if not self.neighbours:
            frame = getattr(row, "frame", None)
            return [(str(row.path), None if frame is None else int(frame))]
        slices = getattr(row, "slices", None)
        if slices is None:
            raise ValueError(
                f"image {row.image_id!r}: neighbours are wanted, but its row does not tell them; use "
                "datamodules.DicomDataModule"
            )
        return [(str(path), None if frame is None else int(frame)) for path, frame in slices]

    def _read(self, path: str, frame: int | None) -> np.ndarray:
        dataset = read_dataset(path, self.pixel_limit)
        with _explained(path):
            stored = stored_values(dataset, path, frame)
            return self._converted(dataset, stored, path, frame or 0)

    def _converted(self, dataset: "Dataset", stored: np.ndarray, path: str, frame: int) -> np.ndarray:
        photometric = dataset.PhotometricInterpretation
        if self.output == "raw":
            stored = stored if stored.flags.writeable else stored.copy()
            return stored if stored.ndim == 3 else stored[..., None]
        if photometric == "PALETTE COLOR" or stored.ndim == 3:
            if self.output == "hu" or self._windows:
                raise wrong(path, "PhotometricInterpretation", photometric, "Hounsfield units want MONOCHROME2")
            colour = _colour(dataset, stored, self.bits)
            gray = self.channels == "gray" or self.neighbours
            return cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)[..., None] if gray else colour
        values, padding = modality_values(dataset, stored, path, frame)
        if self.output == "hu":
            if padding is not None:
                values[padding] = AIR
            return _compact(dataset, values)[..., None]
        if self._windows:
            views = [window(values, centre, width, self.bits) for centre, width in self._windows]
        else:
            views = [to_bits(voi(dataset, values, stored, padding, path, frame), self.bits)]
        image = np.stack(views, axis=-1) if len(views) > 1 else views[0][..., None]
        if photometric == "MONOCHROME1":
            np.subtract(np.iinfo(image.dtype).max, image, out=image)
        if padding is not None:
            image[padding] = 0
        return image


def read_header(path: Path | str, keywords: Sequence[str] | None = None) -> "Dataset":
    """The elements of a DICOM file before its pixels; only some of them where `keywords` names them (quicker).

    Raises:
        DicomReadError: missing, empty, or no DICOM file.
    """
    return _parse(
        path, stop_before_pixels=True, specific_tags=None if keywords is None else [*keywords, "Rows", "Columns"]
    )


def read_dataset(path: Path | str, pixel_limit: int = 100_000_000) -> "Dataset":
    """A DICOM file with its pixels, still compressed, whose header describes an image.

    Raises:
        DicomReadError: no image, more than `pixel_limit` pixels in a frame, or a header that contradicts itself.
    """
    with _explained(path):
        if os.path.exists(path) and os.path.getsize(path) > AT_ONCE:
            check_header(read_header(path), path, pixel_limit)
        dataset = _parse(path)
        if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            kind = getattr(dataset.get("SOPClassUID"), "name", None)
            raise wrong(path, "PixelData", None, f"the file has no picture ({kind or 'kind unknown'}); leave it out")
        check_header(dataset, path, pixel_limit)
        return dataset


def check_header(dataset: "Dataset", path: Path | str, pixel_limit: int) -> None:
    """Raise DicomReadError unless the header describes pixels of a reasonable number."""
    rows, columns = (_whole(dataset, keyword, path) for keyword in ("Rows", "Columns"))
    for keyword in ("BitsAllocated", "SamplesPerPixel"):
        _whole(dataset, keyword, path)
    if not dataset.get("PhotometricInterpretation"):
        found = dataset.get("PhotometricInterpretation")
        raise wrong(path, "PhotometricInterpretation", found, "it must say how pixels are shown, such as MONOCHROME2")
    if rows * columns > pixel_limit:
        expected = f"more than reader.pixel_limit {pixel_limit} pixels; raise it if the file is real"
        raise wrong(path, "Rows x Columns", f"{rows} x {columns}", expected)


def stored_values(dataset: "Dataset", path: Path | str, frame: int | None = None) -> np.ndarray:
    """Stored numbers of one frame: `(H, W)`, or `(H, W, 3)` as RGB; in the machine's byte order, perhaps read-only.

    Args:
        dataset: of `read_dataset`.
        path: named in errors.
        frame: from 0; None for the only one.

    Raises:
        DicomReadError: damaged or truncated pixels, pixels that do not fit the header, no decoder, no such frame.
    """
    from pydicom.pixels import pixel_array

    count = frame_count(dataset, path)
    if frame is None and count > 1:
        raise wrong(path, "NumberOfFrames", count, "say which frame to read: data.frames: true makes each one a row")
    if not 0 <= (frame or 0) < count:
        raise wrong(path, "NumberOfFrames", count, f"there is no frame {frame}")
    index = frame or 0
    with _explained(path, "PixelData"):
        syntax = _transfer_syntax(dataset, path)
        if syntax.is_encapsulated:
            stored = _decompressed(dataset, path, index, count)
        else:
            _check_length(dataset, path, count)
            stored = pixel_array(dataset, index=index)
    expected = (dataset.Rows, dataset.Columns)
    if stored.shape[:2] != expected:
        raise wrong(path, "Rows x Columns", f"{expected[0]} x {expected[1]}", f"the pixels are {stored.shape}")
    if stored.ndim == 3 and stored.shape[2] != 3:
        raise wrong(path, "SamplesPerPixel", stored.shape[2], "expected 1 or 3")
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def modality_values(
    dataset: "Dataset", stored: np.ndarray, path: Path | str, frame: int = 0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Stored numbers after the modality LUT (or slope and intercept) as float32 `(H, W)`, and where padding is.

    Raises:
        DicomReadError: an empty or impossible slope, intercept or table.
    """
    ct = dataset.get("Modality") == "CT"
    ends = [element_of(dataset, keyword, frame) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    padding = padding_mask(stored, *(_integer(end) for end in ends), also=COMMON_PADDING if ct else ())
    if dataset.get("ModalityLUTSequence"):
        first, table, _ = _table(dataset, "ModalityLUTSequence", path)
        return lookup(stored, first, table), padding
    slope, intercept = (_number(dataset, keyword, path, frame) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope == 0:
        raise wrong(
            path, "RescaleSlope", slope, "every pixel would be the same; use output: raw, or leave the file out"
        )
    return to_hu(stored, 1.0 if slope is None else slope, intercept or 0.0), padding


def voi(
    dataset: "Dataset",
    values: np.ndarray,
    stored: np.ndarray,
    padding: np.ndarray | None,
    path: Path | str,
    frame: int = 0,
) -> np.ndarray:
    """Modality values as shares 0 … 1 by the file's own VOI LUT or first window, before any inversion.

    A look-up table goes before a window, as in pydicom. Without both: see `DicomReader`.

    Raises:
        DicomReadError: a window of width 0, half a window, or an impossible table.
    """
    if dataset.get("VOILUTSequence"):
        first, table, bits = _table(dataset, "VOILUTSequence", path)
        return lookup(np.rint(values), first, table) / np.float32((1 << bits) - 1)
    centre, width = (_number(dataset, keyword, path, frame) for keyword in ("WindowCenter", "WindowWidth"))
    if (centre is None) != (width is None):
        raise wrong(path, "WindowWidth", width, f"WindowCenter is {centre}; a window has both, set reader.windows")
    if centre is not None:
        function = str(element_of(dataset, "VOILUTFunction", frame) or "LINEAR").upper()
        if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            raise wrong(path, "VOILUTFunction", function, "expected LINEAR, LINEAR_EXACT or SIGMOID")
        try:
            return window(values, centre, width, 0, function)
        except ValueError as error:
            raise wrong(path, "WindowWidth", width, f"{error}; set reader.windows") from error
    if stored.dtype == np.uint8:
        return stored.astype(np.float32) / np.float32((1 << min(int(dataset.get("BitsStored") or 8), 8)) - 1)
    counted = values[np.isfinite(values)] if padding is None else values[~padding & np.isfinite(values)]
    if not counted.size or counted.min() == counted.max():
        return np.zeros(values.shape, np.float32)
    share = (values - counted.min()) / (counted.max() - counted.min())
    return np.clip(np.nan_to_num(share, nan=0.0), 0, 1)


def read_series(files: Sequence[Path | str]) -> tuple[np.ndarray, np.ndarray]:
    """The slices of one series as a volume in Hounsfield units (modality values), and where it lies.

    Files come in any order; a multi-frame file gives all its frames. Slices are sorted along their normal. Missing
    slices and uneven gaps are warned about: the affine then takes the mean step.

    Args:
        files: DICOM files of one series.

    Returns:
        Volume `(D, H, W)`, int16 for CT and float32 for everything else, and the affine `(4, 4)` float64 from voxel
        (slice, row, column) to world millimetres in RAS.

    Raises:
        DicomReadError: a file that cannot be read, has no place in space, or is none of this series (another size,
            another orientation, a place that is taken).
    """
    if not len(files):
        raise DicomReadError("a series of no files")
    found = []
    for path in files:
        dataset = read_dataset(path)
        with _explained(path):
            for frame in range(frame_count(dataset, path)):
                stored = stored_values(dataset, path, frame)
                if stored.ndim == 3:
                    raise wrong(path, "SamplesPerPixel", 3, "a volume has one value per voxel")
                values, padding = modality_values(dataset, stored, path, frame)
                if padding is not None:
                    values[padding] = AIR if dataset.get("Modality") == "CT" else values[~padding].min(initial=0)
                position, orientation = place_of(dataset, path, frame)
                found.append((path, frame, position, orientation, _spacing(dataset, path, frame), values, dataset))
                # Each slice holds its header for the type alone; pixels that are still compressed are let go.
            for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
                if name in dataset:
                    del dataset[name]
    first = found[0]
    for path, _, _, _, spacing, values, _ in found:
        if values.shape != first[5].shape or not np.allclose(spacing, first[4], rtol=1e-3):
            raise DicomReadError(
                f"{path}: {values.shape} pixels of {spacing} mm in a series of {first[5].shape} pixels of {first[4]} "
                f"mm ({first[0]}); give the files of one series",
                path,
            )
    try:
        orientation = common_orientation([entry[3] for entry in found])
    except ValueError as error:
        raise DicomReadError(f"{first[0]} and the files with it: {error}; give the files of one series") from error
    places = slice_places(np.array([entry[2] for entry in found]), orientation)
    order = np.argsort(places, kind="stable")
    steps = np.diff(places[order])
    if (steps < 1e-3).any():
        one, other = (found[order[int(steps.argmin()) + shift]] for shift in (0, 1))
        raise DicomReadError(
            f"{one[0]} (frame {one[1]}) and {other[0]} (frame {other[1]}) lie at the same place {one[2].tolist()}; "
            "give the files of one series, of one time",
            one[0],
            "ImagePositionPatient",
            one[2].tolist(),
        )
    for gap in gaps(places[order]):
        warnings.warn(f"series of {found[order[gap.after]][0]}: {gap}", stacklevel=2)
    ct = all(entry[6].get("Modality") == "CT" for entry in found)
    volume = np.empty((len(found), *first[5].shape), np.int16 if ct else np.float32)
    for index, number in enumerate(order):
        volume[index] = _compact(found[number][6], found[number][5])
    thickness = _number(first[6], "SpacingBetweenSlices", first[0], 0) or _number(
        first[6], "SliceThickness", first[0], first[1]
    )
    positions = np.array([found[number][2] for number in order])
    return volume, stack_affine(positions, orientation, first[4], abs(thickness) if thickness else 1.0)


def place_of(dataset: "Dataset", path: Path | str, frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """ImagePositionPatient `(3,)` and ImageOrientationPatient `(6,)` of a frame.

    Raises:
        DicomReadError: one is missing, or has another number of numbers.
    """
    found = []
    for keyword, length in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6)):
        value = element_of(dataset, keyword, frame)
        try:
            numbers = np.array([float(number) for number in value], np.float64)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        if numbers.shape != (length,) or not np.isfinite(numbers).all():
            raise wrong(path, keyword, value, f"expected {length} numbers: without them the slice has no place")
        found.append(numbers)
    return found[0], found[1]


def frame_count(dataset: "Dataset", path: Path | str) -> int:
    """Number of frames; 1 where the file does not say."""
    count = dataset.get("NumberOfFrames")
    if count in (None, ""):
        return 1
    if int(count) < 1:
        raise wrong(path, "NumberOfFrames", count, "expected 1 or more")
    return int(count)


def element_of(dataset: "Dataset", keyword: str, frame: int = 0) -> Any:
    """Value of an element of a frame: its own, that of all frames, or that of the file; None where there is none."""
    macro = MACROS.get(keyword)
    if macro is not None:
        own = dataset.get("PerFrameFunctionalGroupsSequence") or []
        shared = dataset.get("SharedFunctionalGroupsSequence") or []
        for groups in ([own[frame]] if frame < len(own) else [], shared[:1]):
            for group in groups:
                for item in group.get(macro) or []:
                    if keyword in item:
                        return item.get(keyword)
    return dataset.get(keyword)


def _parse(path: Path | str, **options: Any) -> "Dataset":
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    path = Path(path)
    if not path.is_file():
        raise DicomReadError(f"{path} is not there", path)
    if path.stat().st_size == 0:
        raise DicomReadError(f"{path} is empty (0 bytes)", path, None, b"")
    with _explained(path), open(path, "rb") as handle:
        start = handle.read(1024)
        handle.seek(0)
        if DEFLATED in start:
            _check_deflated(path)
        try:
            return dcmread(handle, **options)
        except InvalidDicomError:
            # Some archives hold files without preamble. Read by force anything looks like DICOM, so ask for an image.
            handle.seek(0)
            dataset = None if _is_text(start) else dcmread(handle, force=True, **options)
            if dataset is None or not _plausible(dataset):
                found = f"it begins with {start[:16]!r}"
                raise DicomReadError(f"{path} is no DICOM file ({found})", path, None, start[:16]) from None
            return dataset


def _is_text(start: bytes) -> bool:
    return not any(byte < 9 for byte in start)


def _plausible(dataset: "Dataset") -> bool:
    try:
        return isinstance(dataset.get("Rows"), int) and isinstance(dataset.get("Columns"), int)
    except Exception:
        return False


def _check_deflated(path: Path) -> None:
    """Refuse what unpacks to more than can be meant; pydicom would unpack it all."""
    from pydicom.filereader import read_file_meta_info

    length = 144 + int(read_file_meta_info(path).get("FileMetaInformationGroupLength", 0))
    content = path.read_bytes()[length:]
    unpack, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while content and not unpack.eof:
        size += len(unpack.decompress(content, 1 << 24))
        content = unpack.unconsumed_tail
        if size > INFLATED:
            raise DicomReadError(f"{path} is deflated and unpacks to more than {INFLATED >> 20} MB; refused", path)


@contextmanager
def quiet() -> Iterator[None]:
    """Without pydicom's many warnings about values that break the standard: what matters is checked here."""
    if threading.current_thread() is not threading.main_thread():
        yield  # filters belong to the whole process; whoever starts threads silences them
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\..*)?")
        yield


@contextmanager
def _explained(path: Path | str, tag: str | None = None) -> Iterator[None]:
    """Whatever a library raises about a broken file, as DicomReadError."""
    try:
        with quiet():
            yield
    except (DicomReadError, MemoryError, ImportError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        about = f"{tag} cannot be read" if tag else "the file is damaged"
        raise DicomReadError(f"{path}: {about}: {type(error).__name__}: {text}", path, tag, text) from error


def _transfer_syntax(dataset: "Dataset", path: Path | str) -> Any:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", None)
    if meta is None:
        meta = dataset.file_meta = FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        # The file was parsed, so its encoding is known; compressed pixels would need more than that.
        implicit, little = dataset.original_encoding
        known = {(True, True): ImplicitVRLittleEndian, (False, True): ExplicitVRLittleEndian}
        if dataset.get("PixelData", b"")[:4] == b"\xfe\xff\x00\xe0":
            raise wrong(path, "TransferSyntaxUID", None, "the pixels are compressed, and nothing says how")
        meta.TransferSyntaxUID = known.get((implicit, little), ExplicitVRBigEndian)
    syntax = meta.TransferSyntaxUID
    if not syntax.is_private and not syntax.is_transfer_syntax:
        raise wrong(path, "TransferSyntaxUID", str(syntax), "no transfer syntax of DICOM")
    return syntax


def _check_length(dataset: "Dataset", path: Path | str, count: int) -> None:
    """Uncompressed pixels must be as many as the header says; pydicom would cut off what is too much."""
    if "PixelData" not in dataset:
        return
    samples, bits = dataset.SamplesPerPixel, dataset.BitsAllocated
    half = samples == 3 and dataset.PhotometricInterpretation == "YBR_FULL_422"  # two of three values are shared
    values = dataset.Rows * dataset.Columns * (2 if half else samples)
    frame = values / 8 if bits == 1 else values * (bits // 8)
    found = len(dataset.PixelData)
    # Writers pad by a few bytes, sometimes by a row; more means that the header lies.
    slack = max(2, 2 * frame / dataset.Rows, 0.01 * frame * count)
    if not np.ceil(frame * count) <= found <= np.ceil(frame * count) + slack:
        size = f"{count} x {dataset.Rows} x {dataset.Columns} x {samples} of {bits} bits"
        expected = f"{size} are {int(np.ceil(frame * count))} bytes: truncated, or Rows and Columns are wrong"
        raise wrong(path, "PixelData", f"{found} bytes", expected)


def _decompressed(dataset: "Dataset", path: Path | str, index: int, count: int) -> np.ndarray:
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder, pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise wrong(path, "TransferSyntaxUID", str(syntax), "pydicom knows no decoder for it") from error
    offsets = {}
    if dataset.get("ExtendedOffsetTable"):
        offsets["extended_offsets"] = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    stream = get_frame(dataset.PixelData, index, number_of_frames=count, **offsets)
    size = codestream_size(stream)
    if size is not None and size != (dataset.Rows, dataset.Columns):
        # A decoder believes its own header, whatever memory that takes.
        expected = f"the compressed picture is {size[0]} x {size[1]}"
        raise wrong(path, "Rows x Columns", f"{dataset.Rows} x {dataset.Columns}", expected)
    if syntax in JPEG_EXTENDED_OR_LOSSLESS:
        quick = _by_imagecodecs(stream, dataset, path)
        if quick is not None:
            return quick
    plugins = [name for name in decoder.available_plugins if name not in UNSAFE]
    if not plugins:
        raise wrong(path, "TransferSyntaxUID", syntax.name, f"no decoder for it is installed: {CODECS}")
    failures = []
    for name in plugins:
        try:
            return pixel_array(dataset, index=index, decoding_plugin=name)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # a panic of pylibjpeg-rle, which is written in Rust, is no Exception
            failures.append(f"{name}: {_short(error)}")
    raise wrong(
        path, "PixelData", f"{syntax.name}, {'; '.join(failures)}", f"damaged, or needs the decoders of {CODECS}"
    )


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 300 else text[:300] + "…"


def codestream_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns in the header of a JPEG, JPEG-LS or JPEG 2000 stream; None where there is no such header."""
    if stream[:4] == b"\xff\x4f\xff\x51" and len(stream) >= 24:
        width, height, left, top = (int.from_bytes(stream[at : at + 4], "big") for at in (8, 12, 16, 20))
        return height - top, width - left
    if stream[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == 0xFF:
            at += 1
        elif (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            height, width = (int.from_bytes(stream[at + place : at + place + 2], "big") for place in (5, 7))
            return (height, width) if height else None  # 0: it follows after the first scan
        else:
            at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return None


def _by_imagecodecs(stream: bytes, dataset: "Dataset", path: Path | str) -> np.ndarray | None:
    """JPEG extended and lossless by the libjpeg-turbo of imagecodecs: 12 bits, and 2 to 4 times as fast as gdcm.

    None where it is not installed or does not know the stream. (Its `ljpeg_decode` crashes on damaged streams.)
    """
    samples = int(dataset.SamplesPerPixel)
    if samples > 1 and dataset.PhotometricInterpretation != "RGB":
        return None
    try:
        import imagecodecs

        stored = imagecodecs.jpeg8_decode(stream)
    except Exception:
        return None
    if b"\xff\xd9" not in stream[-64:]:  # libjpeg puts gray in the place of what is missing
        raise wrong(path, "PixelData", f"{len(stream)} bytes of JPEG without an end", "truncated")
    expected = (dataset.Rows, dataset.Columns) if samples == 1 else (dataset.Rows, dataset.Columns, samples)
    if stored.shape != expected or stored.dtype.itemsize * 8 != dataset.BitsAllocated:
        return None
    if dataset.get("PixelRepresentation") == 1:
        unused = dataset.BitsAllocated - dataset.BitsStored
        signed = stored.view(f"i{stored.dtype.itemsize}")
        stored = (signed << unused) >> unused if unused else signed
    return stored


def _table(dataset: "Dataset", keyword: str, path: Path | str) -> tuple[int, np.ndarray, int]:
    """First mapped value, entries and bits of an entry of a look-up table."""
    item = dataset[keyword].value[0]
    descriptor, content = item.get("LUTDescriptor"), item.get("LUTData")
    if descriptor is None or len(descriptor) != 3 or content is None:
        raise wrong(path, keyword, f"{descriptor} with {'no' if content is None else 'some'} data", "it is no table")
    count, first, bits = (int(number) for number in descriptor)
    count = count or 1 << 16  # PS3.3 C.11.1.1.1
    if isinstance(content, bytes):
        order = "<" if dataset.original_encoding[1] is not False else ">"
        content = np.frombuffer(content, np.uint8 if len(content) < 2 * count else f"{order}u2")
    table = np.asarray(content).astype(np.int64).reshape(-1) & 0xFFFF
    if len(table) < count or not 1 <= bits <= 16:
        raise wrong(path, keyword, f"{len(table)} entries of {bits} bits", f"its descriptor says {count} entries")
    return first, table[:count], bits


def _colour(dataset: "Dataset", stored: np.ndarray, bits: int) -> np.ndarray:
    """RGB `(H, W, 3)` of 8 or 16 bits; a palette is resolved."""
    from pydicom.pixels import apply_color_lut

    deep = int(dataset.get("BitsStored") or dataset.BitsAllocated)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)[..., :3]
        deep = stored.dtype.itemsize * 8
    if (deep, bits) in ((8, 8), (16, 16)) and stored.dtype.itemsize * 8 == bits:
        return np.array(stored, order="C")
    return to_bits(np.clip(stored / np.float64((1 << deep) - 1), 0, 1).astype(np.float32), bits)


def _compact(dataset: "Dataset", values: np.ndarray) -> np.ndarray:
    """Modality values of CT as int16, which holds all that a scanner measures; others stay float32."""
    if dataset.get("Modality") != "CT":
        return values
    return np.clip(np.rint(values), -32768, 32767).astype(np.int16)


def _spacing(dataset: "Dataset", path: Path | str, frame: int) -> tuple[float, float]:
    """Millimetres between rows and between columns."""
    value = element_of(dataset, "PixelSpacing", frame)
    try:
        rows, columns = (float(number) for number in value)
    except (TypeError, ValueError):
        rows = columns = 0.0
    if not (0 < rows < np.inf and 0 < columns < np.inf):
        raise wrong(path, "PixelSpacing", value, "expected two numbers above 0")
    return rows, columns


def _number(dataset: "Dataset", keyword: str, path: Path | str, frame: int) -> float | None:
    """A number, the first of several; None where the element is missing or, for windows and the like, empty."""
    value = element_of(dataset, keyword, frame)
    if value is not None and not isinstance(value, str | float | int) and len(value):
        value = value[0]
    if value is None or value == "" or (not isinstance(value, str | float | int) and not len(value)):
        if keyword in dataset and keyword.startswith("Rescale"):
            raise wrong(path, keyword, None, "expected a number; use output: raw, or leave the file out")
        return None
    number = float(value)
    if not np.isfinite(number):
        raise wrong(path, keyword, value, "expected a number")
    return number


def _whole(dataset: "Dataset", keyword: str, path: Path | str) -> int:
    """A whole number above 0 that the header must have."""
    with _explained(path, keyword):
        value = dataset.get(keyword)
        if not isinstance(value, int) or value < 1:
            raise wrong(path, keyword, value, "expected a whole number above 0")
        return int(value)


def _integer(value: Any) -> int | None:
    """A padding value; some writers leave it as bytes or empty."""
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little") if len(value) >= 2 else None
    return int(value) if isinstance(value, int | float) else None


def _window_of(entry: str | list[float]) -> tuple[float, float]:
    if isinstance(entry, str):
        return named_window(entry)
    if len(entry) != 2 or not entry[1] > 0:
        raise ValueError(f"window {entry}: expected a name or [centre, width] with a width above 0")
    return float(entry[0]), float(entry[1])
