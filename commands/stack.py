"""The verb `stack`: train a second-level model on the out-of-fold predictions of several experiments."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from commands.command_line.config import read_config
from commands.command_line.members import MembersLine, errors_alone, read_members
from ensembling.members import OUT_OF_FOLD, Member
from ensembling.stacking.case_table import PRESETS
from ensembling.stacking.cross_fit import Repeats, divisions, fingerprint
from ensembling.stacking.models import Model
from experiments.configuration import OfflineConfig, experiment_folder
from experiments.derived import DerivedExperiment, check_members
from experiments.fold_stores import Missing
from experiments.run_folder import RunFolder
from experiments.searched import check_searched
from experiments.stack_images import ImageProblem
from experiments.stack_inputs import Inputs
from experiments.stack_objects import ObjectProblem
from experiments.stack_scores import scores_of
from files.paths import text_hash
from postprocessing.step import as_config
from predictions.store import PredictionStore

IMAGES = ("features", "id_column", "preset", "nodules", "mass", "outputs", "target", "keep", "clip")
OBJECTS = ("body", "border", "instances", "levels")
FOREIGN = {"columns": ("k", *OBJECTS), "top_k": OBJECTS, "objects": ("k", *IMAGES)}  # options without effect
RUN = "stack"  # the only run of the written experiment, which search, score and submit treat as a fold
FOLDS = 5


@dataclass
class Options:
    """Options of `stack`.

    Args:
        output: Output experiment folder, such as runs/stacked.
        mode: Samples of the second-level model: images (columns), classes of images (top_k) or objects (objects).
        model: class_path of the second-level model, such as lightgbm.LGBMClassifier.
        model_args: Constructor arguments of the model: '{n_estimators: 200}'.
        preset: Model, features and folds of a winning solution.
        clip: Bound c of the probabilities, clipped to [c, 1 - c]; by default, that of the preset, else 0.
        folds: Number of new folds; by default, the folds of the first level are used.
        repeats: Number of repeated cross-validations to average; by default, that of the preset, else 1.
        seed: Random seed of folds and models.
        features: CSVs of additional features, with one row per image.
        id_column: Image id column of the feature CSVs.
        nodules: CSV of nodules for the preset dsb2017, with one row per nodule.
        mass: CSV of masses for the preset dsb2017, with one row per patient.
        outputs: Names of the outputs used as features; by default, all image-level outputs.
        target: Name of the output to predict; by default, the output scored by the metric.
        data_target: Name of the target in data.targets; by default, the output's name, else the metric's target.
        keep: Names of outputs of the first member to copy to the new experiment: [mask].
        k: Number of candidate classes per member, for mode top_k.
        body: Name of the map whose peaks may split objects, for mode objects.
        border: Name of the map of borders between touching objects, null for none, for mode objects.
        instances: Name of the instance ids that post-processing creates, for mode objects.
        levels: Thresholds of the peaks, for mode objects.
        splits: Splits to predict besides val; by default, all splits that the members have.
        missing: Handling of folds without a run: stop with an error (refuse), or use the other folds (skip).
    """

    output: str
    mode: Literal["columns", "top_k", "objects"] = "columns"
    model: str | None = None
    model_args: dict[str, Any] | None = None
    preset: Literal[tuple(PRESETS)] | None = None
    clip: float | None = None
    folds: int | None = None
    repeats: int | None = None
    seed: int = 0
    features: list[str] | str = field(default_factory=list)
    id_column: str = "image_id"
    nodules: str | None = None
    mass: str | None = None
    outputs: list[str] | None = None
    target: str | None = None
    data_target: str | None = None
    keep: list[str] = field(default_factory=list)
    k: int = 10
    body: str = "body"
    border: str | None = "border"
    instances: str = "instances"
    levels: list[float] = field(default_factory=lambda: [0.6, 0.7, 0.8])
    splits: list[str] | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Run the verb with the command-line arguments after it."""
    with errors_alone():
        no_members = (
            "no members: python cli.py stack RUN RUN … --model CLASS --output FOLDER; with features of a CSV "
            "alone, give --config FILE instead"
        )
        line = read_members("stack", arguments, Options, "RUN …", no_members)
        config, mode = line.config, line.config.options.mode
        names = {flag.key.rstrip("+") for flag in line.settings.flags}
        foreign = next((name for name in FOREIGN[mode] if name in names), None)
        if foreign is not None:
            raise ValueError(f"--{foreign} has no effect with --mode {mode}; remove it")
        if mode == "objects" and not line.config_given:
            config = with_searched(line)
        check_members(line.members, config.options.missing)
        Stack(config, line.members, line.file).run()


class Stack:
    """Stacking of members into one experiment.

    Args:
        config: config given by `--config`, else that of the first member.
        members: first-level experiments; empty if all features come from CSVs.
        file: config file; a copy becomes the config of the stack.

    Raises:
        ValueError: if options contradict each other.
    """

    def __init__(self, config: OfflineConfig, members: list[Member], file: Path) -> None:
        self.config, self.members, self.chosen = config, members, config.options
        chosen = self.chosen
        chosen.features = [chosen.features] if isinstance(chosen.features, str) else chosen.features
        preset = PRESETS[chosen.preset] if chosen.preset is not None else None
        if chosen.model is None and preset is None:
            raise ValueError("no model: --model lightgbm.LGBMClassifier, sklearn.linear_model.LogisticRegression, …")
        if preset is not None and not chosen.features and chosen.nodules is None:
            raise ValueError(f"--preset {chosen.preset} needs --nodules FILE, or --features with {preset.columns}")
        if (chosen.nodules, chosen.mass) != (None, None) and (preset is None or chosen.nodules is None):
            raise ValueError("--nodules and --mass need --preset dsb2017, and --mass needs --nodules")
        own = preset is not None and chosen.model in (None, preset.model)
        arguments = (preset.arguments if own else {}) | (chosen.model_args or {})
        clip = chosen.clip if chosen.clip is not None else preset.clip if preset is not None else 0.0
        self.model = Model(chosen.model or preset.model, arguments, clip)
        self.model.build(chosen.seed)  # fail now rather than in the first fold
        self.folds = chosen.folds if chosen.folds is not None else preset.folds if preset is not None else None
        self.repeats = chosen.repeats if chosen.repeats is not None else preset.repeats if preset is not None else 1
        if self.repeats < 1 or (self.folds is not None and self.folds < 2):
            raise ValueError(
                f"--folds {self.folds} --repeats {self.repeats}: expected 2 or more folds, 1 or more repeats"
            )
        self.made = DerivedExperiment(Path(chosen.output), RUN, members, file)

    def run(self) -> None:
        """Read the features, fit out of fold, then write the stores and the config."""
        inputs = Inputs(self.config, self.members, self.chosen.splits)
        problem = (ObjectProblem if self.chosen.mode == "objects" else ImageProblem)(inputs, self.chosen)
        for note in problem.notes:
            print(note)
        folds = self.divisions(inputs, problem)
        run, table = self.made.run, problem.tables[OUT_OF_FOLD]
        others = {split: one for split, one in problem.tables.items() if split != OUT_OF_FOLD}
        repeats = Repeats(run.path / "repeats")
        predicted = repeats.run(table, problem.target, others, self.model, folds, self.chosen.seed)
        images = {split: problem.predictions(split, rows) for split, rows in predicted.items()}
        made_from = text_hash(
            repr([fingerprint(table, problem.target, others, self.model), [fold.tolist() for fold in folds]])
        )
        alone = [
            problem.predictions(OUT_OF_FOLD, one[OUT_OF_FOLD])
            for one in map(repeats.read, range(len(folds) if len(folds) > 1 and problem.postprocess is None else 0))
            if one is not None
        ]
        scores = scores_of(inputs, problem, images[OUT_OF_FOLD], alone, self.model.class_path)
        for split, ids in inputs.ids.items():
            store = PredictionStore(run.predictions / split)
            key = text_hash(repr([made_from, inputs.fingerprint(split), self.chosen.keep, self.chosen.levels]))
            members = [one for part in inputs.parts.get(split, []) for one in part.stores]
            left = set(store.begin(ids, key, stores=members))
            for number, image_id in enumerate(ids):
                if image_id in left:
                    store.write(image_id, problem.entry(split, number, images[split]))
            store.finish()
            print(f"{split}: {len(ids)} images, {len(left)} newly written: {store.path}")
        self.made.note_old_chain()
        # The stack has none of the outputs that dataset_postprocess changes.
        chain = problem.postprocess
        changes = (
            {} if chain is None else {"dataset_postprocess": [], "postprocess": [as_config(step) for step in chain]}
        )
        self.made.save(scores | self.facts(problem), changes)
        self.made.print_next()

    def divisions(self, inputs: Inputs, problem: ImageProblem | ObjectProblem) -> list[np.ndarray]:
        """Fold of each image, for each repetition."""
        if self.folds is None and self.repeats == 1:
            return [inputs.first_level()]
        ids, count = inputs.ids[OUT_OF_FOLD], self.folds or FOLDS
        return list(divisions(ids, inputs.groups(), problem.spread, count, self.repeats, self.chosen.seed))

    def facts(self, problem: ImageProblem | ObjectProblem) -> dict[str, Any]:
        """Members, model and scores, for `run.json`."""
        return {
            "mode": self.chosen.mode,
            "model": self.model.class_path,
            "model_args": json.loads(json.dumps(self.model.arguments, default=str)),
            "folds": self.folds or "of the first level",
            "repeats": self.repeats,
            "features": problem.tables[OUT_OF_FOLD].names,
        }


def with_searched(line: MembersLine) -> OfflineConfig:
    """The config with the tuned post-processing of the member, if it has one."""
    folder = next((experiment_folder(run) for member in line.members for run in member.runs), None)
    overlay = None if folder is None else folder / "searched.yaml"
    if overlay is None or not overlay.is_file():
        return line.config
    runs = [RunFolder(path) for member in line.members for path in member.runs]
    check_searched(overlay, line.config.origin, runs)
    print(f"objects are created by the post-processing in {overlay}")
    return read_config("stack", line.settings.with_configs(overlay).arguments(), Options, searched=False)
