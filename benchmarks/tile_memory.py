"""Memory that merging tiles takes beside the image: an identity network, a fresh process each.

`ours, streamed` is how `predict` goes through large pictures: finished rows leave for a file, float32 here.

Needs Linux and MONAI: pip install -e ".[bench]".
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.measure import Report
from inference import Inference

SIDE, TILE, OVERLAP = 3000, 512, 0.25


def identity(x: torch.Tensor) -> torch.Tensor:
    return x[:, :1].clone()


def merged(variant: str, image: torch.Tensor) -> object:
    if variant == "MONAI":
        from monai.inferers import sliding_window_inference

        return sliding_window_inference(image, TILE, 4, identity, OVERLAP, mode="gaussian")
    if variant == "ours, streamed":
        return streamed(image)
    dtype = torch.uint8 if variant == "ours, uint8" else torch.float32
    return Inference(TILE, OVERLAP)(lambda tile: {"mask": identity(tile)}, image, dtype=dtype)


def streamed(image: torch.Tensor) -> None:
    with tempfile.TemporaryFile() as file:

        def write(name: str, rows: torch.Tensor) -> None:
            file.write(rows.contiguous().numpy())

        def rows(first: int, last: int) -> torch.Tensor:
            return image[0, :, first:last]

        Inference(TILE, OVERLAP).stream(
            lambda tile: {"mask": identity(tile)}, image.shape[2:], rows, lambda window: window, write
        )


def resident(key: str) -> float:
    """MiB of `VmRSS` or of its peak `VmHWM`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def measure(variant: str) -> None:
    image = torch.rand(1, 3, SIDE, SIDE)
    merged(variant, image[..., :600, :600])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    result = merged(variant, image)
    print(resident("VmHWM") - before)
    del result


def main() -> None:
    columns = (f"merging {SIDE} x {SIDE}, tile {TILE}", "peak growth MiB")
    report = Report("tile_memory", ["torch", "monai"], columns)
    for variant in ("MONAI", "ours", "ours, uint8", "ours, streamed"):
        command = [sys.executable, "-m", "benchmarks.tile_memory", variant]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        report.line(f"| {variant} | {float(output.split()[-1]):.0f} |")
    report.save()


if __name__ == "__main__":
    measure(sys.argv[1]) if len(sys.argv) > 1 else main()
