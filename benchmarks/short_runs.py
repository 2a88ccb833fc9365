"""What augmentation and averaged weights bring in a few minutes: the 2018 Data Science Bowl, fold 0, several seeds.

python -m benchmarks.short_runs DATA [MINUTES] [SEEDS] [PROCESSES]: the competition's folder, minutes of each training
(5), seeds of each cell (3), trainings at a time (1), each on one thread. The runs stay in `short_runs/` of the working
folder, and a second call trains what is missing; `python cli.py compare short_runs/runs/*` shows them side by side.
"""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev

from benchmarks.measure import Report
from benchmarks.recipes import ROOT, command

CELLS = {
    "no augmentation (crops)": ("none", False),
    "light": ("light", False),
    "heavy geometry": ("heavy_geometric", False),
    "light, averaged weights (EMA)": ("light", True),
}
FOLDER = Path("short_runs")


def main() -> None:
    data, given = Path(sys.argv[1]).resolve(), [int(value) for value in sys.argv[2:]]
    minutes, seeds, processes = (*given, *(5, 3, 1)[len(given) :])
    FOLDER.mkdir(exist_ok=True)
    config = ["--config", str(ROOT / "configs/dsb2018.yaml")]
    where = ["--data.root", str(data), "--data.folds", "folds.csv"]
    if not (FOLDER / "folds.csv").is_file():
        command(str(FOLDER), "folds", *config, *where)
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in CELLS}

    def train(job: tuple[str, int]) -> tuple[str, tuple[float, float, int]]:
        name, seed = job
        preset, averaged = CELLS[name]
        experiment = f"{preset}{'_ema' if averaged else ''}_seed{seed}"
        result = FOLDER / f"{experiment}.json"
        if not result.is_file():
            text = command(
                *(str(FOLDER), "fit", *config, "--config", str(ROOT / f"configs/presets/augmentation_{preset}.yaml")),
                *(*where, "--experiment", experiment, "--seed_everything", str(seed), "--overwrite", "true"),
                *([] if averaged else ["--ema", "null"]),
                *("--trainer.max_time", f"00:00:{minutes:02d}:00", "--trainer.max_epochs", "-1"),
                *("--trainer.check_val_every_n_epoch", "1000", "--trainer.enable_progress_bar", "false"),
            )
            score, dice = (
                float(re.search(rf"^fit: {label}.*? ([\d.]+)  \[", text, re.MULTILINE).group(1))
                for label in ("score", "DicePerImage")
            )
            lines = (FOLDER / f"runs/{experiment}/fold0/metrics.csv").read_text().splitlines()
            steps = max(int(line.split(",")[3]) for line in lines[1:])
            result.write_text(json.dumps([score, dice, steps]))
        return name, tuple(json.loads(result.read_text()))

    # cells alternate, so that a machine whose speed drifts is unfair to none
    jobs = [(name, seed) for seed in range(seeds) for name in CELLS]
    with ThreadPoolExecutor(processes) as pool:
        for name, figures in pool.map(train, jobs):
            found[name].append(figures)
            print(name, figures, flush=True)
    report = Report(
        "short_runs",
        ["torch", "segmentation-models-pytorch", "albumentations"],
        ("cell", "instance AP (IoU .50:.95)", "each seed", "per-image Dice", "optimizer steps"),
        f"`configs/dsb2018.yaml`, fold 0, random weights, {minutes} minutes of training on one thread, {processes} "
        f"at a time, {seeds} seeds; mean and standard deviation over the seeds.",
    )
    for name, figures in found.items():
        report.line(row(name, figures))
    report.save()


def row(name: str, figures: list[tuple[float, float, int]]) -> str:
    scores, dices, steps = zip(*figures, strict=True)
    spread = [f" ± {stdev(values):.3f}" if len(values) > 1 else "" for values in (scores, dices)]
    each = ", ".join(f"{score:.3f}" for score in scores)
    return f"| {name} | {mean(scores):.3f}{spread[0]} | {each} | {mean(dices):.3f}{spread[1]} | {mean(steps):.0f} |"


if __name__ == "__main__":
    main()
