"""Start-up of the command line against the imports that it would otherwise wait for; fresh processes."""

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measure import Report

ROOT = Path(__file__).resolve().parents[1]
STOCK = """
import sys
from pytorch_lightning.cli import LightningCLI
import pytorch_lightning as pl
sys.argv = ["x", "fit", "--help"]
LightningCLI(pl.LightningModule, pl.LightningDataModule, subclass_mode_model=True, subclass_mode_data=True)
"""
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "python cli.py --help": [str(ROOT / "cli.py"), "--help"],
    "import LightningCLI": ["-c", "from pytorch_lightning.cli import LightningCLI"],
    "LightningCLI fit --help": ["-c", STOCK],
    "python cli.py fit --help": [str(ROOT / "cli.py"), "fit", "--help"],
}


def main() -> None:
    report = Report("start_up", ["torch", "pytorch-lightning", "jsonargparse"])
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    cpu: dict[str, list[float]] = {name: [] for name in COMMANDS}
    size = {}
    for _ in range(6):
        for name, arguments in COMMANDS.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            start = time.perf_counter()
            output = subprocess.run([sys.executable, *arguments], capture_output=True, check=False, cwd=ROOT).stdout
            wall[name].append(time.perf_counter() - start)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            size[name] = len(output)
    report.lines = [*report.lines[:-2], "| command | wall s | CPU s | printed |", "|---|---|---|---|"]
    for name in COMMANDS:
        # The first round reads the files from disk.
        times = statistics.median(wall[name][1:]), statistics.median(cpu[name][1:])
        report.line(f"| `{name}` | {times[0]:.2f} | {times[1]:.2f} | {size[name] / 1000:.0f} kB |")
    report.save()


if __name__ == "__main__":
    main()
