"""The verb `ensemble`: predictions of several experiments become those of one."""

import shutil
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from commands.command_line.config import read_config
from datamodules.table import rows_of
from ensembling.blend import WEIGHTED, Blend, Rule
from ensembling.box_rules import BoxRule
from ensembling.duplicates import read_groups
from ensembling.heads import Heads
from ensembling.members import OUT_OF_FOLD, Member, common_ids
from ensembling.scoring import Scoring
from ensembling.stream import Stream, write
from ensembling.weights import Found, Weights, as_whole, best_cross_fitted, better, parts_of
from evaluation.folds import read_folds
from experiments.arguments import OFFLINE_KEYS, config_file
from experiments.configuration import OfflineConfig
from experiments.fold_stores import Missing, check_folds_there
from experiments.run_folder import RunFolder
from experiments.yaml_files import read_yaml
from files.paths import file_hash, text_hash
from files.writing import write_yaml
from predictions.store import PredictionStore

RUN = "ensemble"  # the one run of the experiment that the verb writes: search, score and submit find it as a fold
SEARCHES = ("hill_climb", "simplex", "least_squares")


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
        if not given and not {"--help", "-h"} & set(flags):
            flags = ["--config", str(config_of(members)), *flags]
        config = read_config("ensemble", flags, options, searched=False)
        check_members(members, config.options.missing)
        Ensemble(config, members, Path(config_file(flags))).run()
    except (ValueError, KeyError, OSError) as error:
        raise SystemExit(f"error: {error.args[0] if isinstance(error, KeyError) else error}") from error


def options(parser: Any) -> None:
    """The verb's own arguments; the members come before them, as run folders, experiments or prediction folders."""
    add = parser.add_argument
    add("--output", type=str, required=True, help="Folder of the experiment to write: runs/ens.")
    add("--rule", type=Rule, default="mean", help="How predictions are made one; `weighted` searches a mean's weights.")
    weights = list[float] | Literal["equal", "hill_climb", "simplex", "least_squares"] | None
    add("--weights", type=weights, default=None, help="Of the members: numbers, or a search on out-of-fold scores.")
    add("--rounds", type=int, default=20, help="Additions of the hill climbing.")
    add("--floor", type=float, default=1e-3, help="Least probability, for geometric, harmonic and logit.")
    add("--votes", type=int | None, default=None, help="Members that must agree, for vote; more than half.")
    add("--threshold", type=float | list[float], default=0.5, help="Above it a member says yes, for vote and union.")
    add("--fallback", type=Literal["none", "union"], default="none", help="For vote, where nothing has enough votes.")
    add("--commonest", type=list[int], default=[], help="For vote: classes of an image without any even so.")
    add("--agreement", type=float, default=0.7, help="Least Dice coefficient of masks that agree, for union.")
    add("--softmax", type=list[str], default=[], help="Outputs whose classes sum to 1 and shall go on to.")
    add("--outputs", type=list[str] | None, default=None, help="Outputs to take; all.")
    heads = 'Common outputs of members with other classes: {runs/b: {label: "label[1]"}}, sums as label[1, 2].'
    add("--heads", type=dict[str, dict[str, str]], default={}, help=heads)
    add("--boxes", type=list[str], default=[], help="Outputs that are boxes (n, 6): x1, y1, x2, y2, score, label.")
    add("--box_rule", type=BoxRule, default="wbf", help="How boxes are merged.")
    add("--box_iou", type=float, default=0.55, help="Overlap from which two boxes are one.")
    add("--splits", type=list[str] | None, default=None, help="Splits to ensemble; all that the members have.")
    add("--missing", type=Missing, default="refuse", help="Images that a member lacks, and folds without a run.")
    add("--duplicates", type=str | None, default=None, help="duplicates.csv of explore: copies share their labels.")
    add("--score", type=bool, default=True, help="Score the members and the ensemble out of fold.")
    add("--dtype", type=Literal["uint8", "float16", "float32"], default="uint8", help="Of the stored maps.")
    add("--processes", type=int | None, default=None, help="Worker processes of the scoring; one per CPU.")


class Ensemble:
    """One call of the verb.

    Args:
        config: of the first member, or the one that was given.
        members: the models.
        file: where the config was read; a copy becomes the ensemble's.

    Raises:
        ValueError: arguments that do not go together.
    """

    def __init__(self, config: OfflineConfig, members: list[Member], file: Path) -> None:
        self.config, self.members, self.file, self.chosen = config, members, file, config.options
        chosen, self.output = self.chosen, Path(config.options.output)
        fields = ("rule", "floor", "votes", "threshold", "fallback", "commonest", "agreement", "softmax", "outputs")
        fields += ("boxes", "box_rule", "box_iou")
        self.blend = Blend(**{name: getattr(chosen, name) for name in fields})
        weights = chosen.weights or ("hill_climb" if chosen.rule == "weighted" else "equal")
        if weights != "equal" and chosen.rule not in WEIGHTED:
            raise ValueError(f"--rule {chosen.rule} counts members as equals and takes no --weights")
        if weights == "least_squares" and chosen.rule not in ("mean", "weighted"):
            raise ValueError(f"--weights least_squares is for --rule mean, not {chosen.rule}")
        if weights in SEARCHES and not chosen.score:
            raise ValueError(f"--weights {weights} needs the out-of-fold scores; leave --score true")
        self.method = weights if weights in SEARCHES else None
        count = len(members)
        self.given: Weights = as_whole(weights) if isinstance(weights, list) else (1,) * count
        if len(self.given) != count:
            raise ValueError(f"--weights has {len(self.given)} numbers for {count} members; give one each")
        set_heads(members, chosen.heads, self.blend.outputs)
        self.groups = read_groups(chosen.duplicates) if chosen.duplicates is not None else {}
        check_output(self.output, members)

    def run(self) -> None:
        """Find the weights, write the stores, then the config by which other verbs find them."""
        config, run = self.config, RunFolder(self.output / RUN)
        streams = {}
        for split in self.splits():
            parts = [member.open(split) for member in self.members]
            streams[split] = Stream(parts, self.blend, common_ids(parts, self.chosen.missing == "skip"))
        found, part = None, {}
        if OUT_OF_FOLD in streams and self.chosen.score:
            config.data.prepare_data()
            part = self.parts(streams[OUT_OF_FOLD])
            found = self.search(streams[OUT_OF_FOLD], part)
            print(self.summary(found))
        elif self.method is not None:
            raise ValueError(f"--weights {self.method}: there are no out-of-fold predictions to find weights on")
        try:
            self.write(run, streams, part, found)
        except (ValueError, KeyError):
            # What is refused leaves nothing; what was cut off goes on.
            shutil.rmtree(run.path, ignore_errors=True)
            with suppress(OSError):  # it holds more
                self.output.rmdir()
            raise
        print(f"next:  python cli.py search {self.output}\n       python cli.py submit {self.output}")

    def write(self, run: RunFolder, streams: dict[str, Stream], part: dict[str, int], found: Found | None) -> None:
        """Write the stores of all splits, and the config last."""
        best = found.weights if found is not None else self.given
        by_part = found.by_part if found is not None else {}
        for split, stream in streams.items():
            weights = {one: by_part[part[one]] for one in stream.ids} if split == OUT_OF_FOLD and by_part else {}
            store = PredictionStore(run.predictions / split)
            count = write(
                stream,
                store,
                lambda one, weights=weights: weights.get(one, best),
                self.fingerprint(stream, [weights.get(one, best) for one in stream.ids]),
                self.chosen.dtype,
                self.groups,
            )
            print(f"{split}: {len(stream.ids)} images, {count} of them written now: {store.path}")
            searched = self.output / "searched.yaml"
            if count and split == OUT_OF_FOLD and searched.is_file():
                print(f"{searched} was tuned on other predictions: run search again, or delete it")
        self.save(run, best, found)

    def splits(self) -> list[str]:
        """The splits to ensemble."""
        if self.chosen.splits is not None:
            return self.chosen.splits
        every = [set(member.splits()) for member in self.members]
        for member, own in zip(self.members, every, strict=True):
            lacks = sorted(set().union(*every) - own)
            if lacks:
                raise ValueError(
                    f"{member.path} has no predictions of {lacks[0]!r}, others have; predict them, or name what to "
                    f"ensemble: --splits '[{', '.join(sorted(set.intersection(*every)))}]'"
                )
        return sorted(every[0])

    def parts(self, stream: Stream) -> dict[str, int]:
        """Fold of each out-of-fold image: of the folds file, else of the first member's runs."""
        if self.method is None:
            return dict.fromkeys(stream.ids, 0)
        folds, groups = dict(stream.parts[0].run), {}
        path = self.config.data.folds
        if path is not None and Path(path).is_file():
            table = read_folds(path)
            listed = dict(zip(table["image_id"], table["fold"].astype(int), strict=True))
            groups = dict(zip(table["image_id"], table["group"], strict=True))
            if all(listed.get(one, -1) >= 0 for one in stream.ids):
                folds = listed
        return dict(zip(stream.ids, parts_of(stream.ids, folds, groups).tolist(), strict=True))

    def search(self, stream: Stream, part: dict[str, int]) -> Found:
        """Weights and scores out of fold."""
        data, competition = self.config.data, self.config.competition
        rows = {row.image_id: row for row in rows_of(data.table())}
        unknown = [image_id for image_id in stream.ids if image_id not in rows]
        if unknown:
            raise ValueError(f"image {unknown[0]!r} was predicted out of fold, but is none of {data.images}")
        scoring = Scoring(stream, {one: partial(data.truth, rows[one]) for one in stream.ids}, part, self.chosen.dtype)
        with scoring.scores(competition.postprocess, competition.metric, self.chosen.processes) as scores:
            if self.method is None:
                return scoring.fixed(scores, self.given)
            found = {
                "the searched weights": scoring.search(scores, self.method, self.chosen.rounds),
                "the best single member": scoring.single(scores),
                "equal weights": scoring.fixed(scores, (1,) * len(self.members)),
            }
        chosen = best_cross_fitted(found, competition.metric.higher_is_better)
        if chosen != "the searched weights":
            # What was tuned and does not help on unseen images is not used, as in `search`.
            told = ", ".join(f"{name} {one.cross_fitted:.5f}" for name, one in found.items())
            print(f"cross-fitted: {told}; taken: {chosen}")
        return found[chosen]

    def summary(self, found: Found) -> str:
        """A few lines for the terminal."""
        width = max(len("cross-fitted"), *(len(str(member.path)) for member in self.members))
        shares = np.array(found.weights) / sum(found.weights)
        takes = self.blend.rule in WEIGHTED
        lines = [f"out of fold, {type(self.config.competition.metric).__name__} after the configured chain:"]
        for member, score, share in zip(self.members, found.singles, shares, strict=True):
            lines.append(f"  {member.path!s:<{width}}  {score:.5f}" + (f"  weight {share:.3f}" if takes else ""))
        if self.method is None or set(found.by_part.values()) == {(1,) * len(self.members)}:
            lines.append(f"  {self.blend.rule:<{width}}  {found.in_sample:.5f}  (nothing was fitted)")
        else:
            lines.append(f"  {'equal':<{width}}  {found.equal:.5f}")
            lines.append(f"  {'in-sample':<{width}}  {found.in_sample:.5f}  (optimistic: scored where they were found)")
            lines.append(
                f"  {'cross-fitted':<{width}}  {found.cross_fitted:.5f}  (each fold by weights found without it)"
            )
            for number, weights in found.by_part.items():
                lines.append(f"  without fold {number}: {', '.join(f'{w / sum(weights):.3f}' for w in weights)}")
        higher = self.config.competition.metric.higher_is_better
        for member, score in zip(self.members, found.singles, strict=True):
            if len(self.members) > 1 and better(score, found.cross_fitted, higher):
                lines.append(f"  {member.path} alone is as good, or better, with the configured chain")
        return "\n".join(lines)

    def fingerprint(self, stream: Stream, weights: list[Weights]) -> str:
        """Hash of everything that the ensemble's predictions of a split depend on."""
        members = [part.fingerprint() for part in stream.parts]
        copies = None if self.chosen.duplicates is None else file_hash(Path(self.chosen.duplicates))
        settings = {name: value for name, value in asdict(self.blend).items() if name != "ranks"}
        return text_hash(repr([members, sorted(settings.items()), weights, copies, self.chosen.dtype, stream.ids]))

    def save(self, run: RunFolder, best: Weights, found: Found | None) -> None:
        """The config (the first member's, under a new name) and what the ensemble is made of; the config last."""
        first = next((RunFolder(path) for member in self.members for path in member.runs), None)
        known = first.read_facts().get("folds_hash") if first is not None else None
        facts: dict[str, Any] = {"members": [str(member.path) for member in self.members], "rule": self.blend.rule}
        facts |= {"weights": [weight / sum(best) for weight in best], "state": "finished"}
        if found is not None:
            facts |= {"singles": found.singles, "equal": found.equal, "in_sample": found.in_sample}
            facts |= {"cross_fitted": found.cross_fitted, "evaluations": found.evaluations}
            facts["weights_without"] = {str(k): [w / sum(v) for w in v] for k, v in found.by_part.items()}
        run.write_facts(**facts, **({"folds_hash": known} if known is not None else {}))
        content = read_yaml(self.file) | {
            "experiment": self.output.name,
            "runs": str(self.output.parent),
        }
        write_yaml(run.config, content)


def config_of(members: list[Member]) -> Path:
    """The config of the first member that has one."""
    if not members:
        raise ValueError("no members: python cli.py ensemble RUN RUN … --output FOLDER")
    for member in members:
        for run in member.runs:
            return run / "config.yaml"
    raise ValueError(f"{members[0].path} holds predictions and no config.yaml; give --config FILE")


def check_members(members: list[Member], missing: Missing) -> None:
    """Refuse experiments that lack some of their folds; a run that was named is all that is asked for."""
    for member in members:
        runs = [RunFolder(path) for path in member.runs]
        if [run.path for run in runs] != [member.path]:
            check_folds_there(member.path, runs, missing)


def set_heads(members: list[Member], heads: dict[str, dict[str, str]], outputs: list[str] | None) -> None:
    """Give members their heads, by their paths."""
    for path, common in heads.items():
        own = [member for member in members if member.path == Path(path)]
        if not own:
            listed = ", ".join(str(member.path) for member in members)
            raise ValueError(f"--heads names {path}, which is none of the members {listed}")
        lacking = [name for name in outputs or () if name not in common]
        if lacking:
            raise ValueError(f"--heads gives {path} no output {lacking[0]!r}, which --outputs takes")
        try:
            own[0].heads = Heads(common)
        except ValueError as error:
            raise ValueError(f"--heads of {path}: {error}") from error


def check_output(output: Path, members: list[Member]) -> None:
    """Refuse to write among the members, or into an experiment that was trained."""
    for member in members:
        if output.resolve() == member.path.resolve() or output.resolve() in member.path.resolve().parents:
            raise ValueError(f"--output {output} holds the member {member.path}; name another folder")
    trained = [path.parent.name for path in output.glob("*/config.yaml") if path.parent.name != RUN]
    if trained or (output / "config.yaml").is_file():
        raise ValueError(f"--output {output} holds a trained run ({', '.join(trained) or output.name}); name another")
