"""Every file is looked at before training: faults are told all at once, and not hours later."""

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from datamodules.decoder import Decoder
from datamodules.targets import MaskFiles, MaskVolumes

FEW = 64  # rows that are looked at sooner than processes are started
SHOWN = 20


class FileCheck(Dataset):
    """What is wrong with each row: empty text where nothing is.

    Args:
        rows: of the table.
        decoder: would read them.
        by_windows: whether it would read parts of them alone.
    """

    def __init__(self, rows: list[Any], decoder: Decoder, by_windows: bool) -> None:
        self.rows, self.decoder, self.by_windows = rows, decoder, by_windows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> str:
        try:
            self.decoder.check(self.rows[index], self.by_windows)
        except (ValueError, OSError) as error:
            return str(error)
        return ""


def check_classes(rows: list[Any], decoder: Decoder) -> None:
    """Refuse masks of class numbers that hold nothing but 0 and the ignored 255: they are binary masks, most likely.

    Files are read as far as the first that has a class, which is the first of nearly every set.

    Raises:
        ValueError: names the first file and what to set.
    """
    for target in decoder.targets:
        if not isinstance(target, MaskFiles | MaskVolumes) or target.classes is None or target.values is not None:
            continue
        ignored = None
        for row in rows:
            mask = target.read(row, decoder.reader.size(row))[target.name]
            known = mask != target.ignore
            if (mask[known] > 0).any():
                break
            ignored = ignored or (None if known.all() else target.files(row)[0])
        else:
            if ignored is not None:
                raise ValueError(
                    f"mask {ignored} holds [0, {target.ignore}], and none of {len(rows)} masks holds a class but 0: "
                    f"{target.ignore} is ignored, so there is nothing to learn. For binary masks leave out `classes` "
                    f"of the target, or set `values: [{target.ignore}]`"
                )


def find_faults(rows: list[Any], decoder: Decoder, by_windows: bool, workers: int, show: bool) -> list[str]:
    """Look at the files of every row: are they there, whole, of one size with their truth, does that hold what it may.

    Truth is read; of pictures only the header and the end are, unless that end is missing.

    Args:
        rows: of the table.
        decoder: with prepared targets.
        by_windows: whether only parts of images are read, so that truth too large to be read whole is left out.
        workers: processes.
        show: draw a progress bar where it takes longer than some seconds.

    Returns:
        What is wrong, a text for each row that has a fault; each names its file.
    """
    generator = torch.Generator()  # what training draws shall not depend on whether files were looked at
    found = DataLoader(
        FileCheck(rows, decoder, by_windows),
        batch_size=None,
        num_workers=workers if len(rows) > FEW else 0,
        generator=generator,
    )
    bar = tqdm(found, "looking at files", len(rows), unit=" images", disable=not show, delay=5, leave=False)
    return [fault for fault in bar if fault]


def refuse(faults: list[str], count: int) -> None:
    """Raise one error for all faults, the first on its first line.

    Args:
        faults: of `find_faults`.
        count: how many images were looked at.
    """
    if not faults:
        return
    more = [f"  {fault}" for fault in faults[1:SHOWN]]
    rest = [f"  … and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    head = [f"{len(faults)} of {count} images have faults; the others:"] if len(faults) > 1 else []
    raise ValueError("\n".join([faults[0], *head, *more, *rest]))
