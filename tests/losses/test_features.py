"""Losses over embeddings: values by hand, twins of pytorch-metric-learning, what moves their parameters."""

import itertools
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from losses import LossFormula
from losses.arcface import ArcfaceLoss
from losses.center import CenterLoss
from losses.npairs import NpairsLoss, pairs
from losses.ring import RingLoss
from losses.triplet import TripletLoss

ROOT = Path(__file__).parents[2]
BUILD = {
    "arcface": lambda: ArcfaceLoss(classes=3, embedding_dim=4),
    "arcface, sub-centres": lambda: ArcfaceLoss(classes=3, embedding_dim=4, centers=2, softmax_share=0.5),
    "center": lambda: CenterLoss(classes=3, embedding_dim=4),
    "npairs": NpairsLoss,
    "ring": lambda: RingLoss(radius=1.5),
    "triplet": TripletLoss,
    "triplet, soft": lambda: TripletLoss(margin=None, normalise=True),
}


def batch(dtype=torch.float32, count=8):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(count, 4, generator=generator, dtype=torch.float64).to(dtype)
    return features, torch.arange(count) % 3


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("value", [None, 0.0, 50.0])
def test_finite_with_finite_gradient(name, dtype, value):
    """Also where all embeddings are equal, or zero."""
    features, labels = batch(dtype)
    features = (features if value is None else torch.full_like(features, value)).requires_grad_()
    loss = BUILD[name]()(features, labels)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.shape == ()
    assert torch.isfinite(loss)
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize("name", BUILD)
def test_gradient(name):
    features, labels = batch(torch.float64)
    loss = BUILD[name]().double().eval()
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (features.requires_grad_(),))


@pytest.mark.parametrize("name", BUILD)
def test_weight_zero_is_as_if_the_samples_were_not_there(name):
    features, labels = batch()
    loss = BUILD[name]().eval()
    weight = torch.tensor([1.0, 1, 1, 0, 1, 1, 0, 1])
    keep = weight > 0
    torch.testing.assert_close(loss(features, labels, weight), loss(features[keep], labels[keep]))


@pytest.mark.parametrize("name", [name for name in BUILD if name != "ring"])
def test_shapes_are_named(name):
    with pytest.raises(ValueError, match=r"Got: features \(2, 4\), target \(3,\)"):
        BUILD[name]()(torch.zeros(2, 4), torch.zeros(3, dtype=torch.long))


def test_class_numbers_are_checked():
    for name in ("arcface", "center"):
        with pytest.raises(ValueError, match="label is 3, expected 0 … 2: the loss has classes=3"):
            BUILD[name]()(torch.zeros(2, 4), torch.tensor([0, 3]))
        with pytest.raises(ValueError, match="embedding_dim is 4, the embeddings have 5"):
            BUILD[name]()(torch.zeros(2, 5), torch.tensor([0, 1]))


# --- arcface ---------------------------------------------------------------------------------------------------------


def test_without_margin_arcface_is_softmax_over_cosines():
    features, labels = batch()
    loss = ArcfaceLoss(classes=3, embedding_dim=4, scale=30, margin=0)
    cosines = F.normalize(features) @ F.normalize(loss.weight).T
    torch.testing.assert_close(loss(features, labels), F.cross_entropy(30 * cosines, labels))
    mixed = ArcfaceLoss(classes=3, embedding_dim=4, margin=0, softmax_share=0.5)
    mixed.load_state_dict(loss.state_dict())
    expected = (F.cross_entropy(30 * cosines, labels) + F.cross_entropy(cosines, labels)) / 2
    torch.testing.assert_close(mixed(features, labels), expected)


@pytest.mark.parametrize("centers", [1, 3])
def test_arcface_is_metric_learnings_with_its_margin_in_degrees(centers):
    library = pytest.importorskip("pytorch_metric_learning.losses", reason='pip install -e ".[metric]"')
    features, labels = batch(count=9)
    torch.manual_seed(0)
    ours = ArcfaceLoss(classes=3, embedding_dim=4, scale=64, margin=math.radians(28.6), centers=centers)
    if centers == 1:
        theirs = library.ArcFaceLoss(3, 4, margin=28.6, scale=64)
    else:
        theirs = library.SubCenterArcFaceLoss(
            num_classes=3, embedding_size=4, margin=28.6, scale=64, sub_centers=centers
        )
    theirs.W.data = ours.weight.data.T.clone()
    cosine = ours.cosine(features).gather(1, labels[:, None])
    assert (cosine > -math.cos(math.radians(28.6))).all()  # else theirs turns back
    torch.testing.assert_close(ours(features, labels), theirs(features, labels), rtol=1e-4, atol=1e-5)


def test_arcface_never_turns_back():
    """The loss falls with the angle to the own centre, from the far side on."""
    loss = ArcfaceLoss(classes=2, embedding_dim=2, margin=0.5)
    loss.weight.data = torch.tensor([[1.0, 0], [0, 1]])
    angles = torch.linspace(math.pi, math.pi / 4, 50)
    features = torch.stack([angles.cos(), -angles.sin()], dim=1)
    values = [loss(feature[None], torch.tensor([0])).item() for feature in features]
    assert all(later <= before + 1e-5 for before, later in itertools.pairwise(values))


def test_arcface_counts_its_margin_in_radians():
    with pytest.raises(ValueError, match="radians"):
        ArcfaceLoss(classes=3, embedding_dim=4, margin=28.6)


# --- center and ring -------------------------------------------------------------------------------------------------


def test_center_by_hand():
    features, labels = torch.tensor([[3.0, 4], [0, 1]]), torch.tensor([0, 1])
    loss = CenterLoss(classes=2, embedding_dim=2, lr=0.5)
    loss.centers.copy_(torch.tensor([[1.0, 1], [0, 0]]))
    assert loss(features, labels).item() == pytest.approx(3.5)
    # c − 0.5 · (c − x) / (1 + 1)
    torch.testing.assert_close(loss.centers, torch.tensor([[1.5, 1.75], [0, 0.25]]))
    before = loss.centers.clone()
    loss.eval()(features, labels)
    assert torch.equal(loss.centers, before)


def test_centres_reach_the_means_and_no_optimizer_knows_them():
    features, labels = batch(count=30)
    loss = CenterLoss(classes=3, embedding_dim=4)
    for _ in range(40):
        loss(features, labels)
    means = torch.stack([features[labels == number].mean(0) for number in range(3)])
    torch.testing.assert_close(loss.centers, means, atol=1e-4, rtol=0)
    assert not list(loss.parameters())
    assert "centers" in loss.state_dict()


def test_ring_by_hand():
    features = torch.tensor([[3.0, 4], [0, 1]])
    formula = LossFormula("0.01 * ring(embedding, radius=2)")
    total, _ = formula({"embedding": features}, {})
    assert total.item() == pytest.approx(0.025)
    total.backward()
    # λ/2 · mean of −2 (‖x‖ − R)
    assert formula.losses[0].radius.grad.item() == pytest.approx(-0.01 * (3 - 1) / 2)


def test_ring_starts_at_the_mean_norm():
    features = torch.tensor([[3.0, 4], [0, 1]])
    loss = RingLoss()
    loss(features)
    assert loss.radius.item() == 3
    loss(features * 10)
    assert loss.radius.item() == 3
    again = RingLoss()
    again.load_state_dict(loss.state_dict())
    again(features * 10)
    assert again.radius.item() == 3


# --- n-pairs and triplets --------------------------------------------------------------------------------------------


def test_npairs_of_three_classes_by_hand():
    features, labels = batch(count=6)
    anchors, partners = features[:3], features[3:]
    expected = F.cross_entropy(anchors @ partners.T, torch.arange(3))
    torch.testing.assert_close(NpairsLoss(l2=0)(features, labels), expected)
    norms = 0.25 * 0.02 * (anchors.square().sum(1).mean() + partners.square().sum(1).mean())
    torch.testing.assert_close(NpairsLoss(l2=0.02)(features, labels), expected + norms)


def test_several_anchors_of_a_class_share_their_truth():
    features = batch(count=6)[0]
    labels = torch.tensor([7, 7, 7, 7, 2, 2])
    anchors, partners = features[[4, 0, 2]], features[[5, 1, 3]]
    scores = (anchors @ partners.T).log_softmax(1)
    expected = -(scores[0, 0] + scores[1, 1:].mean() + scores[2, 1:].mean()) / 3
    torch.testing.assert_close(NpairsLoss(l2=0)(features, labels), expected)


def test_pairs_leave_odd_ones_over():
    first, second = pairs(torch.tensor([5, 1, 5, 2, 5, 1]))
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 2), (1, 5)]
    assert [len(part) for part in pairs(torch.tensor([1, 2, 3]))] == [0, 0]
    assert [len(part) for part in pairs(torch.tensor([], dtype=torch.long))] == [0, 0]


@pytest.mark.parametrize("kind", [NpairsLoss, TripletLoss])
def test_a_batch_without_pairs_asks_for_a_sampler(kind):
    features = torch.randn(3, 4, requires_grad=True)
    with pytest.raises(ValueError, match="sampler"):
        kind()(features, torch.arange(3))
    loss = kind().eval()(features, torch.arange(3))  # validation goes image by image
    assert loss == 0


@pytest.mark.parametrize("normalise", [False, True])
def test_hardest_triplets_by_brute_force(normalise):
    features, labels = batch(count=10)
    points = F.normalize(features) if normalise else features
    losses = []
    for anchor in range(10):
        apart = [(points[anchor] - other).norm().item() for other in points]
        partners = [apart[i] for i in range(10) if i != anchor and labels[i] == labels[anchor]]
        strangers = [apart[i] for i in range(10) if labels[i] != labels[anchor]]
        losses.append(max(0.0, 0.3 + max(partners) - min(strangers)))
    value = TripletLoss(margin=0.3, normalise=normalise)(features, labels).item()
    assert value == pytest.approx(sum(losses) / 10, rel=1e-5)


def test_triplets_are_metric_learnings():
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason='pip install -e ".[metric]"')
    from pytorch_metric_learning import distances, miners, reducers

    features, labels = batch(count=12)
    plain = distances.LpDistance(normalize_embeddings=False)
    theirs = losses.TripletMarginLoss(margin=0.3, distance=plain, reducer=reducers.MeanReducer())
    hard = miners.BatchHardMiner(distance=plain)(features, labels)
    torch.testing.assert_close(TripletLoss(margin=0.3)(features, labels), theirs(features, labels, hard))


def test_other_losses_of_the_library_by_name():
    losses = pytest.importorskip("pytorch_metric_learning.losses", reason='pip install -e ".[metric]"')
    features, labels = batch()
    library = losses.ContrastiveLoss()
    formula = LossFormula("0.5 * contrastive(embedding, label)", {"contrastive": library})
    total, _ = formula({"embedding": features}, {"label": labels})
    torch.testing.assert_close(total, 0.5 * library(features, labels))


# --- in the formula --------------------------------------------------------------------------------------------------


def test_parameters_live_in_the_formula_with_their_own_rate():
    text = "arcface(embedding, label, classes=3, embedding_dim=4, lr=0.1)"
    text += " + 0.003 * center(embedding, label, classes=3, embedding_dim=4)"
    formula = LossFormula(text)
    features, labels = batch()
    features = features.requires_grad_()
    total, parts = formula({"embedding": features}, {"label": labels})
    total.backward()
    torch.testing.assert_close(total.detach(), sum(parts.values()))
    assert formula.losses[0].learning_rate == 0.1
    assert formula.losses[0].weight.grad.abs().sum() > 0
    assert {"losses.0.weight", "losses.1.centers"} <= set(formula.state_dict())
    assert formula.losses[1].centers.abs().sum() > 0


# --- two ranks -------------------------------------------------------------------------------------------------------

RANK = """
import sys, torch
from losses.center import CenterLoss
rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
features, labels = torch.load(f"{folder}/batch.pt")
loss = CenterLoss(classes=3, embedding_dim=4)
for _ in range(3):
    loss(features[rank::2], labels[rank::2])
torch.save(loss.centers, f"{folder}/{rank}.pt")
torch.distributed.barrier()  # who leaves first would break the other's connection
torch.distributed.destroy_process_group()
"""


def test_centres_of_two_ranks_are_those_of_one(tmp_path):
    features, labels = batch(count=12)
    torch.save((features, labels), tmp_path / "batch.pt")
    command = [sys.executable, "-c", RANK]
    ranks = [subprocess.Popen([*command, str(rank), str(tmp_path)], cwd=ROOT) for rank in range(2)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert torch.equal(one, other)
    alone = CenterLoss(classes=3, embedding_dim=4)
    for _ in range(3):
        alone(features, labels)
    torch.testing.assert_close(one, alone.centers)
