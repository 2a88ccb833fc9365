"""The verb `prepare`: convert and preprocess the images and masks of a config once, into plain files."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from experiments.configuration import OfflineConfig
from experiments.fit_settings import FitSettings
from experiments.prepared_config import data_lines, kept_files, write_overlay
from experiments.prepared_split import FORMAT, Split
from files.atomic import atomic_path
from files.paths import confined
from files.writing import write_frame, write_json
from preprocessing.base import Preprocess


@dataclass
class Options:
    """Options of `prepare`.

    Args:
        output: Output folder; an interrupted call is resumed.
        steps: Steps after data.preprocessing, as YAML or a YAML file: preprocessing.Clahe, preprocessing.Resize, …
        splits: Splits to prepare: train, test, or folders of images; by default, train, and test if it exists.
        format: Image format; npy supports any data type and number of channels.
        bits: Bit depth of PNG channels; auto keeps that of the file, 8 rounds 16-bit images (65535 to 255), 16
            scales 8-bit images (255 to 65535).
        processes: Number of worker processes; by default, one per CPU.
    """

    output: str
    steps: list[Preprocess] | None = None
    splits: list[str] | None = None
    format: Literal["png", "npy"] = "png"
    bits: Literal["auto", 8, 16] = "auto"
    processes: int | None = None


def main(arguments: list[str]) -> None:
    """Run the verb with the command-line arguments after it."""
    prepare(read_config("prepare", arguments, Options, searched=False), CommandLine.read(arguments).settings)


def prepare(config: OfflineConfig, settings: FitSettings) -> None:
    """Write every split of a config, and print how to read it with the configs of `settings`.

    Raises:
        SystemExit: if options contradict each other, the output folder has other contents or is not writable, or images
            failed. All other images are then written, and `failed.csv` lists the failed ones with their errors.
    """
    data, options = config.data, config.options
    output, steps = Path(options.output), options.steps or []
    data.prepare_data()
    check_output(output, Path(data.root))
    splits = options.splits or (["train"] if data.test_table() is None else ["train", "test"])
    prefixes = [prefix_of(split) for split in splits]
    if len(set(prefixes)) < len(prefixes):
        raise SystemExit(
            f"error: --splits {splits} would be written to the same folder; prepare them with separate --output"
        )
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = options.processes if options.processes is not None else cpus
    failures, tables, lines = [], [data.sample_submission, config.competition.solution], {"root": str(output)}
    for split, prefix in zip(splits, prefixes, strict=True):
        work = Split(data, split, prefix, output, steps, options.format, options.bits)
        work.run(max(1, processes))
        failures += [{"split": split, **failure} for failure in work.failures]
        tables += kept_files(work)
        lines |= data_lines(work)
    write_failures(output / "failed.csv", failures)
    copied = copy_files(data.root, tables, output)
    print_end(write_overlay(data, output, lines), steps, copied, settings)
    if failures:
        raise SystemExit(
            f"error: {len(failures)} images failed and are not written, first {failures[0]['image_id']!r}: "
            f"{failures[0]['error']}\n  all failed images: {output / 'failed.csv'}; repair the files and run the same "
            "command again to process them"
        )


def check_output(output: Path, root: Path) -> None:
    """Reject a folder with other contents; mark it as an output of `prepare`."""
    mark = output / "prepare.json"
    if output.resolve() == root.resolve():
        raise SystemExit(f"error: --output {output} is data.root; give another folder")
    if output.exists() and not output.is_dir():
        raise SystemExit(f"error: --output {output} is a file; give a folder")
    if output.is_dir() and any(output.iterdir()) and not mark.is_file():
        raise SystemExit(f"error: --output {output} contains files not written by `prepare`; give an empty folder")
    try:
        write_json(mark, {"format": FORMAT, "root": str(root)})
    except OSError as error:
        raise SystemExit(f"error: --output {output}: {error}") from None


def prefix_of(split: str) -> str:
    """Prefix of the folders of a split: empty for `train`, else `test_` or `<folder name>_`."""
    return "" if split == "train" else f"{Path(split).name}_"


def write_failures(path: Path, failures: list[dict[str, str]]) -> None:
    """Write `failed.csv`, or no file if nothing failed."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    frame = pd.DataFrame(failures, columns=["image_id", "split", "path", "error"]).sort_values(["split", "image_id"])
    write_frame(path, frame)


def copy_files(root: str, names: list[str | None], output: Path) -> list[str]:
    """Copy sample submission, solution and target tables to the output; return their names."""
    copied = []
    for name in dict.fromkeys(name for name in names if name):
        if not (Path(root) / name).is_file():
            continue
        source, goal = confined(root, name), confined(output, name)
        with atomic_path(goal) as temporary:
            shutil.copyfile(source, temporary)
        copied.append(name)
    return copied


def print_end(path: Path, steps: list[Preprocess], copied: list[str], settings: FitSettings) -> None:
    """Print the output folder and the YAML overlay that reads it."""
    if copied:
        more = f" and {len(copied) - 8} more" if len(copied) > 8 else ""
        print(f"copied unchanged: {', '.join(copied[:8])}{more}")
    print(f"outputs written to {path.parent}; the config overlay that reads them, {path}:\n")
    print("".join(f"    {line}\n" for line in path.read_text().splitlines()))
    if any(step.changes_shape for step in steps):
        print("image shapes have changed: predictions have the new shape, tables keep the original size")
    configs = [part for file in settings.configs for part in ("--config", str(file))] or ["--config", "…"]
    print(f"next:  python cli.py fit {' '.join(configs)} --config {path}")
