"""What ensembling and post-processing bring on the 2018 Data Science Bowl, by the commands of the README.

Three small networks on two folds, each trained for as many steps; then the same stores of predictions, scored out of
fold: one network, with watershed, with test-time augmentation, three networks, with the chain that `search` finds. The
submission is scored a second time by a script of its own that shares no code with the template.

python -m benchmarks.leaderboard DATA [STEPS] [FOLDER]: DATA is the competition's folder, STEPS of each training 1000,
FOLDER where the runs go (a temporary one; a second call with the same folder goes on where the first stopped).
"""

import csv
import re
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import yaml

from benchmarks.measure import Report
from benchmarks.recipes import ROOT, command

ENCODER = {"encoder_name": "tu-tf_mobilenetv3_small_minimal_100", "encoder_weights": None, "classes": 2}
NETWORKS = {
    "unet": {
        "class_path": "segmentation_models_pytorch.Unet",
        "init_args": {"decoder_channels": [128, 64, 48, 32, 16]},
    },
    "fpn": {
        "class_path": "segmentation_models_pytorch.FPN",
        "init_args": {"decoder_pyramid_channels": 64, "decoder_segmentation_channels": 32},
    },
    "linknet": {"class_path": "segmentation_models_pytorch.Linknet", "init_args": {}},
}
FOLDS = ("0", "1")
COMPONENTS = [
    {"class_path": "postprocessing.Threshold", "init_args": {"output": "body", "value": 0.65, "result": "mask"}},
    {"class_path": "postprocessing.ConnectedComponents"},
    {"class_path": "postprocessing.FillHoles", "init_args": {"output": "instances"}},
    {"class_path": "postprocessing.MinimumArea", "init_args": {"output": "instances", "pixels": 40}},
]


def main() -> None:
    data, steps = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with tempfile.TemporaryDirectory() as temporary:
        folder = sys.argv[3] if len(sys.argv) > 3 else temporary
        Path(folder).mkdir(parents=True, exist_ok=True)
        table(data, steps, folder)


def table(data: Path, steps: int, folder: str) -> None:
    config = ["--config", str(ROOT / "configs/dsb2018.yaml")]
    where = ["--data.root", str(data), "--data.folds", "folds.csv"]
    if not (Path(folder) / "folds.csv").is_file():
        command(folder, "folds", *config, *where)
    for name, network in NETWORKS.items():
        network["init_args"] |= ENCODER
        overlay = {"model": {"init_args": {"network": network}}}
        (Path(folder) / f"{name}.yaml").write_text(yaml.safe_dump(overlay))
        for fold in FOLDS:
            train(
                folder,
                [*config, "--config", f"{name}.yaml", *where, "--experiment", name, "--data.fold", fold],
                steps,
            )
    components = {"competition": {"postprocess": COMPONENTS}}
    (Path(folder) / "components.yaml").write_text(yaml.safe_dump(components))

    rows: list[tuple[str, str]] = []
    predict(folder, "none")
    scores = {name: score(folder, *with_components(name)) for name in NETWORKS}
    best = max(scores, key=lambda name: float(scores[name].split()[0]))
    rows.append((f"the best of three networks ({best}), thresholds and components", scores[best]))
    rows.append(("… watershed on body and border", score(folder, f"runs/{best}")))
    runs = [f"runs/{name}" for name in NETWORKS]
    command(folder, "ensemble", *runs, "--output", "runs/plain")
    rows.append(("three networks, their mean, watershed", score(folder, "runs/plain")))
    predict(folder, "d4")
    rows.append((f"{best}, d4 test-time augmentation, watershed", score(folder, f"runs/{best}")))
    command(folder, "ensemble", *runs, "--output", "runs/mean")
    rows.append(("three networks with d4, their mean, watershed", score(folder, "runs/mean")))
    said = command(folder, "ensemble", *runs, "--rule", "weighted", "--output", "runs/weighted")
    rows.append(("… weights by hill climbing, each fold's found without it", score(folder, "runs/weighted")))
    found = command(folder, "search", "runs/mean")
    fitted = re.search(r"^cross-fitted +([\d.]+)", found, re.MULTILINE).group(1)
    rows.append(("… its mean with the chain that `search` finds, cross-fitted", fitted))
    command(folder, "submit", "runs/mean", "--output", "submission.csv")
    ours = command(folder, "score", "runs/mean", "--submission_file", "submission.csv")
    shown = re.search(r"score \(\w+\) ([\d.]+)", ours).group(1)
    independent = mean_precision(Path(folder) / "submission.csv", data / "stage1_solution.csv")
    if abs(float(shown) - independent) > 6e-5:
        raise SystemExit(f"`score` says {shown}, the independent script {independent:.6f}")

    report = Report(
        "leaderboard",
        ["torch", "segmentation-models-pytorch"],
        ("predictions", "score"),
        f"`configs/dsb2018.yaml`, folds {' and '.join(FOLDS)} of 5, three networks with random weights, {steps} "
        "steps of training each. Instance AP (IoU .50:.95) out of fold with its bootstrap interval over images.",
    )
    for line in (
        *(f"| {name} | {value} |" for name, value in rows),
        "",
        "Single networks, components: " + ", ".join(f"{name} {value}" for name, value in scores.items()) + ".",
        "",
        f"The submission for the held-back test images scores {shown} by `score`, and {independent:.4f} by a script "
        "that shares no code with it.",
        "",
        "```",
        *[line for line in said.splitlines() if "weight" in line][:6],
        *found.splitlines()[:12],
        "```",
    ):
        report.line(line)
    report.save()


def train(folder: str, arguments: list[str], steps: int) -> None:
    """Fit a run of so many steps, unless it is there."""
    name, fold = arguments[arguments.index("--experiment") + 1], arguments[arguments.index("--data.fold") + 1]
    if (Path(folder) / f"runs/{name}/fold{fold}/checkpoints/last.ckpt").is_file():
        return
    command(
        *(folder, "fit", *arguments, "--seed_everything", "0", "--overwrite", "true"),
        *("--trainer.max_steps", str(steps), "--trainer.max_epochs", "-1", "--trainer.max_time", "null"),
        *("--trainer.check_val_every_n_epoch", "1000", "--trainer.enable_progress_bar", "false"),
    )


def predict(folder: str, views: str) -> None:
    for name in NETWORKS:
        arguments = [f"runs/{name}", "--model.inference.tta", views, "--trainer.enable_progress_bar", "false"]
        command(folder, "predict", *arguments)


def with_components(name: str) -> tuple[str, ...]:
    """The run's own config, with another chain."""
    return f"runs/{name}", "--config", f"runs/{name}/fold{FOLDS[0]}/config.yaml", "--config", "components.yaml"


def score(folder: str, *arguments: str) -> str:
    text = command(folder, "score", *arguments)
    return re.search(r"score \(\w+\) ([\d.]+ +\[[^]]*\])", text).group(1)


def mean_precision(submission: Path, solution: Path) -> float:
    """The competition's metric from two files of run lengths: mean over images of the mean over thresholds of
    TP / (TP + FP + FN)."""
    predicted, true, sizes = objects(submission), objects(solution), {}
    with solution.open() as file:
        for row in csv.DictReader(file):
            sizes[row["ImageId"]] = int(row["Height"]) * int(row["Width"])
    total = 0.0
    for image, size in sizes.items():
        ours = [filled(runs, size) for runs in predicted[image]]
        theirs = [filled(runs, size) for runs in true[image]]
        iou = np.array([[np.sum(a & b) / max(1, np.sum(a | b)) for b in theirs] for a in ours]).reshape(
            len(ours), len(theirs)
        )
        precision = []
        for threshold in np.arange(0.5, 1.0, 0.05):
            hits = int((iou > threshold).any(1).sum()) if iou.size else 0
            found = len(ours) + len(theirs) - hits
            precision.append(hits / found if found else 1.0)
        total += float(np.mean(precision))
    return total / len(sizes)


def objects(path: Path) -> dict[str, list[str]]:
    """Run lengths of every object by image."""
    found = defaultdict(list)
    with path.open() as file:
        for row in csv.DictReader(file):
            if row["EncodedPixels"].strip():
                found[row["ImageId"]].append(row["EncodedPixels"])
    return found


def filled(runs: str, size: int) -> np.ndarray:
    """Run lengths as a flat bool mask."""
    numbers = np.array(runs.split(), int)
    mask = np.zeros(size, bool)
    for first, length in zip(numbers[::2], numbers[1::2], strict=True):
        mask[first - 1 : first - 1 + length] = True
    return mask


if __name__ == "__main__":
    main()
