"""The verb `stack`: a second-level model over the out-of-fold predictions of experiments becomes an experiment."""

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
RUN = "stack"  # the one run of the experiment that the verb writes: search, score and submit find it as a fold
FOLDS = 5


@dataclass
class Options:
    """Options of `stack`.

    Args:
        output: Folder of the experiment to write, such as runs/stacked.
        mode: What a row is: an image (columns), a class (top_k), an object (objects).
        model: class_path of the second-level model, such as lightgbm.LGBMClassifier.
        model_args: Arguments of its constructor: '{n_estimators: 200}'.
        preset: A winner's model, features and folds.
        clip: Keep probabilities in [clip, 1 - clip]; null: the preset's, else 0.
        folds: Number of folds of new divisions; null: the folds of the first level.
        repeats: Number of divisions, each with models of its own, whose mean counts; null: the preset's, else 1.
        seed: Seed of divisions and models.
        features: CSVs of further features, with a row per image.
        id_column: Column of the image ids in these CSVs.
        nodules: CSV of nodules for the preset dsb2017, with a row per nodule.
        mass: CSV of masses for the preset dsb2017, with a row per patient.
        outputs: Names of outputs that are features; null: all of whole images.
        target: Name of the output to predict; null: what the metric scores.
        truth: Name of its target in data.targets; null: the same name, or the metric's.
        keep: Names of outputs of the first member to write along: [mask].
        k: Number of candidates that each member names, for top_k.
        body: Name of the map whose peaks may split objects, for objects.
        border: Name of the map between touching objects, or null, for objects.
        instances: Name of the ids that the chain makes, for objects.
        levels: Thresholds of the peaks, for objects.
        splits: Splits to predict beside val; null: all that members have.
        missing: Whether to refuse or to skip folds of the folds file without a run.
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
    truth: str | None = None
    keep: list[str] = field(default_factory=list)
    k: int = 10
    body: str = "body"
    border: str | None = "border"
    instances: str = "instances"
    levels: list[float] = field(default_factory=lambda: [0.6, 0.7, 0.8])
    splits: list[str] | None = None
    missing: Missing = "refuse"


def main(arguments: list[str]) -> None:
    """Run the verb; `arguments` is what follows it on the command line."""
    with errors_alone():
        no_members = (
            "no members: python cli.py stack RUN RUN … --model CLASS --output FOLDER; features of a CSV alone take "
            "--config FILE instead"
        )
        line = read_members("stack", arguments, Options, "RUN …", no_members)
        config, mode = line.config, line.config.options.mode
        names = {flag.key.rstrip("+") for flag in line.settings.flags}
        foreign = next((name for name in FOREIGN[mode] if name in names), None)
        if foreign is not None:
            raise ValueError(f"--{foreign} says nothing to --mode {mode}; leave it out")
        if mode == "objects" and not line.config_given:
            config = with_searched(line)
        check_members(line.members, config.options.missing)
        Stack(config, line.members, line.file).run()


class Stack:
    """One call of the verb.

    Args:
        config: of the first member, or the one that was given.
        members: the first level; none where features of a CSV are all there is.
        file: where the config was read; a copy becomes the stack's.

    Raises:
        ValueError: arguments that do not go together.
    """

    def __init__(self, config: OfflineConfig, members: list[Member], file: Path) -> None:
        self.config, self.members, self.chosen = config, members, config.options
        chosen = self.chosen
        chosen.features = [chosen.features] if isinstance(chosen.features, str) else chosen.features
        preset = PRESETS[chosen.preset] if chosen.preset is not None else None
        if chosen.model is None and preset is None:
            raise ValueError("no model: --model lightgbm.LGBMClassifier, sklearn.linear_model.LogisticRegression, …")
        if preset is not None and not chosen.features and chosen.nodules is None:
            raise ValueError(f"--preset {chosen.preset} wants --nodules FILE, or --features with {preset.columns}")
        if (chosen.nodules, chosen.mass) != (None, None) and (preset is None or chosen.nodules is None):
            raise ValueError("--nodules and --mass make the case table of --preset dsb2017; --mass needs --nodules")
        own = preset is not None and chosen.model in (None, preset.model)
        arguments = (preset.arguments if own else {}) | (chosen.model_args or {})
        clip = chosen.clip if chosen.clip is not None else preset.clip if preset is not None else 0.0
        self.model = Model(chosen.model or preset.model, arguments, clip)
        self.model.build(chosen.seed)  # says now what the first fold would
        self.folds = chosen.folds if chosen.folds is not None else preset.folds if preset is not None else None
        self.repeats = chosen.repeats if chosen.repeats is not None else preset.repeats if preset is not None else 1
        if self.repeats < 1 or (self.folds is not None and self.folds < 2):
            raise ValueError(
                f"--folds {self.folds} --repeats {self.repeats}: expected 2 or more folds, 1 or more repeats"
            )
        self.made = DerivedExperiment(Path(chosen.output), RUN, members, file)

    def run(self) -> None:
        """Read the features, fit out of fold, write the stores, then the config by which other verbs find them."""
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
            print(f"{split}: {len(ids)} images, {len(left)} of them written now: {store.path}")
        self.made.note_old_chain()
        # Of the outputs that steps over all images change, the stack has none.
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
        """What the stack is made of, for `run.json`."""
        return {
            "mode": self.chosen.mode,
            "model": self.model.class_path,
            "model_args": json.loads(json.dumps(self.model.arguments, default=str)),
            "folds": self.folds or "of the first level",
            "repeats": self.repeats,
            "features": problem.tables[OUT_OF_FOLD].names,
        }


def with_searched(line: MembersLine) -> OfflineConfig:
    """The config with the tuned chain of the member, where it has one."""
    folder = next((experiment_folder(run) for member in line.members for run in member.runs), None)
    overlay = None if folder is None else folder / "searched.yaml"
    if overlay is None or not overlay.is_file():
        return line.config
    runs = [RunFolder(path) for member in line.members for path in member.runs]
    check_searched(overlay, line.config.origin, runs)
    print(f"objects are made by the chain of {overlay}")
    return read_config("stack", line.settings.with_configs(overlay).arguments(), Options, searched=False)
