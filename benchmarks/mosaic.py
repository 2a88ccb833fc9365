"""Touching tiles predicted as one scene with overlap, against tile by tile: errors by the distance to a shared edge.

Each held-back tile of `configs/land_cover.yaml` that shares an edge with another tile is predicted alone, then as half
of the scene that both make, in tiles of the same size that overlap by half. The network is the same, without views.

python -m benchmarks.mosaic RUN DATA: a trained run of the config, and its folder of data.
"""

import sys
from pathlib import Path

import numpy as np
import rasterio
import torch

from benchmarks.measure import Report
from experiments import load
from inference import Inference

SIDE, BANDS = 256, ((0, 8), (8, 16), (16, 32), (32, 64), (64, 128), (128, 256))
SIDES = ((-SIDE, 0), (SIDE, 0), (0, -SIDE), (0, SIDE))


def main() -> None:
    run, data = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    module = load(run).module
    tiles = {
        path.stem.split("_")[1]: read(path)
        for part in ("train", "val")
        for path in sorted((data / part / "img").glob("*.tif"))
    }
    held = {path.stem.split("_")[1]: path for path in sorted((data / "val" / "mask").glob("*.tif"))}
    errors = {"tile by tile": np.zeros((len(BANDS), 2)), "as one scene": np.zeros((len(BANDS), 2))}
    count = 0
    for name, path in held.items():
        row, column, image = tiles[name]
        with rasterio.open(path) as source:
            target = source.read(1)
        module.inference = Inference(tile=SIDE)
        alone = None
        for one, two, pixels in tiles.values():
            side = round(one - row), round(two - column)
            if side not in SIDES or pixels.shape != image.shape:
                continue
            count += 1
            alone = classes(module, image) if alone is None else alone
            axis, first = 1 + (side[0] == 0), image if sum(side) > 0 else pixels
            scene = np.concatenate([first, pixels if first is image else image], axis=axis)
            module.inference = Inference(tile=SIDE, overlap=0.5)
            whole = np.split(classes(module, scene), 2, axis=axis - 1)[0 if first is image else 1]
            module.inference = Inference(tile=SIDE)
            distance = distances(side, target.shape)
            for number, (low, high) in enumerate(BANDS):
                band = (distance >= low) & (distance < high)
                for key, predicted in (("tile by tile", alone), ("as one scene", whole)):
                    errors[key][number] += (predicted != target)[band].sum(), band.sum()
    report = Report(
        "mosaic",
        ["torch", "segmentation-models-pytorch"],
        ("distance to a shared edge, pixels", *errors, "change"),
        f"{count} pairs of a held-back tile of 256² and one that shares an edge with it; wrong pixels of the first.",
    )
    for number, (low, high) in enumerate(BANDS):
        one, two = (wrong[number, 0] / wrong[number, 1] for wrong in errors.values())
        report.line(f"| {low} to {high} | {100 * one:.2f} % | {100 * two:.2f} % | {100 * (two / one - 1):+.1f} % |")
    report.save()


def read(path: Path) -> tuple[float, float, np.ndarray]:
    """Row and column of a tile on the map's grid of pixels, and its pixels `(C, H, W)`."""
    with rasterio.open(path) as source:
        return -source.transform.f / abs(source.transform.e), source.transform.c / source.transform.a, source.read()


def classes(module: torch.nn.Module, image: np.ndarray) -> np.ndarray:
    """The class of every pixel `(H, W)`."""
    return module.predict_image([torch.from_numpy(image)], tta=False)["mask"].argmax(0).numpy()


def distances(side: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
    """Pixels from each pixel to the edge on that side."""
    rows, columns = np.indices(shape)
    return dict(zip(SIDES, (rows, shape[0] - 1 - rows, columns, shape[1] - 1 - columns), strict=True))[side]


if __name__ == "__main__":
    main()
