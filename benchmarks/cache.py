"""A sample from the decoded cache against decoding its files."""

import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import Report, compare
from datamodules.cache import DecodedCache
from datamodules.decoder import Decoder
from datamodules.quickstart import Nuclei
from datamodules.readers import ImageReader
from datamodules.table import find_images, rows_of
from datamodules.targets import InstanceFolders, MaskFiles


def pictures(folder: Path, side: int) -> None:
    """A textured RGB picture and a mask as PNG files."""
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    noise = random.standard_normal((side, side, 3)).astype(np.float32)
    picture = np.clip(cv2.GaussianBlur(noise, (0, 0), 3) * 400 + 128, 0, 255)
    picture = np.clip(picture + 4 * random.standard_normal(picture.shape), 0, 255).astype(np.uint8)
    mask = (cv2.GaussianBlur(noise[..., 0], (0, 0), 12) > 0).astype(np.uint8) * 255
    cv2.imwrite(str(folder / "images/a.png"), picture)
    cv2.imwrite(str(folder / "masks/a.png"), mask)


def main() -> None:
    report = Report("cache", ["numpy", "pillow", "opencv-python-headless"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side in (512, 1024):
            pictures(folder / str(side), side)
            add(
                report,
                folder / str(side),
                f"RGB and mask, {side} x {side}",
                "images/*.png",
                MaskFiles("masks/{image_id}.png"),
            )
        Nuclei(train=1, test=1).write(folder / "nuclei")
        target = InstanceFolders("stage1_train/{image_id}/masks/*.png")
        add(report, folder / "nuclei", "nuclei with a mask file each", "stage1_train/*/images/*.png", target)
    report.save()


def add(report: Report, root: Path, work: str, images: str, target: MaskFiles | InstanceFolders) -> None:
    table = find_images(root, images)
    target.prepare(table, root)
    decoder = Decoder(ImageReader(), [target])
    row = rows_of(table)[0]
    caches = {"disk": DecodedCache(decoder, root / "cache"), "ram": DecodedCache(decoder)}
    for cache in caches.values():
        cache.build(table, show=False)
        image, arrays = cache.read(row)
        expected, truth = decoder.read(row)
        assert (image == expected).all()
        assert all((arrays[name] == truth[name]).all() for name in truth)
    variants = {"decoding": lambda: decoder.read(row)}
    variants |= {name: lambda cache=cache: cache.read(row) for name, cache in caches.items()}
    report.add(work, compare(variants, "decoding"))


if __name__ == "__main__":
    main()
