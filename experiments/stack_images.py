"""Second-level models of images: probabilities as columns, or one row per candidate class."""

from typing import Any

import numpy as np
import pandas as pd

from datamodules.targets import Labels
from ensembling.members import OUT_OF_FOLD, Arrays
from ensembling.stacking.case_table import COLUMNS, read_case_table
from ensembling.stacking.features import Table, extra_columns, feature_table, outputs_of, read_outputs
from ensembling.stacking.models import Target
from ensembling.stacking.top_k import Candidates, expand
from experiments.stack_inputs import Inputs


class ImageProblem:
    """Second-level problem with one prediction per image.

    Args:
        inputs: images and members.
        chosen: options of the verb: `target`, `data_target`, `outputs`, `features`, `nodules`, `mass`, `id_column`,
            `preset`, `keep`, `mode`, `k`.

    Attributes:
        target: target of each row of `tables["val"]`.
        spread: values that the folds are stratified by.
        tables: features by split.
        notes: lines for the terminal.

    Raises:
        ValueError: if features, outputs or targets are missing or do not match.
    """

    postprocess = None  # use the configured post-processing

    def __init__(self, inputs: Inputs, chosen: Any) -> None:
        self.inputs, self.chosen, self.notes = inputs, chosen, []
        self.kept: tuple[tuple[str, int], Arrays] | None = None
        metric = inputs.config.competition.metric
        first = inputs.ids[OUT_OF_FOLD][0]
        parts = inputs.parts.get(OUT_OF_FOLD, [])
        if chosen.keep and not parts:
            raise ValueError(f"--keep {chosen.keep} needs outputs of a first member; there are no members")
        for split, ids in inputs.ids.items() if chosen.keep else ():
            inputs.entry(split, 0, ids[0], chosen.keep)  # fail now rather than when writing
        self.output = chosen.target or self._output(metric.output)
        self.outputs = [outputs_of(part, first, chosen.outputs) for part in parts]
        self.members = {split: self._members(split) for split in inputs.ids}
        extra = {split: self._extra(split) for split in inputs.ids}
        known = next((own[self.output] for own in self.members[OUT_OF_FOLD].values() if self.output in own), None)
        targets = self._targets(chosen.data_target, metric)
        self.spread = target_of(targets, self._classes() if known is None else known.shape[1], known is None)
        self.candidates: dict[str, Candidates] = {}
        if chosen.mode == "columns":
            self.target = self.spread
            self.tables: dict[str, Table] = {
                split: feature_table(self.members[split], extra[split], len(ids)) for split, ids in inputs.ids.items()
            }
        else:
            self._expand(extra)

    def predictions(self, split: str, rows: np.ndarray) -> np.ndarray:
        """Convert predictions of rows `(R, C)` to predictions of images `(N, C)`."""
        return self.candidates[split].probabilities(rows[:, 0]) if self.candidates else rows

    def entry(self, split: str, number: int, predictions: np.ndarray) -> Arrays:
        """Arrays to write for an image: the prediction and the kept outputs of the first member."""
        if self.chosen.keep and (self.kept is None or self.kept[0] != (split, number)):
            # Read once for all repetitions, as they are scored image by image.
            image_id = self.inputs.ids[split][number]
            self.kept = (split, number), self.inputs.entry(split, 0, image_id, self.chosen.keep)
        return (self.kept[1] if self.kept is not None else {}) | {self.output: predictions[number].astype(np.float32)}

    def _output(self, wanted: str) -> str:
        """The output scored by the metric, else the only output."""
        parts = self.inputs.parts.get(OUT_OF_FOLD, [])
        if not parts:
            return wanted
        names = outputs_of(parts[0], self.inputs.ids[OUT_OF_FOLD][0])
        if wanted in names or len(names) == 1:
            return wanted if wanted in names else names[0]
        raise ValueError(f"cannot choose the output to predict from {names}; set --target {names[0]}")

    def _members(self, split: str) -> dict[str, dict[str, np.ndarray]]:
        ids, parts = self.inputs.ids[split], self.inputs.parts.get(split, [])
        named = zip(self.inputs.labels, parts, self.outputs, strict=True) if parts else ()
        return {label: read_outputs(part, ids, outputs) for label, part, outputs in named}

    def _extra(self, split: str) -> pd.DataFrame | None:
        """Feature columns from CSVs."""
        chosen, ids, frames = self.chosen, self.inputs.ids[split], []
        columns = list(COLUMNS) if chosen.preset is not None and chosen.nodules is None else None
        for path in chosen.features:
            frames.append(extra_columns(path, ids, chosen.id_column, columns))
            columns = None  # all columns of further files
        if chosen.nodules is not None:
            frames.append(read_case_table(chosen.nodules, chosen.mass, ids, chosen.id_column))
            none = int((frames[-1].filter(regex="^mx_") == 0).all(axis=1).sum())
            self.notes.append(f"{split}: {none} of {len(ids)} cases have no valid nodule")
        if not frames:
            return None
        joined = pd.concat(frames, axis=1)
        twice = joined.columns[joined.columns.duplicated()]
        if len(twice):
            raise ValueError(f"the feature {twice[0]!r} is in two files; rename it in one")
        return joined

    def _targets(self, wanted: str | None, metric: Any) -> list[np.ndarray]:
        ids = self.inputs.ids[OUT_OF_FOLD]
        present = self.inputs.target_arrays(ids[0])
        name = wanted or next((one for one in (self.output, metric.target) if one in present), None)
        if name is None or name not in present:
            raise ValueError(f"target {wanted or self.output!r} not found in {sorted(present)}; set --data_target")
        return [np.asarray(self.inputs.target_arrays(one)[name]) for one in ids]

    def _classes(self) -> int | None:
        """Number of classes of the labels in the config."""
        labels = [target for target in self.inputs.config.data.targets if isinstance(target, Labels)]
        own = next((one for one in labels if one.name == self.output), labels[0] if len(labels) == 1 else None)
        return len(own.written_classes()) if own is not None and own.kind == "single" else None

    def _expand(self, extra: dict[str, pd.DataFrame | None]) -> None:
        """Replace rows of images by rows of candidate classes."""
        if self.spread.kind != "class":
            raise ValueError(
                "--mode top_k needs one class per image; for several labels or numbers, use --mode columns"
            )
        for split in self.inputs.ids:
            members = {name: own[self.output] for name, own in self.members[split].items() if self.output in own}
            if len(members) < len(self.inputs.members) or not members:
                raise ValueError(f"--mode top_k needs the output {self.output!r} in every member; found {self.outputs}")
            self.candidates[split] = expand(members, self.chosen.k, extra[split])
        out_of_fold, target = self.candidates[OUT_OF_FOLD], self.spread.values
        self.target = out_of_fold.target(target)
        self.tables = {split: one.table for split, one in self.candidates.items()}
        rows = len(out_of_fold.candidate)
        self.notes.append(
            f"{rows} candidates of {len(target)} images; {out_of_fold.found(target):.1%} of the images have their "
            "class among them"
        )


def target_of(targets: list[np.ndarray], classes: int | None, guess: bool = False) -> Target:
    """Target of the second-level model.

    Args:
        targets: target of each image: a class number `()`, or `(C,)`.
        classes: length of the predicted output; None infers it from the targets.
        guess: whether `classes` is not the length of an output.

    Raises:
        ValueError: if target shapes differ or do not match the output.
    """
    if len({target.shape for target in targets}) != 1 or targets[0].ndim > 1:
        raise ValueError(
            f"image targets have the shapes {sorted({target.shape for target in targets})}, expected a class number "
            "() or (C,); set --data_target to another target"
        )
    values = np.stack(targets)
    if values.ndim == 1:
        numbers = values.astype(np.int64)
        if (numbers != values).any() or numbers.min() < 0:
            raise ValueError(f"the target contains {values.min()}, expected class numbers 0, 1, …")
        count = int(numbers.max()) + 1 if classes is None else classes
        if count == 1 and not guess:  # one sigmoid for two classes, or regression of grades
            return Target("flags" if numbers.max() <= 1 else "number", numbers[:, None].astype(np.float32), 1)
        if numbers.max() >= count:
            raise ValueError(f"the target contains class {numbers.max()}, but the output has {count} classes")
        return Target("class", numbers, max(2, count))
    if classes is not None and not guess and values.shape[1] != classes:
        raise ValueError(
            f"the target has the shape ({values.shape[1]},), the output ({classes},); set --target or --data_target"
        )
    kind = "flags" if np.isin(values, (0, 1)).all() else "number"
    return Target(kind, values.astype(np.float32), values.shape[1])
