"""Helpers of the tutorials: run commands as in a clone of the repository, and show images at page size."""

import os
import re
import subprocess
import sys
from pathlib import Path

from IPython.core.magic import register_cell_magic
from PIL import Image

from docs.generate.objects import ROOT

PROGRESS = re.compile(r"\d+/[\d?]+ \[")  # of tqdm's bars


def begin() -> None:
    """Make `%%bash` cells run as in the repository: with `cli.py`, `configs/` and this Python."""
    for name in ("cli.py", "configs"):
        if not Path(name).exists():
            Path(name).symlink_to(ROOT / name)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    register_cell_magic("bash")(lambda line, cell: print(printed(cell)))


def printed(commands: str) -> str:
    """Run commands and return their output without progress bars.

    Raises:
        RuntimeError: if a command fails; with its error output.
    """
    done = subprocess.run(["bash", "-ec", commands], capture_output=True, check=False)  # as text, \r would be \n
    if done.returncode:
        raise RuntimeError(f"{commands}\nended with status {done.returncode}: {done.stderr.decode()[-3000:]}")
    lines = (line.rpartition("\r")[2] for line in done.stdout.decode().split("\n"))
    return "\n".join(line.rstrip() for line in lines if not PROGRESS.search(line)).strip()


def show(path: Path | str, height: int | None = None) -> Image.Image:
    """Return an image at page size, cropped to its upper `height` pixels."""
    image = Image.open(path).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, height or image.height)))
    image.thumbnail((1000, 4000))
    return image.quantize(192, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
