"""How training images are divided into folds: the settings."""

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass
class CrossValidation:
    """How `folds` divides the training images.

    `stratify` and `group` work alone and together. A repeated K-fold has a file per repetition, which `crossval` makes:
    `folds --cv.repeat 1 --data.folds folds/<name>_repeat1.csv`.
    Rows from elsewhere (`source` other than `train`) are trained on and never validated: fold -1, unless they share a
    group with an image of the competition, whose fold they then have.

    Args:
        k: number of folds; 5, the custom of nearly every competition: a fifth is enough to score and little to lose.
        stratify: column whose values every fold shall hold in the same shares; `size` is the image's size, which often
            tells the microscope or camera, `area` the pixels of foreground. Rows without a value are a class of their
            own, which is told.
        group: column whose values are never split: patient, slide, site. Of several columns, images that agree in any
            of them stay together. Folds hold as many images each as whole groups allow; with `stratify` the largest is
            at most 1.1 times as large as without.
        duplicates: keep images with equal decoded pixels in one fold.
        seed: of the shuffling.
        kind: `kfold`; `nonuniform`, one validation fold 0 with a share of each class of `stratify` that falls with its
            size (1/10 below 50 images, 1/20 below 100, 1/50 below 1,000, 1/100 below 10,000, 1/500 below 100,000, then
            1/1000; Inclusive Images 2018, write-up 71433), all else fold -1: trained on, never validated; `given`, the
            division that the column `given` holds.
        separator: between the labels of one field of `stratify`: a space (HPA 2018, Planet), `|`. Every label is then
            spread over the folds (iterative stratification, Sechidis 2011; whole groups by
            `evaluation.whole_groups`).
        bins: cut a numeric `stratify` into so many classes of equal size, by quantiles; 0 (an empty mask) is a class of
            its own. None takes values as they are, but cuts `area` into 5.
        given: column of the author's division: fold numbers, or `true`/`val` (fold 0) and `false`/`train` (fold -1).
        repeat: which repetition of a repeated K-fold this is; each is another shuffle of the same seed.
        repeats: how many repetitions `crossval` trains (Statoil 2018's 3rd place: 30); other verbs take no notice.
        seed_per_fold: `crossval` gives every fold a division of its own, that of the repetition of its number, beside
            its own seed of training: members that differ most (TGS Salt 2018's seven folds). Images are then
            validated more than once or never.
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
        """Columns that hold images together."""
        return [self.group] if isinstance(self.group, str) else list(self.group or [])

    def random_state(self) -> int:
        """Seed of this repetition; `seed` itself for the first."""
        return int(np.random.SeedSequence([self.seed, self.repeat]).generate_state(1)[0]) if self.repeat else self.seed
