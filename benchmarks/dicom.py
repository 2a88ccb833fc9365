"""DICOM, JPEG lossless and uncompressed: our reader against pydicom (with its gdcm plug-in), and the decoded cache."""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1, generate_uid

from benchmarks.measure import Report, compare
from datamodules.cache import DecodedCache
from datamodules.decoder import Decoder
from datamodules.dicom import DicomDataModule
from datamodules.readers import DicomReader
from datamodules.table import rows_of


def x_ray(path: Path, side: int, lossless: bool) -> None:
    """A 12-bit picture with the noise of an X-ray."""
    from imagecodecs import ljpeg_encode

    random = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(random.standard_normal((side, side)).astype(np.float32), (0, 0), 9) * 12_000 + 2048
    pixels = np.clip(smooth + 12 * random.standard_normal(smooth.shape), 0, 4095).astype(np.uint16)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = JPEGLosslessSV1 if lossless else ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = ComputedRadiographyImageStorage
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID = generate_uid()
    made.Modality, made.PhotometricInterpretation, made.SamplesPerPixel = "CR", "MONOCHROME2", 1
    made.Rows, made.Columns = pixels.shape
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.WindowCenter, made.WindowWidth = 2048, 4096
    if lossless:
        made.add_new("PixelData", "OB", encapsulate([ljpeg_encode(pixels, bitspersample=12)]))
        made["PixelData"].is_undefined_length = True
    else:
        made.add_new("PixelData", "OW", pixels.tobytes())
    made.save_as(path, enforce_file_format=True)


def main() -> None:
    packages = ["numpy", "pydicom", "python-gdcm", "imagecodecs"]
    report = Report("dicom", packages)
    with tempfile.TemporaryDirectory() as name:
        for kind, lossless in (("JPEG lossless", True), ("uncompressed", False)):
            for side in (1024, 2048):
                folder = Path(name) / f"{kind} {side}"
                folder.mkdir()
                x_ray(folder / "a.dcm", side, lossless)
                add(report, folder, f"{kind}, {side} x {side}, 12 bit", lossless)
    report.save()


def add(report: Report, folder: Path, work: str, lossless: bool) -> None:
    plugin = "gdcm" if lossless else ""
    peer = f"pydicom with {plugin}" if plugin else "pydicom"
    decoder = Decoder(DicomReader(output="raw", channels="gray"), [])
    data = DicomDataModule(root=str(folder), images="*.dcm", targets=[])
    row = rows_of(data.table())[0]

    def by_pydicom() -> np.ndarray:
        return pydicom.pixels.pixel_array(pydicom.dcmread(row.path), decoding_plugin=plugin)

    picture = Decoder(DicomReader(channels="gray"), [])
    cache = DecodedCache(decoder, folder / "cache")
    cache.build(data.table(), show=False)
    assert (decoder.read(row)[0][..., 0] == by_pydicom()).all()
    assert (cache.read(row)[0][..., 0] == by_pydicom()).all()
    variants = {
        peer: by_pydicom,
        "reader, stored values": lambda: decoder.read(row),
        "reader, window to 8 bits": lambda: picture.read(row),
        "decoded cache": lambda: cache.read(row),
    }
    report.add(work, compare(variants, peer))


if __name__ == "__main__":
    main()
