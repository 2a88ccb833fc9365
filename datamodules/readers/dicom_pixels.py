"""Stored pixel values of DICOM files, plain and compressed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from datamodules.readers.dicom_elements import frame_count
from datamodules.readers.dicom_errors import explained, wrong

if TYPE_CHECKING:
    from pydicom import Dataset

CODECS = 'pip install -e ".[dicom]"'
JPEG_EXTENDED_OR_LOSSLESS = ("1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
# gdcm terminates the process on some damaged JPEG streams (an uncaught C++ exception), so it is never used.
UNSAFE = ("gdcm",)


def stored_values(dataset: "Dataset", path: Path | str, frame: int | None = None) -> np.ndarray:
    """Return the stored values of one frame: `(H, W)`, or `(H, W, 3)` as RGB; in native byte order, maybe read-only.

    Args:
        dataset: data set from `read_dataset`.
        path: path of the file, for errors.
        frame: number of the frame, from 0; None for the only one.

    Raises:
        DicomReadError: if pixels are damaged, truncated or do not fit the header, or there is no decoder or frame.
    """
    from pydicom.pixels import pixel_array

    count = frame_count(dataset, path)
    if frame is None and count > 1:
        raise wrong(path, "NumberOfFrames", count, "expected 1; data.frames: true makes each frame a row")
    if not 0 <= (frame or 0) < count:
        raise wrong(path, "NumberOfFrames", count, f"frame {frame} does not exist")
    index = frame or 0
    with explained(path, "PixelData"):
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


def _transfer_syntax(dataset: "Dataset", path: Path | str) -> Any:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(dataset, "file_meta", None)
    if meta is None:
        meta = dataset.file_meta = FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        # The file was parsed, so its encoding is known; not so the compression of pixels.
        implicit, little = dataset.original_encoding
        known = {(True, True): ImplicitVRLittleEndian, (False, True): ExplicitVRLittleEndian}
        if dataset.get("PixelData", b"")[:4] == b"\xfe\xff\x00\xe0":
            raise wrong(path, "TransferSyntaxUID", None, "the pixels are compressed, but the compression is unknown")
        meta.TransferSyntaxUID = known.get((implicit, little), ExplicitVRBigEndian)
    syntax = meta.TransferSyntaxUID
    if not syntax.is_private and not syntax.is_transfer_syntax:
        raise wrong(path, "TransferSyntaxUID", str(syntax), "expected a transfer syntax of DICOM")
    return syntax


def _check_length(dataset: "Dataset", path: Path | str, count: int) -> None:
    """Check that the size of uncompressed pixels fits the header; pydicom would drop excess bytes."""
    if "PixelData" not in dataset:
        return
    samples, bits = dataset.SamplesPerPixel, dataset.BitsAllocated
    half = samples == 3 and dataset.PhotometricInterpretation == "YBR_FULL_422"  # two of three values are shared
    values = dataset.Rows * dataset.Columns * (2 if half else samples)
    frame = values / 8 if bits == 1 else values * (bits // 8)
    found = len(dataset.PixelData)
    # Writers pad by a few bytes, sometimes by a row; more means that the header is wrong.
    slack = max(2, 2 * frame / dataset.Rows, 0.01 * frame * count)
    if not np.ceil(frame * count) <= found <= np.ceil(frame * count) + slack:
        size = f"{count} x {dataset.Rows} x {dataset.Columns} x {samples} of {bits} bits"
        expected = f"expected {int(np.ceil(frame * count))} for {size}: truncated, or Rows and Columns are wrong"
        raise wrong(path, "PixelData", f"{found} bytes", expected)


def _decompressed(dataset: "Dataset", path: Path | str, index: int, count: int) -> np.ndarray:
    from pydicom.encaps import get_frame
    from pydicom.pixels import get_decoder, pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise wrong(path, "TransferSyntaxUID", str(syntax), "pydicom has no decoder for it") from error
    offsets = {}
    if dataset.get("ExtendedOffsetTable"):
        offsets["extended_offsets"] = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    stream = get_frame(dataset.PixelData, index, number_of_frames=count, **offsets)
    size = codestream_size(stream)
    if size is not None and size != (dataset.Rows, dataset.Columns):
        # A decoder allocates the size in the stream's own header, however large.
        expected = f"the compressed image is {size[0]} x {size[1]}"
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
        except BaseException as error:  # a panic of pylibjpeg-rle, which is written in Rust, is not an Exception
            failures.append(f"{name}: {_short(error)}")
    raise wrong(
        path, "PixelData", f"{syntax.name}, {'; '.join(failures)}", f"damaged, or needs the decoders of {CODECS}"
    )


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 300 else text[:300] + "…"


def codestream_size(stream: bytes) -> tuple[int, int] | None:
    """Return rows and columns in the header of a JPEG, JPEG-LS or JPEG 2000 stream; None without such a header."""
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
    """Decode JPEG extended and lossless by imagecodecs' libjpeg-turbo: 12 bits, 2 to 4 times as fast as gdcm.

    Returns None if it is not installed or does not support the stream. (Its `ljpeg_decode` crashes on damaged streams.)
    """
    samples = int(dataset.SamplesPerPixel)
    if samples > 1 and dataset.PhotometricInterpretation != "RGB":
        return None
    try:
        import imagecodecs

        stored = imagecodecs.jpeg8_decode(stream)
    except Exception:
        return None
    if b"\xff\xd9" not in stream[-64:]:  # libjpeg replaces missing pixels by gray
        raise wrong(path, "PixelData", f"{len(stream)} bytes of JPEG without an end", "truncated")
    expected = (dataset.Rows, dataset.Columns) if samples == 1 else (dataset.Rows, dataset.Columns, samples)
    if stored.shape != expected or stored.dtype.itemsize * 8 != dataset.BitsAllocated:
        return None
    if dataset.get("PixelRepresentation") == 1:
        unused = dataset.BitsAllocated - dataset.BitsStored
        signed = stored.view(f"i{stored.dtype.itemsize}")
        stored = (signed << unused) >> unused if unused else signed
    return stored
