"""Ranked guesses and retrieval, against loops."""

import numpy as np
import pytest

from evaluation.metrics import MeanAveragePrecisionAtK, RetrievalMeanAveragePrecision, RetrievalRecall


@pytest.fixture
def embeddings():
    random = np.random.default_rng(0)
    labels = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 0, 1] * 3 + [9])
    return random.standard_normal((len(labels), 5)).astype(np.float32) + labels[:, None] % 2, labels


def score(metric, embeddings, labels):
    for number, (embedding, label) in enumerate(zip(embeddings, labels, strict=True)):
        metric.add(f"{number:03}", {"embedding": embedding}, {"label": np.array(label)})
    return float(metric.compute())


def ranked(embeddings, labels):
    for query in range(len(labels)):
        cosines = [e @ embeddings[query] / np.linalg.norm(e) / np.linalg.norm(embeddings[query]) for e in embeddings]
        others = sorted((i for i in range(len(labels)) if i != query), key=lambda i: -cosines[i])
        right = [labels[i] == labels[query] for i in others]
        if any(right):
            yield right


@pytest.mark.parametrize("k", [1, 3, 10])
def test_recall_and_average_precision_by_loops(embeddings, k):
    recalls = [any(right[:k]) for right in ranked(*embeddings)]
    assert score(RetrievalRecall(k), *embeddings) == pytest.approx(np.mean(recalls))
    precisions = []
    for right in ranked(*embeddings):
        found = [sum(right[: place + 1]) / (place + 1) for place in range(k) if right[place]]
        precisions.append(sum(found) / min(k, sum(right)))
    assert score(RetrievalMeanAveragePrecision(k), *embeddings) == pytest.approx(np.mean(precisions))


def test_average_precision_of_all_is_scikit_learns(embeddings):
    from sklearn.metrics import average_precision_score

    expected = [average_precision_score(right, -np.arange(len(right))) for right in ranked(*embeddings)]
    assert score(RetrievalMeanAveragePrecision(), *embeddings) == pytest.approx(np.mean(expected))


def test_many_queries_go_in_blocks(embeddings, monkeypatch):
    whole = score(RetrievalRecall(2), *embeddings)
    monkeypatch.setattr("evaluation.metrics.retrieval.BLOCK", 5)
    assert score(RetrievalRecall(2), *embeddings) == whole


def test_perfect_and_bad_input():
    vectors = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    assert score(RetrievalRecall(1), vectors, np.repeat(np.arange(3), 4)) == 1
    assert score(RetrievalMeanAveragePrecision(), vectors, np.repeat(np.arange(3), 4)) == 1
    assert np.isnan(score(RetrievalRecall(1), vectors[:2], [0, 1]))
    with pytest.raises(ValueError, match=r"expected an embedding \(D,\)"):
        RetrievalRecall().image({"embedding": np.zeros((2, 2), np.float32)}, {"label": np.array(0)})


@pytest.mark.parametrize("k", [1, 3, 5])
def test_map_at_k_by_sorting(k):
    random = np.random.default_rng(0)
    metric, expected = MeanAveragePrecisionAtK(k), []
    for number in range(50):
        guesses, true = random.random(8).round(1).astype(np.float32), int(random.integers(8))
        metric.add(str(number), {"label": guesses}, {"label": np.array(true)})
        order = sorted(range(8), key=lambda c: (-guesses[c], c))[:k]
        expected.append(1 / (order.index(true) + 1) if true in order else 0)
    assert float(metric.compute()) == pytest.approx(np.mean(expected))
