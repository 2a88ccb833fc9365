"""The verb `stack`: a second-level model over the out-of-fold predictions of experiments becomes an experiment."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from commands.command_line.config import read_config
from commands.ensemble import check_members
from ensembling.members import OUT_OF_FOLD, Member
from ensembling.stacking.case_table import PRESETS
from ensembling.stacking.cross_fit import Repeats, divisions, fingerprint
from ensembling.stacking.models import Model
from experiments.arguments import OFFLINE_KEYS, config_file
from experiments.configuration import OfflineConfig, experiment_folder
from experiments.fold_stores import add_missing
from experiments.run_folder import RunFolder
from experiments.searched import check_searched
from experiments.stack_images import ImageProblem
from experiments.stack_inputs import Inputs
from experiments.stack_objects import ObjectProblem
from experiments.stack_scores import scores_of
from experiments.yaml_files import read_yaml
from files.paths import text_hash
from files.writing import write_yaml
from postprocessing.step import as_config
from predictions.store import PredictionStore

IMAGES = ("features", "id_column", "preset", "nodules", "mass", "outputs", "target", "keep", "clip")
OBJECTS = ("body", "border", "instances", "levels")
FOREIGN = {"columns": ("k", *OBJECTS), "top_k": OBJECTS, "objects": ("k", *IMAGES)}  # options without effect
RUN = "stack"  # the one run of the experiment that the verb writes: search, score and submit find it as a fold
FOLDS = 5


def main(arguments: list[str]) -> None:
    """Run the verb; `arguments` is what follows it on the command line."""
    count = next((n for n, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    paths, flags = arguments[:count], arguments[count:]
    wrong = [flag for flag in flags if flag.startswith(OFFLINE_KEYS)]
    if wrong:
        raise SystemExit(
            f"error: {wrong[0]}: the verbs after this one would not know of it; put it into a --config FILE"
        )
    try:
        members = [Member(path) for path in paths]
        given = any(flag.split("=")[0] in ("--config", "-c") for flag in flags)
        help_only = bool({"--help", "-h"} & set(flags))
        if not given and not help_only:
            flags = ["--config", str(config_of(members)), *flags]
        config = read_config("stack", flags, options, searched=False)
        file = Path(config_file(flags))
        names = {flag.split("=")[0].strip("-+") for flag in flags if flag.startswith("--")}
        foreign = next((name for name in FOREIGN[config.options.mode] if name in names), None)
        if foreign is not None:
            raise ValueError(f"--{foreign} says nothing to --mode {config.options.mode}; leave it out")
        if config.options.mode == "objects" and not given:
            config = with_searched(config, members, "stack", flags)
        check_members(members, config.options.missing)
        Stack(config, members, file).run()
    except (ValueError, KeyError, OSError, ImportError) as error:
        raise SystemExit(f"error: {error.args[0] if isinstance(error, KeyError) else error}") from error


def options(parser: Any) -> None:
    """The verb's own arguments; the members come before them, as run folders, experiments or prediction folders."""
    add = parser.add_argument
    add("--output", type=str, required=True, help="Folder of the experiment to write: runs/stacked.")
    add("--mode", type=Literal["columns", "top_k", "objects"], default="columns", help="A row: image, class, object.")
    add("--model", type=str | None, default=None, help="class_path: lightgbm.LGBMClassifier.")
    add("--model_args", type=dict[str, Any] | None, default=None, help="Of its constructor: '{n_estimators: 200}'.")
    add("--preset", type=Literal[tuple(PRESETS)] | None, default=None, help="A winner's model, features, folds.")
    add("--clip", type=float | None, default=None, help="Keep probabilities in [clip, 1 - clip].")
    add("--folds", type=int | None, default=None, help="New divisions into K folds; those of the first level.")
    add("--repeats", type=int | None, default=None, help="Divisions, each with models of its own; their mean counts.")
    add("--seed", type=int, default=0, help="Of divisions and models.")
    add("--features", type=list[str] | str, default=[], help="CSVs of further features, a row an image.")
    add("--id_column", type=str, default="image_id", help="Of these CSVs.")
    add("--nodules", type=str | None, default=None, help="CSV of nodules for the preset dsb2017: a row a nodule.")
    add("--mass", type=str | None, default=None, help="CSV of masses for the preset dsb2017: a row a patient.")
    add("--outputs", type=list[str] | None, default=None, help="Outputs that are features; all of whole images.")
    add("--target", type=str | None, default=None, help="Output to predict; what the metric scores.")
    add(
        "--truth",
        type=str | None,
        default=None,
        help="Its truth in data.targets; that of its name, or the metric's.",
    )
    add("--keep", type=list[str], default=[], help="Outputs of the first member to write along: [mask].")
    add("--k", type=int, default=10, help="For top_k: candidates that each member names.")
    add("--body", type=str, default="body", help="For objects: the map whose peaks may split them.")
    add("--border", type=str | None, default="border", help="For objects: the map between touching ones, or null.")
    add("--instances", type=str, default="instances", help="For objects: name of the ids that the chain makes.")
    add("--levels", type=list[float], default=[0.6, 0.7, 0.8], help="For objects: thresholds of the peaks.")
    add("--splits", type=list[str] | None, default=None, help="Splits to predict beside val; all that members have.")
    add_missing(parser)


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
        self.config, self.members, self.file, self.chosen = config, members, file, config.options
        chosen, self.output = self.chosen, Path(config.options.output)
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
        check_output(self.output, members)

    def run(self) -> None:
        """Read the features, fit out of fold, write the stores, then the config by which other verbs find them."""
        inputs = Inputs(self.config, self.members, self.chosen.splits)
        problem = (ObjectProblem if self.chosen.mode == "objects" else ImageProblem)(inputs, self.chosen)
        for note in problem.notes:
            print(note)
        folds = self.divisions(inputs, problem)
        run, table = RunFolder(self.output / RUN), problem.tables[OUT_OF_FOLD]
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
        facts = scores_of(inputs, problem, images[OUT_OF_FOLD], alone, self.model.class_path)
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
        searched = self.output / "searched.yaml"
        if searched.is_file():
            print(f"{searched} was tuned on other predictions: run search again, or delete it")
        self.save(run, inputs, problem, facts)
        print(f"next:  python cli.py search {self.output}\n       python cli.py submit {self.output}")

    def divisions(self, inputs: Inputs, problem: ImageProblem | ObjectProblem) -> list[np.ndarray]:
        """Fold of each image, for each repetition."""
        if self.folds is None and self.repeats == 1:
            return [inputs.first_level()]
        ids, count = inputs.ids[OUT_OF_FOLD], self.folds or FOLDS
        return list(divisions(ids, inputs.groups(), problem.spread, count, self.repeats, self.chosen.seed))

    def save(
        self, run: RunFolder, inputs: Inputs, problem: ImageProblem | ObjectProblem, scores: dict[str, Any]
    ) -> None:
        """The config (the first member's, under a new name) and what the stack is made of; the config last."""
        facts = scores | {"members": [str(member.path) for member in self.members], "mode": self.chosen.mode}
        facts |= {
            "model": self.model.class_path,
            "model_args": json.loads(json.dumps(self.model.arguments, default=str)),
        }
        facts |= {"folds": self.folds or "of the first level", "repeats": self.repeats, "state": "finished"}
        facts |= {"features": problem.tables[OUT_OF_FOLD].names}
        first = next((RunFolder(path) for member in self.members for path in member.runs), None)
        known = first.read_facts().get("folds_hash") if first is not None else None
        run.write_facts(**facts, **({"folds_hash": known} if known is not None else {}))
        content = read_yaml(self.file) | {
            "experiment": self.output.name,
            "runs": str(self.output.parent),
        }
        if problem.postprocess is not None:
            # Of the outputs that steps over all images change, the stack has none.
            own = {"dataset_postprocess": [], "postprocess": [as_config(step) for step in problem.postprocess]}
            content["competition"] = content["competition"] | own
        write_yaml(run.config, content)


def config_of(members: list[Member]) -> Path:
    """The config of the first member that has one."""
    for member in members:
        for run in member.runs:
            return run / "config.yaml"
    if members:
        raise ValueError(f"{members[0].path} holds predictions and no config.yaml; give --config FILE")
    raise ValueError(
        "no members: python cli.py stack RUN RUN … --model CLASS --output FOLDER; features of a CSV alone take "
        "--config FILE instead"
    )


def with_searched(config: OfflineConfig, members: list[Member], verb: str, flags: list[str]) -> OfflineConfig:
    """The config with the tuned chain of the member, where it has one."""
    folder = next((experiment_folder(run) for member in members for run in member.runs), None)
    overlay = None if folder is None else folder / "searched.yaml"
    if overlay is None or not overlay.is_file():
        return config
    check_searched(overlay, config.origin, [RunFolder(path) for member in members for path in member.runs])
    print(f"objects are made by the chain of {overlay}")
    return read_config(verb, [*flags[:2], "--config", str(overlay), *flags[2:]], options, searched=False)


def check_output(output: Path, members: list[Member]) -> None:
    """Refuse to write among the members, or into an experiment that was trained."""
    for member in members:
        if output.resolve() == member.path.resolve() or output.resolve() in member.path.resolve().parents:
            raise ValueError(f"--output {output} holds the member {member.path}; name another folder")
    trained = [path.parent.name for path in output.glob("*/config.yaml") if path.parent.name != RUN]
    if trained or (output / "config.yaml").is_file():
        raise ValueError(f"--output {output} holds a trained run ({', '.join(trained) or output.name}); name another")
