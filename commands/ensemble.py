"""The verb `ensemble`: predictions of several experiments become those of one."""

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
from ensembling.heads import Heads
from ensembling.members import OUT_OF_FOLD, Member, common_ids
from ensembling.scoring import Scoring
from ensembling.stream import Stream, write
from ensembling.weights import Found, Weights, as_whole, best_cross_fitted, better, parts_of
from evaluation.folds import read_folds
from experiments.configuration import OfflineConfig
from experiments.derived import DerivedExperiment, check_members
from experiments.fold_stores import Missing
from files.paths import file_hash, text_hash
from predictions.store import PredictionStore

RUN = "ensemble"  # the one run of the experiment that the verb writes: search, score and submit find it as a fold
SEARCHES = ("hill_climb", "simplex", "least_squares")


@dataclass
class Options:
    """Options of `ensemble`.

    Args:
        output: Folder of the experiment to write, such as runs/ens.
        rule: How predictions become one; `weighted` is a mean whose weights are searched.
        weights: Weights of the members: numbers, or a search on out-of-fold scores; null: equal, or hill_climb for the
            rule `weighted`.
        rounds: Number of additions of the hill climbing.
        floor: Smallest probability, for the rules geometric, harmonic and logit.
        votes: Number of members that must agree, for the rule vote; null: more than half.
        threshold: Probability above which a member says yes, for the rules vote and union; one, or one for each member.
        fallback: Rule for images where nothing has enough votes, for the rule vote.
        commonest: Classes of an image that has none even then, for the rule vote.
        agreement: Smallest Dice coefficient of masks that agree, for the rule union.
        softmax: Names of outputs whose classes sum to 1 and shall go on to.
        outputs: Names of outputs to take; null: all.
        heads: Common outputs of members with other classes: {runs/b: {label: "label[1]"}}, sums as label[1, 2].
        boxes: Names of outputs that are boxes (n, 6): x1, y1, x2, y2, score, label.
        box_rule: How boxes are merged.
        box_iou: IoU from which two boxes are one.
        splits: Splits to ensemble; null: all that the members have.
        missing: Whether to refuse or to skip images that a member lacks, and folds without a run.
        duplicates: duplicates.csv of explore: duplicates share their labels.
        score: Score the members and the ensemble out of fold.
        dtype: Type of the stored maps.
        processes: Number of worker processes of the scoring; null: one per CPU.
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
    """Run the verb; `arguments` is what follows it on the command line."""
    with errors_alone():
        no_members = "no members: python cli.py ensemble RUN RUN … --output FOLDER"
        line = read_members("ensemble", arguments, Options, "RUN RUN …", no_members)
        check_members(line.members, line.config.options.missing)
        Ensemble(line.config, line.members, line.file).run()


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
        self.config, self.members, self.chosen = config, members, config.options
        chosen = self.chosen
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
        self.made = DerivedExperiment(Path(chosen.output), RUN, members, file)

    def run(self) -> None:
        """Find the weights, write the stores, then the config by which other verbs find them."""
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
            raise ValueError(f"--weights {self.method}: there are no out-of-fold predictions to find weights on")
        try:
            self.write(streams, part, found)
        except (ValueError, KeyError):
            # What is refused leaves nothing; what was cut off goes on.
            shutil.rmtree(self.made.run.path, ignore_errors=True)
            with suppress(OSError):  # it holds more
                self.made.folder.rmdir()
            raise
        self.made.print_next()

    def write(self, streams: dict[str, Stream], part: dict[str, int], found: Found | None) -> None:
        """Write the stores of all splits, and the config last."""
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
            print(f"{split}: {len(stream.ids)} images, {count} of them written now: {store.path}")
            if count and split == OUT_OF_FOLD:
                self.made.note_old_chain()
        self.made.save(self.facts(best, found), {})

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

    def facts(self, best: Weights, found: Found | None) -> dict[str, Any]:
        """What the ensemble is made of, for `run.json`."""
        facts: dict[str, Any] = {"rule": self.blend.rule, "weights": [weight / sum(best) for weight in best]}
        if found is not None:
            facts |= {"singles": found.singles, "equal": found.equal, "in_sample": found.in_sample}
            facts |= {"cross_fitted": found.cross_fitted, "evaluations": found.evaluations}
            facts["weights_without"] = {str(k): [w / sum(v) for w in v] for k, v in found.by_part.items()}
        return facts


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
