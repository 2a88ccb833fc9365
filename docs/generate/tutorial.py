"""What the tutorials do behind the scenes: commands run as in a clone of the repository, pictures fit a page."""

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
    """Let a cell of `%%bash` run as in the repository: `python cli.py …` with this Python, `configs/` beside it."""
    for name in ("cli.py", "configs"):
        if not Path(name).exists():
            Path(name).symlink_to(ROOT / name)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    register_cell_magic("bash")(lambda line, cell: print(printed(cell)))


def printed(commands: str) -> str:
    """What commands print, without progress bars.

    Raises:
        RuntimeError: one of them failed; with what it said.
    """
    done = subprocess.run(["bash", "-ec", commands], capture_output=True, check=False)  # as text, \r would be \n
    if done.returncode:
        raise RuntimeError(f"{commands}\nended with status {done.returncode}: {done.stderr.decode()[-3000:]}")
    lines = (line.rpartition("\r")[2] for line in done.stdout.decode().split("\n"))
    return "\n".join(line.rstrip() for line in lines if not PROGRESS.search(line)).strip()


def show(path: Path | str, height: int | None = None) -> Image.Image:
    """A picture small enough for a page, from its top down to `height` pixels."""
    picture = Image.open(path).convert("RGB")
    picture = picture.crop((0, 0, picture.width, min(picture.height, height or picture.height)))
    picture.thumbnail((1000, 4000))
    return picture.quantize(192, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
