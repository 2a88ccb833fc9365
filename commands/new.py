"""The verb `new`: write a config for one's own images and labels."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from commands.command_line.command_line import CommandLine
from commands.command_line.config import read_config
from commands.command_line.parser import parse_options
from datamodules.table import rows_of
from experiments.new_config import config_text
from exploration.layouts.found import LabelsFound, Task
from exploration.layouts.images import ImagesFound, find, measure, under
from exploration.layouts.masks import from_masks
from exploration.layouts.objects import from_coco, from_cvat, from_labelme, from_voc, from_yolo
from exploration.layouts.tables import from_csv
from files.atomic import atomic_path
from files.writing import write_text

LABELS = {  # option -> what reads it
    "masks": from_masks,
    "coco": from_coco,
    "labelme": from_labelme,
    "yolo": from_yolo,
    "cvat": from_cvat,
    "voc": from_voc,
    "csv": from_csv,
}


@dataclass
class Options:
    """Options of `new`.

    Args:
        images: Glob or folder of the training images.
        test: Glob or folder of the test images; by default, looked for beside those of training.
        masks: Glob or folder of mask files, or a pattern with {image_id}.
        coco: COCO file.
        labelme: Folder of labelme's JSON files, or a pattern with {image_id}.
        yolo: data.yaml of a YOLO data set.
        cvat: XML of CVAT.
        voc: Folder of Pascal VOC's XML files, or a pattern with {image_id}.
        csv: CSV with classes, run lengths or boxes of the images.
        task: What to learn, if the labels allow several things; by default, decided by the labels.
        sample: Sample submission of the competition.
    """

    images: str
    test: str | None = None
    masks: str | None = None
    coco: str | None = None
    labelme: str | None = None
    yolo: str | None = None
    cvat: str | None = None
    voc: str | None = None
    csv: str | None = None
    task: Task | None = None
    sample: str | None = None


DESCRIPTION = """Look at images and labels, and write configs/<name>.yaml: reader, targets, classes, sizes,
normalisation, metric and submission. Says what was found and assumed; `run` on it works at once.
Paths are relative to the working folder; quote globs."""
TAKES = "NAME --images GLOB (--masks|--coco|--labelme|--yolo|--cvat|--voc|--csv) PATH [--key value …]"


def main(arguments: list[str]) -> None:
    """Write a config for images and labels."""
    line = CommandLine.read(arguments)
    flags = line.settings.arguments()
    options = parse_options("new", flags, Options, TAKES, DESCRIPTION)
    name = one_name(line.paths)
    output = Path("configs") / f"{name}.yaml"
    if output.exists():
        raise SystemExit(f"error: {output} exists; choose another name, or delete it")
    try:
        images, labels = look(options)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    command = shlex.join(["python", "cli.py", "new", *arguments])
    sample = None if options.sample is None else under(images.root, options.sample)
    with atomic_path(output) as temporary:
        write_text(temporary, config_text(name, command, images, labels, sample))
        arrays = first_target(temporary)
    for sentence in (*images.found, *labels.found):
        print(f"found    {sentence}")
    print(f"read     the target of the first image: {arrays}")
    for sentence in (*images.assumed, *labels.assumed):
        print(f"assumed  {sentence}")
    print(f"wrote    {output}")
    print(f"next:  python cli.py explore --config {output}    # look at the data first")
    print(f"       python cli.py run --config {output}        # one fold, up to the submission")


def one_name(paths: tuple[str, ...]) -> str:
    """The name of the config from the positional arguments.

    Raises:
        SystemExit: none, several, or a path.
    """
    if len(paths) != 1 or Path(paths[0]).name != paths[0] or not paths[0].removesuffix(".yaml"):
        raise SystemExit(f"error: new needs one name without folders, got {' '.join(paths) or 'none'}: {TAKES}")
    return paths[0].removesuffix(".yaml")


def look(options: Options) -> tuple[ImagesFound, LabelsFound]:
    """Look at the files.

    Raises:
        FileNotFoundError, ValueError: files that are missing or cannot be labels; name them.
    """
    given = {key: getattr(options, key) for key in LABELS if getattr(options, key) is not None}
    if len(given) != 1:
        raise ValueError(f"new needs one of --{', --'.join(LABELS)}, got {', '.join(given) or 'none'}")
    key, value = next(iter(given.items()))
    located = f"{value}/*" if Path(value).is_dir() else value
    images = find(options.images, options.test, located, options.sample)
    measure(images)
    return images, LABELS[key](value, images, options.task)


def first_target(config: Path) -> str:
    """Parse a config and read the target of the first image, for a sentence.

    Raises:
        ValueError, FileNotFoundError: labels that cannot be read.
    """
    data = read_config("new", ["--config", str(config)]).data
    row = rows_of(data.table())[0]
    arrays = data.target_arrays(row)
    return ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
