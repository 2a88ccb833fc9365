import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from callbacks import GatheredMetric
from evaluation.metrics import DiceGlobal, DicePerImage, IoUGlobal, IoUPerImage


def reference(predicted, true):
    inside, total = (predicted & true).sum(), predicted.sum() + true.sum()
    return 2 * inside / total


def images(count=9):
    random = np.random.default_rng(0)
    for number in range(count):
        share = 0 if number in (2, 5) else random.random()
        false = 0 if number == 2 else random.random()
        yield random.random((1, 9, 7)) < false, random.random((1, 9, 7)) < share


@pytest.mark.parametrize("size", [1, 2, 3])
def test_per_image_equals_numpy(size):
    pairs = list(images())
    expected = np.mean([reference(p, t) if (p | t).any() else 1.0 for p, t in pairs])
    metric = DicePerImage()
    for start in range(0, len(pairs), size):
        predicted, true = zip(*pairs[start : start + size], strict=True)
        metric.update(np.stack(predicted), np.stack(true).astype(np.uint8))
    assert float(metric.compute()) == pytest.approx(expected)


def test_over_the_set_equals_numpy():
    pairs = list(images())
    metric = DiceGlobal()
    for predicted, true in pairs:
        metric.update([predicted], [true.astype(np.uint8)])
    whole = reference(np.concatenate([p for p, _ in pairs]), np.concatenate([t for _, t in pairs]))
    assert float(metric.compute()) == pytest.approx(whole)


def test_empty_convention_is_an_argument():
    nothing = np.zeros((1, 4, 4), bool)
    for empty in (0.0, 1.0):
        metric = DicePerImage(empty=empty)
        metric.update([nothing], [nothing])
        assert float(metric.compute()) == empty


def test_classes_and_ignored_pixels():
    random = np.random.default_rng(1)
    predicted, true = random.integers(0, 3, (2, 12, 12))
    true[0] = 255
    counted = true != 255
    expected = np.mean([reference((predicted == c) & counted, (true == c) & counted) for c in range(3)])
    metric = DicePerImage(classes=3, ignore=255)
    metric.update([predicted], [true])
    assert float(metric.compute()) == pytest.approx(expected)


def test_probabilities_are_refused():
    with pytest.raises(ValueError, match="Threshold"):
        DicePerImage().image({"mask": np.full((1, 2, 2), 0.5)}, {"mask": np.ones((1, 2, 2), bool)})


def test_missing_output_lists_what_is_there():
    with pytest.raises(ValueError, match=r"'mask'.*\['body'\]"):
        DicePerImage().image({"body": np.ones((1, 2, 2), bool)}, {"mask": np.ones((1, 2, 2), bool)})


@pytest.mark.parametrize("kind", [DiceGlobal, DicePerImage, IoUGlobal, IoUPerImage])
def test_a_class_that_is_nowhere_may_be_left_out(kind):
    target = np.zeros((2, 8, 8), np.int64)
    target[:, :4] = 1
    predicted = target.copy()
    predicted[:, 0] = 0
    scores = {}
    for empty in (0.0, float("nan"), 1.0):
        metric = kind(classes=3, empty=empty)
        metric.update(predicted, target)
        scores[empty] = float(metric.compute())
    with_nan = next(score for empty, score in scores.items() if np.isnan(empty))
    assert with_nan == pytest.approx(scores[0.0] * 3 / 2)
    assert scores[0.0] < with_nan < scores[1.0]
    nowhere = kind(empty=float("nan"))
    nowhere.update(np.zeros((1, 1, 4, 4), bool), np.zeros((1, 1, 4, 4), np.uint8))
    assert np.isnan(float(nowhere.compute()))


def hand_made():
    """A perfect image, an empty one that is left empty, an empty one with 4 invented pixels."""
    square = np.zeros((1, 8, 8), bool)
    square[0, 2:4, 2:4] = True
    nothing = np.zeros((1, 8, 8), bool)
    return [(square, square), (nothing, nothing), (square, nothing)]


# metric -> score of the three: the convention for the empty image is the argument
HAND_MADE = [
    (DicePerImage(), (1 + 1 + 0) / 3),
    (DicePerImage(empty=0.0), (1 + 0 + 0) / 3),
    (DicePerImage(empty=float("nan")), (1 + 0) / 2),
    (DiceGlobal(), 2 * 4 / (8 + 4)),
    (IoUPerImage(), (1 + 1 + 0) / 3),
    (IoUGlobal(), 4 / 8),
]


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(("metric", "expected"), HAND_MADE)
def test_three_images_by_hand(metric, expected, size):
    metric.reset()
    pairs = hand_made()
    for start in range(0, 3, size):
        predicted, true = zip(*pairs[start : start + size], strict=True)
        metric.update(np.stack(predicted), np.stack(true).astype(np.uint8))
    assert float(metric.compute()) == pytest.approx(expected)


def on_rank(rank, path, results):
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    scores = []
    for metric in (GatheredMetric(metric) for metric, _ in HAND_MADE):
        metric.reset()
        for number in range(rank, 4, 2):  # the fourth place is the first image again, as a padded loader has it
            predicted, true = hand_made()[number % 3]
            metric.update(f"image{number % 3}", {"mask": predicted}, {"mask": true.astype(np.uint8)})
        scores.append(float(metric.compute()))
    results.put(scores)
    torch.distributed.destroy_process_group()


def test_three_images_by_hand_on_two_ranks(tmp_path):
    context = mp.get_context("fork")
    results = context.SimpleQueue()
    workers = [context.Process(target=on_rank, args=(rank, tmp_path / "init", results)) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    for scores in (results.get(), results.get()):
        assert scores == pytest.approx([expected for _, expected in HAND_MADE])
