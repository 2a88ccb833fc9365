"""Time and memory of verbs that work on files, on a set of two images: start-up is nearly all of it.

Against `import torch`, and against a former build, in turns; fresh processes.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.former import former_build
from benchmarks.measure import ROOT, Report, compare_processes, process_cost

FORMER = "8b6cdd9"  # the last build whose offline verbs imported torch and Lightning
CONFIG = """
data:
  class_path: datamodules.ImageDataModule
  init_args:
    root: data
    images: images/*.png
    test_images: images/*.png
    targets: [{{class_path: datamodules.targets.MaskFiles, init_args: {{pattern: "masks/{{image_id}}.png"}}}}]
    folds: folds.csv
    fold: {fold}
competition:
  metric: {{class_path: evaluation.metrics.DicePerImage}}
  postprocess: [{{class_path: postprocessing.Threshold}}]
  submission: {{class_path: {submission}}}
cv: {{k: 2}}
experiment: c
"""
STORE = """
import sys
import numpy as np
try:
    from predictions.store import PredictionStore
except ModuleNotFoundError:
    from postprocessing.predictions import PredictionStore
ids = sys.argv[2:]
store = PredictionStore(sys.argv[1])
for image_id in store.begin(ids, "made up"):
    store.write(image_id, {"mask": np.load(f"{image_id}.npy")}, dtype="float16")
store.finish()
"""
VERBS = {
    "folds": ["folds", "--config", "c.yaml", "--overwrite", "true"],
    "search": ["search", "runs/c", "--processes", "1"],
    "score": ["score", "runs/c"],
    "submit": ["submit", "runs/c"],
    "search --help": ["search", "--help"],
}


def make_set(folder: Path, build: Path, submission: str) -> None:
    """Two images with masks, a run of each of two folds with predictions, as a build writes them."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / "data" / name).mkdir(parents=True)
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    for name in "ab":
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(folder / "data" / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "data" / "masks" / f"{name}.png")
        np.save(folder / f"{name}.npy", mask[None] / np.float32(255))
    (folder / "c.yaml").write_text(CONFIG.format(fold=0, submission=submission))
    process_cost([sys.executable, str(build / "cli.py"), *VERBS["folds"]], folder, build)
    (folder / "store.py").write_text(STORE)
    for line in (folder / "folds.csv").read_text().splitlines()[1:]:
        name, fold = line.split(",")[:2]
        run = folder / "runs" / "c" / f"fold{fold}"
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(CONFIG.format(fold=fold, submission=submission))
        for split, ids in (("val", [name]), ("test", ["a", "b"])):
            process_cost([sys.executable, "store.py", str(run / "predictions" / split), *ids], folder, build)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commit", default=FORMER, help="the former build (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns after the first, which counts not (default: 5)")
    chosen = parser.parse_args()
    report = Report(
        "offline_start",
        ["torch", "pytorch-lightning", "jsonargparse", "pandas", "numpy"],
        ("process", "wall s", "CPU s", "peak MB", "wall / `import torch`", "CPU / `import torch`"),
        f"Two images of 64 x 64, two folds; medians of {chosen.rounds} rounds in turns.",
    )
    with former_build(chosen.commit) as former, tempfile.TemporaryDirectory() as folder:
        builds = {
            "this build": (ROOT, "submissions.RunLengths"),
            chosen.commit: (former, "postprocessing.submissions.RunLengths"),
        }
        runs = {"import torch": partial(process_cost, [sys.executable, "-c", "import torch"], Path(folder))}
        for name, (build, submission) in builds.items():
            own = Path(folder) / name.replace(" ", "_")
            make_set(own, build, submission)
            for verb, arguments in VERBS.items():
                command = [sys.executable, str(build / "cli.py"), *arguments]
                runs[f"{verb}, {name}"] = partial(process_cost, command, own, build)
        middle = compare_processes(runs, chosen.rounds)
    peer = middle["import torch"]
    for name, cost in middle.items():
        ratios = f"{cost.wall / peer.wall:.2f} | {cost.cpu / peer.cpu:.2f}"
        report.line(f"| {name} | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.memory:.0f} | {ratios} |")
    report.save()


if __name__ == "__main__":
    main()
