"""Second-level models of objects: predicted IoU of each object, whole or split."""

from typing import Any

import numpy as np

from ensembling.members import OUT_OF_FOLD, Arrays
from ensembling.stacking.features import Table
from ensembling.stacking.models import Target
from ensembling.stacking.object_features import feature_names, features
from ensembling.stacking.objects import Objects, choose, overlaps, split_objects
from evaluation.void import without_void
from experiments.stack_inputs import Inputs
from postprocessing.object_score import ObjectScore
from postprocessing.step import require_array


class ObjectProblem:
    """Second-level problem with one predicted IoU per object.

    Args:
        inputs: images and one member.
        chosen: options of the verb: `body`, `border`, `instances`, `levels`, `data_target`.

    Attributes:
        target: IoU of each row of `tables["val"]`.
        spread: None, as folds are random.
        tables: features by split.
        notes: lines for the terminal.
        postprocess: post-processing in the stack's config.

    Raises:
        ValueError: if there is not exactly one member, or instances, target or maps are missing.
    """

    def __init__(self, inputs: Inputs, chosen: Any) -> None:
        if len(inputs.members) != 1:
            raise ValueError(
                f"--mode objects takes one experiment, found {len(inputs.members)}; blend them first: "
                "python cli.py ensemble"
            )
        self.inputs, self.chosen, self.spread = inputs, chosen, None
        self.postprocess = [ObjectScore(output=chosen.instances)]
        self.tables, all_targets, self.maps = {}, [], None
        self.valid: dict[str, Arrays] = {}  # valid pixels of the out-of-fold images
        for split, ids in inputs.ids.items():
            rows, owner = [], []
            for number, image_id in enumerate(ids):
                targets = self.inputs.target_arrays(image_id) if split == OUT_OF_FOLD else {}
                if "valid" in targets:
                    self.valid[image_id] = {"valid": targets["valid"]}
                objects, maps = self._objects(split, image_id)
                rows.append(features(objects, maps))
                owner.append(np.full(len(rows[-1]), number))
                if split == OUT_OF_FOLD:
                    all_targets.append(overlaps(objects, self._true_objects(targets)))
            names = feature_names(self.maps)
            self.tables[split] = Table(names, np.concatenate(rows), np.concatenate(owner), len(ids))
        values = np.concatenate(all_targets)
        self.target = Target("number", values[:, None], 1)
        self.notes = [
            f"{len(values)} objects and parts in {len(inputs.ids[OUT_OF_FOLD])} images, {(values > 0).mean():.1%} of "
            f"them match a target object; {len(names)} features"
        ]

    def predictions(self, split: str, rows: np.ndarray) -> np.ndarray:
        """Predicted IoU of each object `(R,)`."""
        return rows[:, 0]

    def entry(self, split: str, number: int, predictions: np.ndarray) -> Arrays:
        """Arrays to write for an image: ids of the best split into objects, and their scores."""
        objects, _ = self._objects(split, self.inputs.ids[split][number])
        begin, end = np.searchsorted(self.tables[split].owner, [number, number + 1])
        chosen, scores = choose(objects, predictions[begin:end])
        return {self.chosen.instances: chosen, "object_scores": scores}

    def _objects(self, split: str, image_id: str) -> tuple[Objects, dict[str, np.ndarray]]:
        """Objects of an image and the probability maps `(H, W)` for their features."""
        try:
            known = self.valid.get(image_id, {}) if split == OUT_OF_FOLD else {}
            entry = without_void(self.inputs.entry(split, 0, image_id), known)
            # Masked again after post-processing, as in the metric: objects without valid pixels are dropped.
            prediction = without_void(self.inputs.config.competition.process(entry), known)
            instances = require_array(prediction, self.chosen.instances, self.postprocess[0])
            if instances.dtype.kind not in "iu" or instances.ndim != 2:
                raise ValueError(
                    f"{self.chosen.instances!r} is {instances.dtype} {instances.shape}, expected ids (H, W)"
                )
            flat = {name: one[0] for name, one in entry.items() if one.ndim == 3 and len(one) == 1}
            maps = {name: one for name, one in sorted(flat.items()) if one.shape == instances.shape}
            for wanted in (self.chosen.body, self.chosen.border):
                if wanted is not None and wanted not in maps:
                    raise ValueError(
                        f"no map {wanted!r} (1, H, W), found {sorted(maps)}; set --body and --border, "
                        "or --border null for none"
                    )
        except ValueError as error:
            raise ValueError(f"image {image_id!r}: {error}") from error
        if self.maps is not None and list(maps) != self.maps:
            raise ValueError(
                f"image {image_id!r} has the maps {list(maps)}, other images {self.maps}; run predict again"
            )
        self.maps = list(maps)
        border = None if self.chosen.border is None else maps[self.chosen.border]
        return split_objects(instances, maps[self.chosen.body], border, self.chosen.levels), maps

    def _true_objects(self, targets: Arrays) -> np.ndarray:
        name = self.chosen.data_target or self.chosen.instances
        if name not in targets:
            raise ValueError(f"no object target {name!r}, found {sorted(targets)}; set --data_target")
        return without_void(targets, targets)[name]
