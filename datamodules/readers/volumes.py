"""Volumes: NIfTI, MetaImage, folders of DICOM slices, and multi-page TIFF."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.readers.base import ImageReadError, Reader
from datamodules.readers.dicom_elements import element_of, frame_count, place_of
from datamodules.readers.dicom_files import read_header
from datamodules.readers.dicom_series import read_series
from datamodules.readers.images import picture_size, read_picture
from datamodules.row import Row
from preprocessing.hounsfield import window as windowed
from preprocessing.metaimage import data_file, read_metaimage, read_metaimage_header
from preprocessing.orientation import axis_codes, orientation_to
from preprocessing.series import common_orientation, on_each_other, slice_places, stack_affine
from preprocessing.spacing import resample, resample_onto, resampled_grid

NIFTI = (".nii", ".nii.gz")
METAIMAGE = (".mhd", ".mha")
DICOM = (".dcm", ".dicom", ".dic", ".ima")
TIFF = (".tif", ".tiff")
ENDINGS = (*NIFTI, *METAIMAGE, *DICOM, *TIFF)
NO_PLACE = np.eye(4)[[2, 1, 0, 3]]  # affine of files without one: 1 mm cubes in `RAS` orientation
ANY = 1 << 48  # no limit on pixels of a page: the reader limits the voxels of a volume
NOTES = (".xml", ".txt", ".json", ".csv", ".pdf")  # other files that archives put next to slices
PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "NumberOfFrames", "SliceThickness")
GROUPS = ("SpacingBetweenSlices", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
Grid = tuple[tuple[int, int, int], np.ndarray]  # (D, H, W), and the affine (4, 4) to RAS millimetres


class VolumeReader(Reader):
    """Reads volumes in one orientation and, optionally, one voxel size and one range of values.

    A row's `path` is a NIfTI file (`.nii`, `.nii.gz`; needs `pip install -e ".[volumes]"`), a MetaImage file (`.mha`,
    `.mhd`), a multi-frame DICOM file, a TIFF whose pages are slices, or a folder with the slices of one DICOM series;
    or its `slices` list these. A TIFF has no orientation and no voxel size: with `axcodes: RAS` it is unchanged. DICOM
    slices are sorted by position, whatever their names, and converted to Hounsfield units, with a warning about missing
    slices or uneven gaps.

    Args:
        axcodes: directions of columns, rows and slices (see `preprocessing.orientation.axis_codes`): `RAS` as in MONAI
            and nnU-Net, `LPS` as radiologists view axial slices. None keeps the orientation of the file.
        spacing: voxel size along (slice, row, column), mm, after `axcodes`, to which volumes are resampled (linearly):
            `[1, 1, 1]` in both winning solutions of DSB 2017. None keeps that of the file.
        window: values `[low, high]`, HU for CT, mapped linearly to 0 and 255 (uint8): `[-1200, 600]` in the winning
            solution of DSB 2017. Several (`[[-1200, 600], [-160, 240]]`) give one channel each. None keeps values
            unchanged (set `model.input_range`).
        max_voxels: maximum number of voxels, in the file and after resampling; a small file can claim any size.
    """

    def __init__(
        self,
        axcodes: str | None = "RAS",
        spacing: list[float] | None = None,
        window: list[float] | list[list[float]] | None = None,
        max_voxels: int = 2_000_000_000,
    ) -> None:
        if axcodes is not None:
            orientation_to(np.eye(4), axcodes)
        if spacing is not None:
            resampled_grid((1, 1, 1), np.eye(4), spacing)
        self.axcodes, self.spacing, self.window, self.max_voxels = axcodes, spacing, window, max_voxels
        self._windows = _windows_of(window)
        self._grids: dict[tuple, Grid] = {}

    def read(self, row: Row) -> np.ndarray:
        """Return `(D, H, W, C)`: uint8 with a `window`, else the file's type (int16 Hounsfield units of CT in DICOM).

        Raises:
            ImageReadError: if the file cannot be read; names it.
        """
        source = source_of(row)
        check_size(source, self._grid(row)[0], self.max_voxels)
        volume, affine = read_volume(source)
        channels = [volume[..., index] for index in range(volume.shape[3])]
        return self.shown([self.placed(channel, affine)[0] for channel in channels])

    def shown(self, channels: list[np.ndarray]) -> np.ndarray:
        """Stack channels `(D, H, W)` to one array `(D, H, W, C)`, after applying the windows, if any."""
        if not self._windows:
            return np.stack(channels, axis=-1)
        bytes_ = [windowed(one, (low + high) / 2, high - low, 8) for one in channels for low, high in self._windows]
        return np.stack(bytes_, axis=-1)

    def placed(
        self, volume: np.ndarray, affine: np.ndarray, order: Literal[0, 1, 3] = 1
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a volume `(D, H, W)` of a file in this reader's orientation and voxel size, and its affine."""
        if self.axcodes is not None:
            turn = orientation_to(affine, self.axcodes)
            volume, affine = turn.apply(volume), turn.affine(affine, volume.shape)
        if self.spacing is not None:
            volume, affine = resample(volume, affine, self.spacing, order)
        return volume, affine

    def size(self, row: Row) -> tuple[int, int, int]:
        return self.grid(row)[0]

    def grid(self, row: Row) -> Grid:
        """Return size and affine of a row's image as returned by `read`, from headers."""
        size, affine = self._grid(row)
        if self.axcodes is not None:
            turn = orientation_to(affine, self.axcodes)
            size, affine = turn.sides(size), turn.affine(affine, size)
        if self.spacing is not None:
            size, affine = resampled_grid(size, affine, self.spacing)
            check_size(source_of(row), size, self.max_voxels)
        return size, affine

    def restore(self, row: Row, prediction: np.ndarray, order: Literal[0, 1] = 1) -> np.ndarray:
        """Resample a prediction to the voxels and orientation of the file, for submissions.

        Args:
            row: row of the image.
            prediction: `(K, D, H, W)` or `(D, H, W)` at the size of `read`.
            order: 1 for probabilities, 0 for labels and masks.

        Returns:
            `(K, D', H', W')` or `(D', H', W')`; slices of a DICOM series in the order of their positions.
        """
        own, affine = self._grid(row)
        size, onto = self.grid(row)
        if tuple(prediction.shape[-3:]) != size:
            raise ValueError(f"the prediction of {row.image_id!r} is {prediction.shape}, but its image is {size}")
        turn = orientation_to(affine, self.axcodes) if self.axcodes is not None else None
        sides, middle = (own, affine) if turn is None else (turn.sides(own), turn.affine(affine, own))
        if self.spacing is not None:
            maps = prediction.reshape(-1, *size)
            maps = np.stack([resample_onto(one, onto, sides, middle, order) for one in maps])
            prediction = maps.reshape(*prediction.shape[:-3], *sides)
        return prediction if turn is None else np.ascontiguousarray(turn.undo(prediction))

    def files(self, row: Row) -> list[Path | str]:
        return files_of(source_of(row))

    def _grid(self, row: Row) -> Grid:
        """Return size and affine in the file; cached, as reading the headers of a series is slow."""
        source = source_of(row)
        if self.spacing is not None and isinstance(source, Path) and ending_of(source) in TIFF:
            raise ImageReadError(f"{source} has no voxel size; remove reader.spacing, or convert it to NIfTI")
        key = tuple(map(str, source)) if isinstance(source, list) else (str(source),)
        if key not in self._grids:
            self._grids[key] = read_grid(source)
        return self._grids[key]


def source_of(row: Row) -> Path | list[Path]:
    """Return the file or folder of a row, or the files in its `slices`."""
    slices = getattr(row, "slices", None)
    return [Path(path) for path in slices] if isinstance(slices, list | tuple) else Path(row.path)


def ending_of(path: Path | str) -> str:
    """Return the ending of a volume file, `.nii.gz` as one; empty if it is not a volume."""
    name = Path(path).name.lower()
    return next((ending for ending in (".nii.gz", *ENDINGS) if name.endswith(ending)), "")


def files_of(source: Path | list[Path]) -> list[Path]:
    """Return every file of a volume.

    Raises:
        ImageReadError: if there is none.
    """
    if isinstance(source, list):
        return source
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
        files = [path for path in files if path.name.upper() != "DICOMDIR" and path.suffix.lower() not in NOTES]
        if not files:
            raise ImageReadError(f"{source} has no files, expected the slices of a DICOM series")
        return files
    if not source.is_file():
        raise ImageReadError(f"{source} does not exist")
    if ending_of(source) == ".mhd":
        with _explained(source):
            return list(dict.fromkeys([source, data_file(source)]))
    return [source]


def read_volume(source: Path | list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Read a volume as stored in its file.

    Args:
        source: NIfTI, MetaImage or TIFF file, DICOM file, folder of DICOM files, or list of them.

    Returns:
        `(D, H, W, C)` in the file's type (native byte order, float64 as float32), and the affine `(4, 4)` from (slice,
        row, column) to RAS millimetres. Axes of NIfTI are (z, y, x); a fourth axis becomes channels.

    Raises:
        ImageReadError: if the file is missing, empty, truncated, not a volume, or has values that are not finite; names
            it.
    """
    files = files_of(source)
    ending = "" if isinstance(source, list) or source.is_dir() else ending_of(source)
    with _explained(source if not isinstance(source, list) else files[0]):
        if ending in NIFTI:
            volume, affine = _read_nifti(files[0])
        elif ending in METAIMAGE:
            volume, affine = read_metaimage(files[0])
        elif ending in TIFF:
            volume, affine = read_picture(files[0], "unchanged", ANY, "stack"), NO_PLACE
        elif ending in DICOM or len(files) > 1 or isinstance(source, list) or source.is_dir():
            volume, affine = read_series(files)
        else:
            raise ImageReadError(f"{source} has no ending of a volume, expected one of {', '.join(ENDINGS)}")
        if volume.dtype.kind not in "biuf":
            raise ImageReadError(f"{files[0]} contains {volume.dtype}, expected numbers")
        volume = volume.astype(np.float32) if volume.dtype == np.float64 else volume
        volume = volume.astype(volume.dtype.newbyteorder("="), copy=False)
        if volume.dtype.kind == "f":
            wrong = volume.size - int(np.isfinite(volume).sum())
            if wrong:
                raise ImageReadError(f"{files[0]}: {wrong} of {volume.size} voxels are not finite")
    return volume if volume.ndim == 4 else volume[..., None], affine


def read_grid(source: Path | list[Path]) -> Grid:
    """Return size `(D, H, W)` and affine of a volume as stored in its file, from headers alone.

    Raises:
        ImageReadError: like `read_volume`.
    """
    files = files_of(source)
    ending = "" if isinstance(source, list) or source.is_dir() else ending_of(source)
    with _explained(source if not isinstance(source, list) else files[0]):
        if ending in NIFTI:
            return _nifti_grid(_open_nifti(files[0]), files[0])
        if ending in METAIMAGE:
            header = read_metaimage_header(files[0])
            return header.size, header.affine
        if ending in TIFF:
            return picture_size(files[0], ANY, "stack"), NO_PLACE
        if ending in DICOM or len(files) > 1 or isinstance(source, list) or source.is_dir():
            return _series_grid(files)
    raise ImageReadError(f"{source} has no ending of a volume, expected one of {', '.join(ENDINGS)}")


def check_size(source: Path | list[Path], size: tuple[int, ...], limit: int) -> None:
    """Raise an error if a volume has too many voxels."""
    if np.prod(size, dtype=np.float64) > limit:
        raise ImageReadError(
            f"{source if isinstance(source, Path) else source[0]} is {' x '.join(map(str, size))} voxels, more than "
            f"reader.max_voxels {limit}; raise it if this is correct, or check reader.spacing"
        )


class _explained:
    """Converts any error of a library about a broken file to an ImageReadError that names it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        if self.path.is_file() and self.path.stat().st_size == 0:
            raise ImageReadError(f"{self.path} is empty (0 bytes)")

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, ImageReadError | MemoryError | ImportError):
            text = " ".join(str(error).split())
            named = text if str(self.path) in text else f"{self.path} is damaged: {type(error).__name__}: {text}"
            raise ImageReadError(named) from error


def _open_nifti(path: Path) -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise ImportError('NIfTI files need nibabel: pip install -e ".[volumes]"') from error
    return nibabel.load(path)


def _nifti_grid(image: Any, path: Path) -> Grid:
    """Return size and affine; files are (x, y, z) with x fastest, so our arrays are their transpose."""
    shape = image.shape
    if not 3 <= len(shape) <= 5 or min(shape) < 1 or (len(shape) == 5 and shape[3] != 1):
        raise ImageReadError(f"{path} has axes {shape}, expected three of space, and optionally one of channels")
    affine = np.asarray(image.affine, np.float64)[:, [2, 1, 0, 3]]
    axis_codes(affine)  # raises if it is invalid
    return tuple(int(side) for side in shape[2::-1]), affine


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = _open_nifti(path)
    size, affine = _nifti_grid(image, path)
    try:
        values = np.asanyarray(image.dataobj)  # stored integers if the file has no slope
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ImageReadError(f"{path} is truncated or damaged: {' '.join(str(error).split())}") from error
    return np.ascontiguousarray(values.reshape(*size[::-1], -1).transpose(2, 1, 0, 3)), affine


def _series_grid(files: Sequence[Path]) -> Grid:
    """Return the grid of `read_series` for these files."""
    found, shape, first = [], None, None
    for path in files:
        header = read_header(path, [*PLACE, *GROUPS])
        shape = shape or (int(header.Rows), int(header.Columns))
        first = header if first is None else first
        found += [(path, *place_of(header, path, frame)) for frame in range(frame_count(header, path))]
    orientation = common_orientation([direction for _, _, direction in found])
    positions = np.array([position for _, position, _ in found])
    twice = on_each_other(slice_places(positions, orientation))
    if twice is not None:
        one, other = (found[index] for index in twice)
        raise ImageReadError(
            f"{one[0]} and {other[0]} have the same position {one[1].tolist()}; use the files of one series and one "
            "time"
        )
    positions = positions[np.argsort(slice_places(positions, orientation), kind="stable")]
    spacing = [float(number) for number in element_of(first, "PixelSpacing")]
    thickness = next(
        (value for value in (element_of(first, key) for key in ("SpacingBetweenSlices", "SliceThickness")) if value),
        1.0,
    )
    return (len(found), *shape), stack_affine(positions, orientation, spacing, abs(float(thickness)))


def _windows_of(window: list[float] | list[list[float]] | None) -> list[tuple[float, float]]:
    if not window:
        return []
    pairs = window if isinstance(window[0], list | tuple) else [window]
    for pair in pairs:
        if len(pair) != 2 or not pair[0] < pair[1]:
            raise ValueError(
                f"VolumeReader: window is {window}, expected [low, high] or a list of these, with low below high"
            )
    return [(float(low), float(high)) for low, high in pairs]
