"""Start-up of the command line against the imports that it would otherwise wait for; fresh processes."""

import sys
from functools import partial

from benchmarks.measure import ROOT, Report, compare_processes, process_cost

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
    report = Report(
        "start_up", ["torch", "pytorch-lightning", "jsonargparse"], ("command", "wall s", "CPU s", "printed")
    )
    runs = {name: partial(process_cost, [sys.executable, *arguments]) for name, arguments in COMMANDS.items()}
    for name, cost in compare_processes(runs).items():
        report.line(f"| `{name}` | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.printed:.0f} kB |")
    report.save()


if __name__ == "__main__":
    main()
