"""A time limit takes views away, never images."""

from types import SimpleNamespace

import pytest
import torch

from callbacks import PredictionTimeLimit, time_limit
from inference import Inference


class Clock:
    """Time passes by the view."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(time_limit.time, "monotonic", lambda: self.now)


def predict(monkeypatch, limit, batches, seconds_a_view, slow=(), **inference):
    clock, model = Clock(monkeypatch), SimpleNamespace(inference=Inference(**inference))
    callback, views = PredictionTimeLimit(limit), []
    trainer = SimpleNamespace(num_predict_batches=[batches // 2, batches - batches // 2])
    callback.on_predict_start(trainer, model)
    for number in range(batches):
        model.inference(lambda batch: {"label": batch.mean((2, 3))}, torch.zeros(1, 1, 32, 32))
        views.append(model.inference.number_of_views)
        clock.now += slow[number] if number < len(slow) else seconds_a_view * views[-1]
        callback.on_predict_batch_end(trainer, model, None, None, number)
    return clock.now, views


def test_a_limit_that_is_far_away_changes_nothing(monkeypatch):
    _, views = predict(monkeypatch, "01:00:00", 20, 1.0, tta="d4")
    assert views == [8] * 20


def test_the_first_batches_say_nothing_of_the_pace(monkeypatch):
    """They compile, allocate and fill caches: 60 s in place of 8 cost nothing, of the others 88 s are needed."""
    _, views = predict(monkeypatch, "00:05:00", 13, 1.0, slow=(60, 60), tta="d4")
    assert views == [8] * 13
    with pytest.warns(UserWarning, match="from 8 views to"):  # a third one is no warm-up
        _, views = predict(monkeypatch, "00:05:00", 13, 1.0, slow=(60, 60, 60), tta="d4")
    assert views[:3] == [8] * 3
    assert views[3] < 8


@pytest.mark.parametrize("limit", ["00:05:00", "00:08:20", "00:12:00"])
def test_views_go_until_the_rest_fits(monkeypatch, limit):
    with pytest.warns(UserWarning, match=r"--time_limit: .* augmentation is reduced from 8 views to"):
        spent, views = predict(monkeypatch, limit, 100, 1.0, tta="d4")
    assert spent <= time_limit.seconds(limit)
    assert views[0] == 8
    assert views == sorted(views, reverse=True)
    assert views[-1] >= 1
    # as many as fit: one view more for each image would have passed the limit
    assert spent + 100 - views.count(8) > 0.9 * time_limit.seconds(limit)


def test_scales_go_before_turns(monkeypatch):
    inference = Inference(tta="flips", scales=[1, 1.25])
    inference.limit_views(4)
    assert [view.scale for view in inference.views(2)] == [1, 1, 1, 1]
    inference.limit_views(1)
    assert inference.views(2) == Inference().views(2)


def test_a_limit_that_one_view_passes_is_said_once(monkeypatch):
    with pytest.warns(UserWarning, match="--time_limit") as said:
        _, views = predict(monkeypatch, "00:00:10", 30, 1.0, tta="flips")
    assert views[-1] == 1
    assert sum("with a single view" in str(warning.message) for warning in said) == 1


@pytest.mark.parametrize("limit", ["10", "00:00:00", "1:00", "aa:00:00", "-1:00:00"])
def test_wrong_limits(limit):
    with pytest.raises(ValueError, match="--time_limit is .* expected HH:MM:SS"):
        PredictionTimeLimit(limit)


def test_days():
    assert time_limit.seconds("01:02:03:04") == 93784
