"""Every kind of target, with and without a reader that knows void, by every loss and metric over pixels.

For fixed logits, what target and network say of a pixel that does not count changes no loss, no gradient where pixels
count, no score; the gradient under void is 0.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from callbacks.score import as_arrays, target_arrays
from datamodules.collate import collate_evaluation, collate_training
from datamodules.dataset import to_sample
from datamodules.decoder import Decoder
from datamodules.readers import Reader
from datamodules.targets import Target
from evaluation.metrics import (
    DiceGlobal,
    DiceHausdorff,
    DicePerImage,
    InstanceAveragePrecision,
    InstanceFBeta,
    IoUGlobal,
    IoUPerImage,
    IoUPrecision,
    SpaceNetF1,
)
from losses import LossFormula, known_losses
from postprocessing import ArgMax, ConnectedComponents, MinimumArea, Threshold
from submissions.competition import Competition

SIDE = (12, 10)
NAMES = [f"case1_day1_slice_{number}" for number in range(2)]
OVER_PIXELS = set(known_losses()) - {"arcface", "center", "npairs", "ring", "triplet"}
REGRESSIONS = {"l1", "mse", "smooth_l1"}
KINDS = {  # channels of the output; losses; steps of the chain; metrics
    "binary": (
        2,
        OVER_PIXELS - {"kappa"},
        [Threshold(), MinimumArea(3)],
        [DicePerImage, DiceGlobal, IoUPerImage, IoUGlobal, DiceHausdorff],
    ),
    "one mask": (1, OVER_PIXELS - {"kappa"}, [Threshold()], [IoUPrecision]),
    "classes": (
        3,
        OVER_PIXELS,
        [ArgMax("mask")],
        [lambda: DicePerImage(classes=3), lambda: DiceGlobal(classes=3), lambda: IoUPerImage(classes=3),
         lambda: IoUGlobal(classes=3)],
    ),
    "ids": (
        1,
        set(),
        [Threshold(), ConnectedComponents()],
        [InstanceAveragePrecision, InstanceFBeta, lambda: SpaceNetF1(None, min_area=2)],
    ),
    "numbers": (1, REGRESSIONS, [], []),
}  # fmt: skip


class Pictures(Reader):
    """Pictures of one value, of which it may know where they hold data."""

    def __init__(self, known: dict | None) -> None:
        self.pixels = known

    def read(self, row):
        return np.full((*SIDE, 1), 80, np.uint8)

    def read_with_valid(self, row):
        return self.read(row), None if self.pixels is None else self.pixels[row.image_id]

    def size(self, row):
        return SIDE


class Given(Target):
    """Truth from memory."""

    def __init__(self, arrays: dict) -> None:
        self.arrays = arrays

    def read(self, row, size):
        return self.arrays[row.image_id]


def truth(kind, random):
    if kind in ("binary", "one mask"):
        return "mask", (random.random((2 if kind == "binary" else 1, *SIDE)) < 0.4).astype(np.uint8)
    if kind == "classes":
        return "mask", random.integers(0, 3, SIDE)
    if kind == "ids":
        return "instances", np.kron(random.integers(0, 5, (4, 5)), np.ones((3, 2), int)).astype(np.int32)
    return "mask", random.normal(size=(1, *SIDE)).astype(np.float32)


def samples(kind, seed, anything, by_target, by_reader):
    """Samples as they come from files; what lies under void is drawn from `anything`."""
    random, other = np.random.default_rng(seed), np.random.default_rng([seed, anything])
    known, arrays, keep = {}, {}, {}
    for name in NAMES:
        seen, labelled = random.random(SIDE) < 0.8, random.random(SIDE) < 0.8
        labelled[:, :3] = False
        keep[name] = (seen | (not by_reader)) & (labelled | (not by_target))
        (key, values), (_, wild) = truth(kind, random), truth(kind, other)
        values = np.where(keep[name], values, wild)
        if by_target and kind == "classes":  # a target marks its void itself
            values = np.where(labelled, values, 255)
        known[name] = seen
        arrays[name] = {key: values} | ({"valid": labelled} if by_target and kind != "classes" else {})
    decoder = Decoder(Pictures(known if by_reader else None), [Given(arrays)])
    rows = [SimpleNamespace(image_id=name, path="", weight=1.0 + number) for number, name in enumerate(NAMES)]
    made = [to_sample(row, *decoder.read(row), np.zeros(0, np.float32)) for row in rows]
    return made, torch.from_numpy(np.stack([keep[name] for name in NAMES]))


def loss_and_gradient(name, batch, logits):
    leaf = logits.clone().requires_grad_()
    total, _ = LossFormula(f"{name}(mask)")({"mask": leaf}, batch, weight=batch["weight"])
    total.backward()
    return total.detach(), leaf.grad


def scores(kind, made, logits):
    _, _, chain, metrics = KINDS[kind]
    competition = Competition(metrics[0](), [build() for build in metrics[1:]], postprocess=chain)
    batch, found = collate_evaluation(made), []
    for index, name in enumerate(NAMES):
        true = target_arrays(batch, index)
        probabilities = logits[index].softmax(0) if kind == "classes" else logits[index].sigmoid()
        prediction = competition.process(as_arrays({"mask": probabilities}), true)
        for metric in (competition.metric, *competition.extra_metrics):
            metric.add(name, prediction, true)
    for metric in (competition.metric, *competition.extra_metrics):
        found += [float(metric.compute()), *metric.scores().values(), *metric.by_class()]
    return found


@pytest.mark.parametrize(("by_target", "by_reader"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_void_changes_no_loss_no_gradient_and_no_score(kind, by_target, by_reader, seed):
    channels, losses, _, metrics = KINDS[kind]
    one, keep = samples(kind, seed, 1, by_target, by_reader)
    other, _ = samples(kind, seed, 2, by_target, by_reader)
    random = torch.Generator().manual_seed(seed % 2**31)
    logits, wild = (torch.randn(2, channels, *SIDE, generator=random) * 3 for _ in range(2))
    inside = keep.unsqueeze(1).expand_as(logits)
    changed = torch.where(inside, logits, wild)
    for name in sorted(losses):
        loss, grad = loss_and_gradient(name, collate_training(one), logits)
        loss_of_other, grad_of_other = loss_and_gradient(name, collate_training(other), changed)
        assert torch.equal(loss, loss_of_other), name
        assert torch.equal(grad, grad_of_other), name
        assert not grad[~inside].any(), name
    if metrics:
        np.testing.assert_array_equal(scores(kind, one, logits), scores(kind, other, changed))
