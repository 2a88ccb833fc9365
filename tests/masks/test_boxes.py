import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from masks.boxes import nms, non_maximum_weighted, overlaps, soft_nms, weighted_box_fusion


def some_boxes(count=60, labels=3, seed=0):
    random = np.random.default_rng(seed)
    corner, side = random.uniform(0, 80, (count, 2)), random.uniform(5, 40, (count, 2))
    scores = random.permutation(np.linspace(0.05, 0.95, count))
    return np.column_stack([corner, corner + side, scores, random.integers(0, labels, count)])


def iou(one, other):
    """Intersection over union of two boxes, written out."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(wide, 0) * max(high, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def test_overlaps():
    boxes = some_boxes()
    np.testing.assert_allclose(overlaps(boxes[0], boxes), [iou(boxes[0], other) for other in boxes])
    point = np.array([1.0, 1, 1, 1, 0.5, 0])
    assert overlaps(point, point[None]).tolist() == [0]


@pytest.mark.parametrize("threshold", [0.1, 0.4, 0.7])
def test_suppression_is_torchvisions(threshold):
    boxes = some_boxes()
    kept = batched_nms(*(torch.from_numpy(boxes[:, part]) for part in (slice(4), 4, 5)), threshold)
    np.testing.assert_array_equal(nms(boxes, threshold), boxes[kept.numpy()])


def soft_by_the_paper(boxes, method, threshold, sigma, least):
    """Algorithm of Bodla et al. 2017, figure 2, a label at a time."""
    done = []
    for label in np.unique(boxes[:, 5]):
        left = [list(box) for box in boxes[boxes[:, 5] == label]]
        while left:
            best = left.pop(max(range(len(left)), key=lambda n: left[n][4]))
            done.append(best)
            for box in left:
                overlap = iou(best, box)
                if method == "gaussian":
                    box[4] *= np.exp(-(overlap**2) / sigma)
                elif overlap > threshold:
                    box[4] *= 1 - overlap
    done = np.array(done)
    done = done[done[:, 4] >= least]
    return done[np.argsort(-done[:, 4])]


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_soft_suppression_is_the_papers(method):
    boxes = some_boxes()
    result = soft_nms(boxes, method, iou=0.3, sigma=0.5, least=0.05)
    np.testing.assert_allclose(result, soft_by_the_paper(boxes, method, 0.3, 0.5, 0.05))
    assert len(result) > len(nms(boxes, 0.3))


def test_two_boxes_fuse_by_hand():
    one, other = [[0, 0, 0.5, 0.5, 0.9, 1]], [[0, 0, 0.5, 0.6, 0.8, 1]]
    fused = weighted_box_fusion([one, other])
    np.testing.assert_allclose(fused, [[0, 0, 0.5, 0.93 / 1.7, 0.85, 1]])
    assert fused[0, 3] == pytest.approx(0.547, abs=1e-4)
    # another label does not fuse, and what one of two detectors found has half its score
    apart = weighted_box_fusion([one, [[0, 0, 0.5, 0.6, 0.8, 2]]])
    np.testing.assert_allclose(apart[:, 4:], [[0.45, 1], [0.4, 2]])
    # twice the weight counts twice in the place; scaling all weights changes nothing
    np.testing.assert_allclose(weighted_box_fusion([one, other], [2, 1])[0, 3], (1.8 * 0.5 + 0.8 * 0.6) / 2.6)
    np.testing.assert_allclose(weighted_box_fusion([one, other], [2, 1]), weighted_box_fusion([one, other], [0.2, 0.1]))


def fusion_by_the_paper(detections, weights, threshold):
    """Steps 1 to 6 of Solovyev et al. 2019, section 3, one label at a time."""
    found = []
    for label in {box[5] for boxes in detections for box in boxes}:
        pool = [
            [*box[:4], box[4] * w]
            for boxes, w in zip(detections, weights, strict=True)
            for box in boxes
            if box[5] == label
        ]
        pool.sort(key=lambda box: -box[4])
        clusters, fused = [], []
        for box in pool:
            matches = [(iou(box, mean), n) for n, mean in enumerate(fused)]
            value, place = max(matches, default=(-1, -1))
            if value > threshold:
                clusters[place].append(box)
                c = np.array(clusters[place])
                fused[place] = [*(c[:, :4] * c[:, 4:]).sum(0) / c[:, 4].sum(), c[:, 4].mean()]
            else:
                clusters.append([box])
                fused.append(list(box))
        for mean, cluster in zip(fused, clusters, strict=True):
            share = min(len(cluster), len(detections)) / sum(weights)
            found.append([*mean[:4], mean[4] * share, label])
    return np.array(sorted(found, key=lambda box: -box[4]))


@pytest.mark.parametrize("weights", [[1, 1, 1], [2, 1, 0.5]])
def test_fusion_is_the_papers(weights):
    base = some_boxes(30, 2)
    random = np.random.default_rng(5)
    moved = np.tile(random.normal(0, 2, (30, 2)), 2)
    shaken = base + np.column_stack([moved, random.uniform(0, 0.05, 30), np.zeros(30)])
    detections = [base[:20], shaken[5:], some_boxes(15, 2, seed=9)]
    result = weighted_box_fusion(detections, weights, 0.5)
    np.testing.assert_allclose(result, fusion_by_the_paper(detections, weights, 0.5))
    assert len(result) < sum(map(len, detections))


def test_followers_move_their_leader():
    """The numbers are those of ensemble_boxes 1.0.9."""
    detections = [
        [[0.1, 0.1, 0.5, 0.5, 0.9, 0], [0.6, 0.6, 0.9, 0.9, 0.4, 1]],
        [[0.12, 0.1, 0.52, 0.5, 0.6, 0], [0.6, 0.62, 0.9, 0.92, 0.7, 1]],
        [[0.1, 0.2, 0.5, 0.5, 0.5, 0], [0.1, 0.1, 0.5, 0.5, 0.3, 1]],
    ]
    expected = [
        [0.103995, 0.113798, 0.503995, 0.5, 0.9, 0],
        [0.6, 0.608673, 0.9, 0.908673, 0.4, 1],
        [0.1, 0.1, 0.5, 0.5, 0.15, 1],
    ]
    np.testing.assert_allclose(non_maximum_weighted(detections, [2, 1, 1], 0.55), expected, atol=1e-6)
    # with one detector of weight 3 for all, weights change nothing
    one = [np.concatenate([np.array(boxes) for boxes in detections])]
    np.testing.assert_array_equal(non_maximum_weighted(one, [3]), non_maximum_weighted(one))


def test_by_hand_a_leader_keeps_its_score():
    one, other = [[0, 0, 2, 1, 0.8, 0]], [[0, 0, 1, 1, 0.4, 0]]  # they overlap by half: 0.8 and 0.2
    np.testing.assert_allclose(non_maximum_weighted([one, other], iou=0.4), [[0, 0, 1.8, 1, 0.8, 0]])
    assert len(non_maximum_weighted([one, other], iou=0.5)) == 2
    assert len(non_maximum_weighted([one, [[0, 0, 1, 1, 0.4, 1]]], iou=0.4)) == 2
    boxes = some_boxes()
    leaders = nms(boxes, 0.4)
    merged = non_maximum_weighted([boxes], iou=0.4)
    np.testing.assert_array_equal(merged[:, 4:], leaders[:, 4:])  # those that suppression keeps
    assert np.abs(merged[:, :4] - leaders[:, :4]).max() > 0.1
    still = non_maximum_weighted([[[0, 0, 2, 1, 0.0, 0]], [[0, 0, 2, 1.1, 0.0, 0]], [[3, 3, 3, 3, 0.5, 0]]])
    np.testing.assert_array_equal(still, [[3, 3, 3, 3, 0.5, 0], [0, 0, 2, 1, 0, 0]])


def test_no_boxes_and_wrong_ones():
    nothing = np.zeros((0, 6))
    assert nms(nothing).shape == soft_nms(nothing).shape == (0, 6)
    for fuse in (weighted_box_fusion, non_maximum_weighted):
        assert fuse([nothing, nothing]).shape == (0, 6)
    with pytest.raises(ValueError, match=r"\(N, 6\)"):
        nms(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="box 1 is"):
        nms([[0, 0, 1, 1, 0.5, 0], [2, 0, 1, 1, 0.5, 0]])
    with pytest.raises(ValueError, match="box 0 is"):
        weighted_box_fusion([[[0, 0, 1, 1, np.nan, 0]]])
    with pytest.raises(ValueError, match="2 numbers"):
        weighted_box_fusion([nothing, nothing], [1])
    with pytest.raises(ValueError, match="no detector"):
        weighted_box_fusion([])
    with pytest.raises(ValueError, match="cubic"):
        soft_nms(nothing, "cubic")
