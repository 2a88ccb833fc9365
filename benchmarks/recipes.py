"""One fold of the 2018 Data Science Bowl with other losses and another decoder: same seed, same steps, a child each.

python -m benchmarks.recipes DATA [EPOCHS]: DATA is the competition's folder, EPOCHS 3 unless given.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.measure import Report

ROOT = Path(__file__).resolve().parents[1]
BORDER = "bce(border) + dice(border)"
ENCODER = {"encoder_name": "tu-tf_mobilenetv3_small_minimal_100", "encoder_weights": None}
EMPTY = {"class_path": "datamodules.targets.Empty", "init_args": {"source": "body"}}
WITH_LABEL = {
    "network": {"init_args": {"aux_params": {"classes": 1}}},
    "outputs": [["body", "border"], "empty"],
}
RECIPES: dict[str, dict] = {
    "bce + dice (the config)": {},
    "lovasz(symmetric=true)": {"loss": f"lovasz(body, symmetric=true) + {BORDER}"},
    "2.7 * bce + 0.9 * dice + 0.1 * bce(empty)": WITH_LABEL
    | {"loss": f"2.7 * bce(body) + 0.9 * dice(body) + 0.1 * bce(empty) + {BORDER}"},
    "bce + dice, FPN": {
        "network": {
            "class_path": "segmentation_models_pytorch.FPN",
            "init_args": ENCODER | {"classes": 2, "decoder_pyramid_channels": 64, "decoder_segmentation_channels": 32},
        }
    },
}


def main() -> None:
    data, epochs = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "3"
    report = Report(
        "recipes",
        ["torch", "segmentation-models-pytorch"],
        ("recipe", "instance AP (IoU .50:.95)", "per-image Dice"),
        f"`configs/dsb2018.yaml`, fold 0, seed 0, {epochs} epochs, random weights; the config's own post-processing.",
    )
    with tempfile.TemporaryDirectory() as folder:
        config = ["--config", str(ROOT / "configs/dsb2018.yaml")]
        root = ["--data.root", str(Path(data).resolve())]
        command(folder, "folds", *config, *root)
        for number, (name, recipe) in enumerate(RECIPES.items()):
            overlay: dict = {"model": {"init_args": recipe}} if recipe else {}
            if "empty" in recipe.get("loss", ""):
                targets = yaml.safe_load((ROOT / "configs/dsb2018.yaml").read_text())["data"]["init_args"]["targets"]
                overlay["data"] = {"init_args": {"targets": [*targets, EMPTY]}}
            (Path(folder) / f"{number}.yaml").write_text(yaml.safe_dump(overlay))
            more = ["--config", f"{number}.yaml"] if overlay else []
            text = command(
                *(folder, "fit", *config, *more, *root, "--experiment", str(number), "--seed_everything", "0"),
                *("--trainer.max_epochs", epochs, "--trainer.check_val_every_n_epoch", epochs),
                *("--trainer.enable_progress_bar", "false"),
            )
            score, dice = (
                re.search(rf"^fit: {label}.*? ([\d.]+  \[.*?\])", text, re.MULTILINE).group(1)
                for label in ("score", "DicePerImage")
            )
            report.line(f"| `{name}` | {score} | {dice} |")
    report.save()


def command(folder: str, *arguments: str) -> str:
    """Run a verb in a folder; what it printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{json.dumps(arguments)} failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
