"""Settings of cross-validation."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass
class CrossValidation:
    """Settings of how the verb `folds` splits the training images.

    `stratify` and `group` work alone and together. Repeated K-fold uses one file per repetition, which `crossval`
    writes: `folds --cv.repeat 1 --data.folds folds/<name>_repeat1.csv`.
    External rows (`source` other than `train`) are used for training only (fold -1), unless they share a group with
    an image of the competition; then they get its fold.
    Args:
        k: number of folds (default: 5, as in nearly every competition: one fifth is enough to score, and little to
            lose for training).
        stratify: column whose values are distributed evenly over the folds; `size` is the image size, which often
            identifies the microscope or camera, `area` the number of foreground pixels. Rows without a value form a
            class of their own, with a warning.
        group: column whose values are never split: patient, slide, site. With several columns, images that share a
            value of any of them stay together. Folds are as equal in size as whole groups allow; with `stratify` the
            largest fold is at most 1.1 times as large as without.
        duplicates: keep images with equal decoded pixels in one fold.
        seed: seed of the shuffling.
        kind: `kfold`; `nonuniform`, a single validation fold 0 with a share of each class of `stratify` that falls with
            its size (1/10 below 50 images, 1/20 below 100, 1/50 below 1,000, 1/100 below 10,000, 1/500 below 100,000,
            then 1/1000; Inclusive Images 2018, write-up 71433), the rest in fold -1: training only; `given`, the split
            in the column `given`.
        separator: separator of the labels in a field of `stratify`: a space (HPA 2018, Planet), `|`. Every label is
            then distributed over the folds (iterative stratification, Sechidis 2011; whole groups by
            `evaluation.whole_groups`).
        bins: number of quantile bins of a numeric `stratify`; 0 (an empty mask) is a class of its own. None uses the
            values as they are, but cuts `area` into 5 bins.
        given: column with the author's split: fold numbers, or `true`/`val` (fold 0) and `false`/`train` (fold -1).
        repeat: index of this repetition of a repeated K-fold; each one shuffles differently from the same seed.
        repeats: number of repetitions that `crossval` trains (Statoil 2018's 3rd place: 30); other verbs ignore it.
        seed_per_fold: `crossval` trains fold i on the split of repetition i with a training seed of its own, so that
            members differ as much as possible (TGS Salt 2018's seven folds). Images are then validated more than once
            or never.
    """

    k: int = 5
    stratify: str | None = None
    group: str | list[str] | None = None
    duplicates: bool = True
    seed: int = 0
    kind: Literal["kfold", "nonuniform", "given"] = "kfold"
    separator: str | None = None
    bins: int | None = None
    given: str = "given"
    repeat: int = 0
    repeats: int = 1
    seed_per_fold: bool = False

    def groups(self) -> list[str]:
        """Columns whose equal values keep images together."""
        return [self.group] if isinstance(self.group, str) else list(self.group or [])

    def random_state(self) -> int:
        """Seed of this repetition; the first uses `seed` itself."""
        return int(np.random.SeedSequence([self.seed, self.repeat]).generate_state(1)[0]) if self.repeat else self.seed
