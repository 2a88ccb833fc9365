"""Best checkpoints of a run."""

from pathlib import Path

from experiments.averaging import rank_of
from experiments.run_folder import RunFolder
from lightning_modules.weights import read_checkpoint


def kept_checkpoints(run: RunFolder) -> tuple[Path, list[Path]]:
    """The best checkpoint of a run, and all checkpoints kept for their score, best first.

    The latter come from `callbacks.TopCheckpoints` if used, else from `checkpoint.save_top_k`. Without a monitored
    value, both are the last checkpoint. After a run was moved, checkpoints are found by file name.
    """
    last = run.checkpoint("last")
    states = read_checkpoint(last).get("callbacks", {})
    key = next((key for key in states if key.startswith("RunCheckpoint")), "")
    better = -1 if "'mode': 'max'" in key else 1
    models = states.get(key, {}).get("best_k_models", {})
    scores = {run.checkpoints / Path(path).name: better * float(value) for path, value in models.items()}
    kept = sorted((path for path in scores if path.is_file()), key=lambda path: scores[path])
    if not kept and (run.checkpoints / "best.ckpt").is_file():
        kept = [run.checkpoints / "best.ckpt"]
    best = kept[0] if kept else last
    top = {path: rank_of(path, by_score=True) for path in sorted(run.checkpoints.glob("top-*.ckpt"))}
    return best, sorted(top, key=lambda path: -top[path]) or kept or [last]
