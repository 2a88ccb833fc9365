"""Two images, one encoder."""

import pytest
import torch
from torch import nn

from networks import ImageClassifier
from networks.siamese import Siamese

SMALL = "tf_mobilenetv3_small_minimal_100"


def network() -> Siamese:
    torch.manual_seed(0)
    return Siamese(ImageClassifier(SMALL, 0, pooling="max")).eval()


def test_the_order_of_the_images_does_not_matter():
    siamese = network()
    image, other = torch.randn(2, 4, 3, 64, 64)
    with torch.no_grad():
        one, two = siamese(image, other), siamese(other, image)
    assert one.shape == (4, 1)
    torch.testing.assert_close(one, two)
    assert one.std() > 0


def test_the_head_is_the_formula_of_the_kernels():
    siamese = network()
    one, other = torch.randn(2, 5, siamese.num_features)
    first, last, weigh = siamese.each[0], siamese.each[2], siamese.weigh
    with torch.no_grad():
        expected = []
        for a, b in zip(one, other, strict=True):
            numbers = []
            for x, y in zip(a, b, strict=True):  # feature by feature, as its per-feature network
                four = torch.stack([abs(x - y), (x - y) ** 2, x * y, x + y])
                numbers.append((last.weight @ torch.relu(first.weight @ four + first.bias) + last.bias)[0])
            expected.append(weigh.weight @ torch.stack(numbers) + weigh.bias)
        torch.testing.assert_close(siamese.compare(one, other), torch.stack(expected), atol=1e-4, rtol=1e-4)


def test_scores_of_all_pairs_equal_those_of_each():
    siamese = network()
    features, others = torch.randn(7, siamese.num_features), torch.randn(5, siamese.num_features)
    scores = siamese.scores(features, others, pairs=3)
    assert scores.shape == (7, 5)
    with torch.no_grad():
        torch.testing.assert_close(scores[4, 2], siamese.compare(features[4], others[2])[0].sigmoid())
    all_pairs = siamese.scores(features, pairs=3)
    torch.testing.assert_close(all_pairs, siamese.scores(features, features))
    assert torch.equal(all_pairs, all_pairs.T)


def test_both_sides_share_their_statistics_in_training():
    siamese = network().train()
    image = torch.randn(2, 3, 64, 64)
    one, other = siamese.features(torch.cat([image, image])).chunk(2)
    torch.testing.assert_close(one, other)


def test_branches_must_say_what_they_return():
    with pytest.raises(ValueError, match="Flatten has no attribute num_features"):
        Siamese(nn.Flatten())
    assert Siamese(nn.Flatten(), features=12)(*torch.randn(2, 1, 3, 2, 2)).shape == (1, 1)
    with pytest.raises(ValueError, match=r"the branch returned \(2, 5\), expected \(N, 1024\)"):
        Siamese(ImageClassifier(SMALL, 5))(*torch.randn(2, 1, 3, 64, 64))
