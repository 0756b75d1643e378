import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.data.views import View, pooled_views, score
from sigjepa.errors import SigjepaError
from sigjepa.evaluation.metrics import rank_figures
from sigjepa.evaluation.ranks import Ranks, mean_cosine, pool_ranks, score_ranks, view_ranks


def naive_ranks(predictions, bodies):
    """Cosine by cosine; candidates with the same body are exact ties by definition."""
    optimistic, pessimistic = [], []
    for i, prediction in enumerate(predictions):
        same = [bool((bodies[c] == bodies[i]).all()) for c in range(len(bodies))]
        scores = [float(prediction @ body / (prediction.norm() * body.norm())) for body in bodies]
        higher = sum(scores[c] > scores[i] for c in range(len(bodies)) if not same[c])
        optimistic.append(1 + higher)
        pessimistic.append(higher + sum(same))
    return optimistic, pessimistic


@settings(max_examples=50, deadline=None)
@given(n=st.integers(2, 20), duplicates=st.integers(0, 10), block=st.integers(1, 8), seed=st.integers(0, 9999))
def test_pool_ranks_equal_the_naive_count(n, duplicates, block, seed):
    generator = torch.Generator().manual_seed(seed)
    bodies = torch.randn(n, 6, generator=generator, dtype=torch.float64).float()
    for _ in range(duplicates):
        a, b = torch.randint(0, n, (2,), generator=generator)
        bodies[a] = bodies[b]
    predictions = torch.randn(n, 6, generator=generator)
    ranks = pool_ranks(predictions, bodies, block=block)
    optimistic, pessimistic = naive_ranks(predictions, bodies)
    assert ranks.optimistic.tolist() == optimistic
    assert ranks.pessimistic.tolist() == pessimistic


def test_metrics_equal_sentence_transformers_without_ties():
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.util import cos_sim

    generator = torch.Generator().manual_seed(0)
    bodies = torch.randn(60, 16, generator=generator)
    predictions = bodies + 1.5 * torch.randn(60, 16, generator=generator)
    names = [str(i) for i in range(60)]
    evaluator = InformationRetrievalEvaluator(
        queries=dict(zip(names, names, strict=True)),
        corpus=dict(zip(names, names, strict=True)),
        relevant_docs={name: {name} for name in names},
        mrr_at_k=[60],
        accuracy_at_k=[1, 5, 10],
        score_functions={"cosine": cos_sim},
        show_progress_bar=False,
    )

    class Lookup:
        """Answers a text with the vector of its number, as a SentenceTransformer would."""

        def __init__(self, vectors):
            self.vectors = vectors

        def encode_query(self, sentences, **_):
            return self.vectors[[int(sentence) for sentence in sentences]]

        encode_document = encode_query

    scores = evaluator.compute_all_metrics(Lookup(predictions), corpus_model=Lookup(bodies))["cosine"]
    metrics = rank_figures(pool_ranks(predictions, bodies))
    for k in (1, 5, 10):
        assert metrics[f"rank{k}"] == pytest.approx(scores["accuracy@k"][k])
    assert metrics["mrr"] == pytest.approx(scores["mrr@k"][60])


@settings(max_examples=50, deadline=None)
@given(optimistic=st.integers(1, 30), tied=st.integers(1, 10))
def test_ties_are_reported_in_expectation(optimistic, tied):
    places = np.arange(optimistic, optimistic + tied)
    ranks = Ranks(np.array([optimistic]), np.array([places[-1]]))
    for k in (1, 5, 10):
        assert ranks.recall_at(k)[0] == pytest.approx((places <= k).mean())
    assert ranks.reciprocal()[0] == pytest.approx((1 / places).mean())


def test_a_constant_prediction_ranks_as_chance_when_all_bodies_are_equal():
    metrics = rank_figures(pool_ranks(torch.ones(40, 4), torch.ones(40, 4)))
    assert metrics["rank10"] == pytest.approx(0.25)


def test_a_perfect_prediction_ranks_first():
    bodies = torch.randn(30, 8)
    assert rank_figures(pool_ranks(bodies * 3, bodies)) == {"rank1": 1, "rank5": 1, "rank10": 1, "mrr": 1}
    assert mean_cosine(bodies * 3, bodies) == pytest.approx(1)


def test_a_nan_prediction_is_an_error():
    with pytest.raises(SigjepaError, match="NaN"):
        pool_ranks(torch.tensor([[float("nan")], [1.0]]), torch.ones(2, 1))


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float64, torch.float16)])
def test_predictions_and_bodies_may_differ_in_precision(dtypes):
    predictions, bodies = torch.randn(20, 4), torch.randn(20, 4).half().float()
    expected = pool_ranks(predictions, bodies)
    ranks = pool_ranks(predictions.to(dtypes[0]), bodies.to(dtypes[1]))
    np.testing.assert_array_equal(ranks.optimistic, expected.optimistic)
    np.testing.assert_array_equal(ranks.pessimistic, expected.pessimistic)


def test_identical_bodies_are_ties_and_bodies_of_one_vector_are_not():
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    words = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 0, 1.0]])
    views = pooled_views(vectors) | {"words": View(words)}
    large = torch.tensor([0, 1, 2**24, 2**24]) + 2**24  # 2**24 + 1 is no float32
    ranks = view_ranks(views, views, large)
    expected = score_ranks(score(views, views))
    assert ranks.optimistic.tolist() == expected.optimistic.tolist() == [1, 1, 1, 1]
    assert ranks.pessimistic.tolist() == expected.pessimistic.tolist() == [1, 1, 2, 2]
