"""Whole groups in folds, beside what scikit-learn makes of them."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from evaluation.whole_groups import deal_by_class, deal_by_size


def held(splitter, groups, labels=None):
    """Fold of every image, of a splitter of scikit-learn."""
    folds = np.full(len(groups), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for fold, (_, images) in enumerate(splitter.split(groups, labels, groups)):
            folds[images] = fold
    return folds


def unlike(folds, labels, k):
    """Of the shares of each class that lie in each fold: their spread on average, and the largest deviation."""
    counts = np.stack([np.bincount(labels[folds == fold], minlength=labels.max() + 1) for fold in range(k)])
    shares = counts / counts.sum(0)
    return np.array([shares.std(0).mean(), np.abs(shares - 1 / k).max()])


def partition(fold_of):
    """Which groups lie together, whatever the numbers of the folds."""
    return {tuple(np.flatnonzero(fold_of == fold)) for fold in np.unique(fold_of)}


@st.composite
def group_sizes(draw, most=60):
    """Sizes of groups of one of the kinds there are: equal, even, with a long tail, a few large ones among small."""
    count, random = draw(st.integers(2, most)), np.random.default_rng(draw(st.integers(0, 10**6)))
    kind = draw(st.sampled_from(["one", "even", "tail", "few large"]))
    if kind == "one":
        return np.full(count, draw(st.integers(1, 9)))
    if kind == "even":
        return random.integers(1, 40, count)
    if kind == "tail":
        return np.ceil(random.lognormal(1.5, 1.2, count)).astype(int)
    return np.where(random.random(count) < 0.2, 100, random.integers(1, 4, count))


def test_four_large_groups_and_sixteen_small_ones():
    sizes = np.array([100] * 4 + [1] * 16)
    dealt = [deal_by_size(sizes, 4, seed) for seed in range(20)]
    assert all(np.bincount(fold_of, sizes).tolist() == [104] * 4 for fold_of in dealt)
    assert len({tuple(sorted(partition(fold_of))) for fold_of in dealt}) == 20


@settings(max_examples=80, deadline=None)
@given(group_sizes(), st.integers(2, 8), st.integers(0, 10**6))
def test_by_size_as_even_as_scikit_learn_for_every_seed(sizes, k, seed):
    assume(len(sizes) >= k)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    theirs = np.bincount(held(GroupKFold(k), groups), minlength=k)
    ours = np.bincount(deal_by_size(sizes, k, seed), sizes, k)
    assert ours.sum() == sizes.sum()
    assert ours.max() <= theirs.max()
    assert ours.min() >= theirs.min() > 0
    np.testing.assert_array_equal(deal_by_size(sizes, k, seed), deal_by_size(sizes, k, seed))


@pytest.mark.parametrize("k", [2, 5])
def test_seeds_give_other_folds_even_where_no_two_groups_are_of_one_size(k):
    sizes = np.random.default_rng(0).permutation(np.arange(1, 61))
    found = {tuple(sorted(partition(deal_by_size(sizes, k, seed)))) for seed in range(10)}
    assert len(found) == 10


@settings(max_examples=30, deadline=None)
@given(
    group_sizes(40), st.integers(2, 6), st.integers(2, 4), st.booleans(), st.integers(0, 10**6), st.integers(0, 10**6)
)
def test_by_class_no_worse_than_scikit_learn(sizes, k, classes, pure, draw, seed):
    """The largest fold is at most 1.1 times GroupKFold's; the classes are as even as StratifiedGroupKFold's."""
    assume(len(sizes) >= k)
    random = np.random.default_rng(draw)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    odds = np.eye(classes)[random.integers(0, classes, len(sizes))] if pure else None
    odds = random.dirichlet(np.ones(classes), len(sizes)) if odds is None else odds
    labels = np.concatenate([random.choice(classes, size, p=own) for own, size in zip(odds, sizes, strict=True)])
    labels = np.unique(labels, return_inverse=True)[1]
    assume(np.bincount(labels).min() >= k)
    sums = csr_array((np.ones(len(labels)), (groups, labels)))
    fold_of = deal_by_class(sums, sizes, k, seed)
    np.testing.assert_array_equal(fold_of, deal_by_class(sums, sizes, k, seed))
    images = np.bincount(fold_of, sizes, k)
    assert images.min() > 0
    most = 1.1 * np.bincount(held(GroupKFold(k), groups)).max()
    assert images.max() <= most + 1e-9
    theirs = held(StratifiedGroupKFold(k, shuffle=True, random_state=seed), groups, labels)
    # Else both at once may be impossible; they then have whole folds that are too large, or none at all.
    if np.bincount(theirs, minlength=k).max() <= most:
        assert (unlike(fold_of[groups], labels, k) <= unlike(theirs, labels, k) + 1e-9).all()


def test_by_class_far_more_even_than_scikit_learn():
    """Patients with few or many pictures, one in six ill."""
    random = np.random.default_rng(0)
    sizes = random.integers(1, 30, 200)
    groups = np.repeat(np.arange(200), sizes)
    labels = np.repeat(random.random(200) < 1 / 6, sizes).astype(int)
    sums = csr_array((np.ones(len(labels)), (groups, labels)))
    dealt = [deal_by_class(sums, sizes, 5, seed) for seed in range(5)]
    for seed, fold_of in enumerate(dealt):
        images, theirs = np.bincount(fold_of, sizes), StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        assert np.ptp(images) <= 3
        assert unlike(fold_of[groups], labels, 5)[1] <= 0.2 * unlike(held(theirs, groups, labels), labels, 5)[1]
    assert len({tuple(sorted(partition(fold_of))) for fold_of in dealt}) == 5


@settings(max_examples=30, deadline=None)
@given(group_sizes(50), st.integers(2, 6), st.integers(1, 12), st.integers(0, 10**6))
def test_lists_of_labels(sizes, k, labels, seed):
    """Groups with any number of labels: bounded sizes, no empty fold, and no fold far from its share."""
    assume(len(sizes) >= k)
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    indicator = random.random((len(groups), labels)) < np.geomspace(0.5, 0.1, labels)
    indicator = indicator[:, indicator.any(0)].astype(int)
    member = csr_array((np.ones(len(groups), int), (groups, np.arange(len(groups)))))
    fold_of = deal_by_class(csr_array(member @ csr_array(indicator)), sizes, k, seed)
    images = np.bincount(fold_of, sizes, k)
    assert images.min() > 0
    assert images.max() <= 1.1 * np.bincount(held(GroupKFold(k), groups)).max() + 1e-9


def test_many_groups_and_classes_in_seconds():
    """Copies among many images: nearly every group is a single image, beyond what is held in full."""
    random = np.random.default_rng(0)
    sizes = 1 + (random.random(20_000) < 0.02)
    rows, columns = np.repeat(np.arange(20_000), 3), random.integers(0, 1_000, 60_000)
    sums = csr_array((np.ones(60_000), (rows, columns)), (20_000, 1_000))
    fold_of = deal_by_class(sums, sizes, 5, 0)
    assert np.ptp(np.bincount(fold_of, sizes)) <= 20
    counts = np.stack([sums[fold_of == fold].sum(0) for fold in range(5)])
    assert np.abs(counts - counts.mean(0)).max() <= 5  # of 60 a label, 12 a fold
