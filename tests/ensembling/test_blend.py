"""What a blend may give: probabilities, whatever the rule and the weights; and what a store keeps of it."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembling.blend import Blend, Rule, as_stored
from ensembling.box_rules import BoxRule
from ensembling.ranks import Ranks
from inference.tiles import to_bytes
from predictions.quantiser import stored_as, to_steps
from predictions.store import PredictionStore

RULES, BOX_RULES = Rule.__args__, BoxRule.__args__


def members(count, seed, high=1.0):
    """Maps, labels and boxes of each member; 0, 1 and what lies at their borders are common."""
    random = np.random.default_rng(seed)

    def values(*shape):
        edges = np.array([0, 1e-8, 0.5, np.nextafter(np.float32(1), np.float32(0)), high], np.float32)
        return np.where(random.random(shape) < 0.5, random.choice(edges, shape), random.random(shape)).astype(
            np.float32
        )

    entries = []
    for _ in range(count):
        corners = random.integers(0, 3, (6, 2)) * 10 + random.random((6, 2))
        boxes = np.column_stack([corners, corners + 12, values(6), random.integers(0, 2, 6)]).astype(np.float32)
        entries.append({"mask": values(2, 5, 6), "label": values(3), "boxes": boxes})
    return entries


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(itertools.product(RULES, BOX_RULES))),
    st.lists(st.sampled_from([0.0, 0.01, 0.2, 1.0, 3.0, 1000.0]), min_size=1, max_size=5).filter(any),
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from([1.0, 1 + 2e-6]),
)
def test_every_rule_gives_probabilities(rules, weights, seed, softmax, high):
    """Also of members whose blended tiles are above 1 in the last bits."""
    rule, box_rule = rules
    entries = members(len(weights), seed, high)
    blend = Blend(rule, boxes=["boxes"], box_rule=box_rule, softmax=["label"] if softmax else [])
    if rule == "rank":
        for entry in entries:
            blend.ranks.append({name: Ranks() for name in ("mask", "label")})
            for name, ranks in blend.ranks[-1].items():
                ranks.add(entry[name])
                ranks.finish()
    found = blend(entries, weights)
    for values in (found["mask"], found["label"], found["boxes"][:, 4]):
        assert values.dtype == np.float32
        assert values.min(initial=0) >= 0
        assert values.max(initial=0) <= high
    kept = as_stored(found, "uint8")["mask"]
    assert kept.max() <= 1


def test_fused_boxes_of_unequal_detectors_by_hand():
    """Two boxes of the heavy detector in one cluster: ensemble_boxes 1.0.9 gives 1.2."""
    heavy = np.array([[0, 0, 10, 10, 0.9, 0], [0, 0, 10, 10, 0.7, 0]], np.float32)
    light = np.array([[50, 50, 60, 60, 0.8, 0]], np.float32)
    found = Blend(boxes=["boxes"])([{"boxes": heavy}, {"boxes": light}], [3, 1])["boxes"]
    np.testing.assert_allclose(found, [[0, 0, 10, 10, 1.0, 0], [50, 50, 60, 60, 0.2, 0]], rtol=1e-6)


# --- what the store keeps -------------------------------------------------------------------------------------------


def probabilities(dtype):
    """All halves of 0..1, or of float32 those around every border between two bytes, and some millions in between."""
    if dtype == np.float16:
        return np.arange(0x3C00, -1, -1).astype(np.uint16).view(np.float16)
    borders = ((np.arange(255) + 0.5) / 255).astype(np.float32).view(np.uint32)
    near = (borders[:, None] + np.arange(-50, 51)).astype(np.uint32).reshape(-1)
    one = np.full(8, 0x3F800000, np.uint32)
    return np.concatenate([one, near, np.arange(0, one[0], 499, dtype=np.uint32)]).view(np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_blend_store_and_tiles_round_alike(dtype, tmp_path):
    values = probabilities(dtype)
    whole = np.append(values[: len(values) // 8 * 8 - 8], np.zeros(8, dtype)).reshape(1, -1, 8)
    assert whole.min() == 0
    assert whole.max() == 1
    exact = np.rint(whole.astype(np.float64) * 255)
    stored, scale = stored_as(whole, "uint8")
    np.testing.assert_array_equal(stored, to_steps(whole))
    np.testing.assert_array_equal(stored, to_bytes(torch.from_numpy(whole.copy())).numpy())
    # float32 may take a number that is halfway but for its last bits for one that is.
    off = stored != exact
    assert (np.abs(whole.astype(np.float64)[off] * 255 % 1 - 0.5) < 2e-5).all()
    np.testing.assert_array_equal(
        as_stored({"mask": whole}, "uint8")["mask"], stored.astype(np.float32) / np.float32(255)
    )
    some = whole[:, :: max(1, whole.shape[1] // 4000)]
    for kind in ("uint8", "float16", "float32"):
        store = PredictionStore(tmp_path / kind)
        store.write("a", {"mask": some}, kind)
        read = store.read("a")["mask"]
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, as_stored({"mask": some}, kind)["mask"])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(2, 3, 4), (1, 2, 3, 4), (3,), (5, 6), (0, 6)]),
    st.sampled_from([np.float16, np.float32, np.float64, np.uint8, bool, np.int32]),
    st.sampled_from([0.9, 1.0, 1 + 5e-6, 1 + 1e-3, -0.1, np.nan]),
    st.sampled_from(["uint8", "float16", "float32"]),
)
def test_what_is_scored_is_what_is_read(tmp_path_factory, shape, dtype, value, kind):
    with np.errstate(invalid="ignore"):
        array = np.full(shape, value).astype(dtype)
    store = PredictionStore(tmp_path_factory.mktemp("store"))
    store.write("a", {"x": array}, kind)
    read, kept = store.read("a")["x"], as_stored({"x": array}, kind)["x"]
    assert read.dtype == kept.dtype
    np.testing.assert_array_equal(read, kept)
