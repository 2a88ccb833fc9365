"""The verb `ensemble`: blend the predictions of several experiments into a new experiment."""

import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from commands.command_line.members import errors_alone, read_members
from datamodules.table import rows_of
from ensembling.blend import WEIGHTED, Blend, Rule
from ensembling.box_rules import BoxRule
from ensembling.duplicates import read_groups
from ensembling.heads import OutputMapping
from ensembling.members import OUT_OF_FOLD, Member, common_ids
from ensembling.scoring import Scoring
from ensembling.stream import Stream, write
from ensembling.weights import Weights, WeightSearchResult, as_whole, best_cross_fitted, better, parts_of
from evaluation.folds import read_folds
from experiments.configuration import OfflineConfig
from experiments.derived import DerivedExperiment, check_members
from experiments.fold_stores import Missing
from files.paths import file_hash, text_hash
from predictions.store import PredictionStore

RUN = "ensemble"  # the only run of the written experiment, which search, score and submit treat as a fold
SEARCHES = ("hill_climb", "simplex", "least_squares")


@dataclass
class Options:
    """Options of `ensemble`.

    Args:
        output: Output experiment folder, such as runs/ens.
        rule: Blending rule; `weighted` is a mean with searched weights.
        weights: Member weights: numbers, or a search method on out-of-fold scores; by default, equal weights, or
            hill_climb for the rule `weighted`.
        rounds: Number of hill-climbing rounds; each adds one member.
        floor: Minimum probability, for the rules geometric, harmonic and logit.
        votes: Minimum number of votes, for the rule vote; by default, more than half of the members.
        threshold: Probability threshold per member, for the rules vote and union; one value, or one per member.
        fallback: Rule for images without a class with enough votes, for the rule vote.
        commonest: Classes of images that have none after the fallback, for the rule vote.
        agreement: Minimum Dice coefficient of masks that agree, for the rule union.
        softmax: Names of outputs whose class probabilities sum to 1 and are renormalised.
        outputs: Names of outputs to blend; by default, all.
        heads: Output mapping of members with other classes: {runs/b: {label: "label[1]"}}, sums as label[1, 2].
        boxes: Names of outputs that are boxes (n, 6): x1, y1, x2, y2, score, label.
        box_rule: Rule for merging boxes.
        box_iou: Minimum IoU of boxes to merge.
        splits: Splits to blend; by default, all splits that the members have.
        missing: Handling of images missing in a member and of folds without a run: error (refuse) or skip.
        duplicates: File duplicates.csv of `explore`; duplicates get the same labels.
        score: Whether to score the members and the ensemble out of fold.
        dtype: Data type of the stored maps.
        processes: Number of worker processes for scoring; by default, one per CPU.
    """

    output: str
    rule: Rule = "mean"
    weights: list[float] | Literal["equal", "hill_climb", "simplex", "least_squares"] | None = None
    rounds: int = 20
    floor: float = 1e-3
    votes: int | None = None
    threshold: float | list[float] = 0.5
    fallback: Literal["none", "union"] = "none"
    commonest: list[int] = field(default_factory=list)
    agreement: float = 0.7
    softmax: list[str] = field(default_factory=list)
    outputs: list[str] | None = None
    heads: dict[str, dict[str, str]] = field(default_factory=dict)
    boxes: list[str] = field(default_factory=list)
    box_rule: BoxRule = "wbf"
    box_iou: float = 0.55
    splits: list[str] | None = None
    missing: Missing = "refuse"
    duplicates: str | None = None
    score: bool = True
    dtype: Literal["uint8", "float16", "float32"] = "uint8"
    processes: int | None = None


def main(arguments: list[str]) -> None:
    """Run the verb with the command-line arguments after it."""
    with errors_alone():
        no_members = "no members: python cli.py ensemble RUN RUN … --output FOLDER"
        line = read_members("ensemble", arguments, Options, "RUN RUN …", no_members)
        check_members(line.members, line.config.options.missing)
        Ensemble(line.config, line.members, line.file).run()


class Ensemble:
    """Blending of members into one experiment.

    Args:
        config: config given by `--config`, else that of the first member.
        members: member experiments, runs or prediction folders.
        file: config file; a copy becomes the config of the ensemble.

    Raises:
        ValueError: if options contradict each other.
    """

    def __init__(self, config: OfflineConfig, members: list[Member], file: Path) -> None:
        self.config, self.members, self.chosen = config, members, config.options
        chosen = self.chosen
        fields = ("rule", "floor", "votes", "threshold", "fallback", "commonest", "agreement", "softmax", "outputs")
        fields += ("boxes", "box_rule", "box_iou")
        self.blend = Blend(**{name: getattr(chosen, name) for name in fields})
        weights = chosen.weights or ("hill_climb" if chosen.rule == "weighted" else "equal")
        if weights != "equal" and chosen.rule not in WEIGHTED:
            raise ValueError(
                f"--weights has no effect with --rule {chosen.rule}, which weights members equally; remove it"
            )
        if weights == "least_squares" and chosen.rule not in ("mean", "weighted"):
            raise ValueError(f"--weights least_squares needs --rule mean, not {chosen.rule}")
        if weights in SEARCHES and not chosen.score:
            raise ValueError(f"--weights {weights} needs out-of-fold scores; set --score true")
        self.method = weights if weights in SEARCHES else None
        count = len(members)
        self.given: Weights = as_whole(weights) if isinstance(weights, list) else (1,) * count
        if len(self.given) != count:
            raise ValueError(f"--weights has {len(self.given)} numbers, expected one for each of {count} members")
        set_heads(members, chosen.heads, self.blend.outputs)
        self.groups = read_groups(chosen.duplicates) if chosen.duplicates is not None else {}
        self.made = DerivedExperiment(Path(chosen.output), RUN, members, file)

    def run(self) -> None:
        """Search the weights, then write the stores and the config."""
        config, streams = self.config, {}
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
            raise ValueError(
                f"--weights {self.method}: no out-of-fold predictions to search weights on; run predict first"
            )
        try:
            self.write(streams, part, found)
        except (ValueError, KeyError):
            # Remove the folder after an error if it is empty; an interrupted call is resumed.
            shutil.rmtree(self.made.run.path, ignore_errors=True)
            with suppress(OSError):  # the folder is not empty
                self.made.folder.rmdir()
            raise
        self.made.print_next()

    def write(self, streams: dict[str, Stream], part: dict[str, int], found: WeightSearchResult | None) -> None:
        """Write the stores of all splits, then the config."""
        best = found.weights if found is not None else self.given
        by_part = found.by_part if found is not None else {}
        for split, stream in streams.items():
            weights = {one: by_part[part[one]] for one in stream.ids} if split == OUT_OF_FOLD and by_part else {}
            store = PredictionStore(self.made.run.predictions / split)
            count = write(
                stream,
                store,
                lambda one, weights=weights: weights.get(one, best),
                self.fingerprint(stream, [weights.get(one, best) for one in stream.ids]),
                self.chosen.dtype,
                self.groups,
            )
            print(f"{split}: {len(stream.ids)} images, {count} newly written: {store.path}")
            if count and split == OUT_OF_FOLD:
                self.made.note_old_chain()
        self.made.save(self.facts(best, found), {})

    def splits(self) -> list[str]:
        """The splits to blend."""
        if self.chosen.splits is not None:
            return self.chosen.splits
        every = [set(member.splits()) for member in self.members]
        for member, own in zip(self.members, every, strict=True):
            lacks = sorted(set().union(*every) - own)
            if lacks:
                raise ValueError(
                    f"{member.path} has no predictions of {lacks[0]!r}, but others do; run predict, or select the "
                    f"splits to blend: --splits '[{', '.join(sorted(set.intersection(*every)))}]'"
                )
        return sorted(every[0])

    def parts(self, stream: Stream) -> dict[str, int]:
        """Fold of each out-of-fold image, from the folds file or else from the first member's runs."""
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

    def search(self, stream: Stream, part: dict[str, int]) -> WeightSearchResult:
        """Search the weights and score out of fold."""
        data, competition = self.config.data, self.config.competition
        rows = {row.image_id: row for row in rows_of(data.table())}
        unknown = [image_id for image_id in stream.ids if image_id not in rows]
        if unknown:
            raise ValueError(f"image {unknown[0]!r} has an out-of-fold prediction, but is not in {data.images}")
        scoring = Scoring(
            stream, {one: partial(data.target_arrays, rows[one]) for one in stream.ids}, part, self.chosen.dtype
        )
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
            # Searched weights are not used if they do not help on unseen images, as in `search`.
            told = ", ".join(f"{name} {one.cross_fitted:.5f}" for name, one in found.items())
            print(f"cross-fitted: {told}; taken: {chosen}")
        return found[chosen]

    def summary(self, found: WeightSearchResult) -> str:
        """Scores and weights as lines for the terminal."""
        width = max(len("cross-fitted"), *(len(str(member.path)) for member in self.members))
        shares = np.array(found.weights) / sum(found.weights)
        takes = self.blend.rule in WEIGHTED
        lines = [f"out of fold, {type(self.config.competition.metric).__name__} after the configured post-processing:"]
        for member, score, share in zip(self.members, found.singles, shares, strict=True):
            lines.append(f"  {member.path!s:<{width}}  {score:.5f}" + (f"  weight {share:.3f}" if takes else ""))
        if self.method is None or set(found.by_part.values()) == {(1,) * len(self.members)}:
            lines.append(f"  {self.blend.rule:<{width}}  {found.in_sample:.5f}  (nothing to fit)")
        else:
            lines.append(f"  {'equal':<{width}}  {found.equal:.5f}")
            lines.append(f"  {'in-sample':<{width}}  {found.in_sample:.5f}  (optimistic: fitted on these images)")
            lines.append(
                f"  {'cross-fitted':<{width}}  {found.cross_fitted:.5f}  (each fold with weights found without it)"
            )
            for number, weights in found.by_part.items():
                lines.append(f"  without fold {number}: {', '.join(f'{w / sum(weights):.3f}' for w in weights)}")
        higher = self.config.competition.metric.higher_is_better
        for member, score in zip(self.members, found.singles, strict=True):
            if len(self.members) > 1 and better(score, found.cross_fitted, higher):
                lines.append(f"  {member.path} alone scores as well or better, with the configured post-processing")
        return "\n".join(lines)

    def fingerprint(self, stream: Stream, weights: list[Weights]) -> str:
        """Hash of all inputs of the ensemble's predictions of a split."""
        members = [part.fingerprint() for part in stream.parts]
        copies = None if self.chosen.duplicates is None else file_hash(Path(self.chosen.duplicates))
        settings = {name: value for name, value in asdict(self.blend).items() if name != "ranks"}
        return text_hash(repr([members, sorted(settings.items()), weights, copies, self.chosen.dtype, stream.ids]))

    def facts(self, best: Weights, found: WeightSearchResult | None) -> dict[str, Any]:
        """Members, rule, weights and scores, for `run.json`."""
        facts: dict[str, Any] = {"rule": self.blend.rule, "weights": [weight / sum(best) for weight in best]}
        if found is not None:
            facts |= {"singles": found.singles, "equal": found.equal, "in_sample": found.in_sample}
            facts |= {"cross_fitted": found.cross_fitted, "evaluations": found.evaluations}
            facts["weights_without"] = {str(k): [w / sum(v) for w in v] for k, v in found.by_part.items()}
        return facts


def set_heads(members: list[Member], heads: dict[str, dict[str, str]], outputs: list[str] | None) -> None:
    """Set the output mappings of members by their paths."""
    for path, common in heads.items():
        own = [member for member in members if member.path == Path(path)]
        if not own:
            listed = ", ".join(str(member.path) for member in members)
            raise ValueError(f"--heads has the key {path}, expected one of the members {listed}")
        lacking = [name for name in outputs or () if name not in common]
        if lacking:
            raise ValueError(f"--heads of {path} has no output {lacking[0]!r}, which --outputs selects")
        try:
            own[0].heads = OutputMapping(common)
        except ValueError as error:
            raise ValueError(f"--heads of {path}: {error}") from error
