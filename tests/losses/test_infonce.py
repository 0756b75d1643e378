import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sigjepa.data.batch import NegativeBatch
from sigjepa.data.views import pooled_views, score
from sigjepa.errors import SigjepaError
from sigjepa.losses.infonce import InfoNCE, info_nce, multi_positive_info_nce
from sigjepa.losses.loss import Progress
from sigjepa.models.prediction import Prediction
from sigjepa.negatives.index.ramp import Ramp

START = Progress(epoch=0, step=0)


def naive_info_nce(predictions, candidates, labels, temperature, excluded, weights):
    """The textbook formula, one anchor and one candidate at a time."""
    losses = []
    for i, prediction in enumerate(predictions):
        terms = {}
        for c, candidate in enumerate(candidates):
            if not excluded[i, c]:
                cosine = float(prediction @ candidate / (prediction.norm() * candidate.norm()))
                terms[c] = float(weights[c]) * math.exp(cosine / temperature)
        losses.append(-math.log(terms[int(labels[i])] / sum(terms.values())))
    return torch.tensor(losses)


@settings(max_examples=50, deadline=None)
@given(
    anchors=st.integers(1, 6),
    extra=st.integers(0, 5),
    temperature=st.floats(0.05, 1.0),
    seed=st.integers(0, 10_000),
)
def test_info_nce_equals_the_naive_formula(anchors, extra, temperature, seed):
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.randn(anchors, 5, generator=generator, dtype=torch.float64)
    candidates = torch.randn(anchors + extra, 5, generator=generator, dtype=torch.float64)
    labels = torch.randperm(anchors + extra, generator=generator)[:anchors]
    excluded = torch.rand(anchors, anchors + extra, generator=generator) < 0.3
    excluded[torch.arange(anchors), labels] = False
    weights = torch.rand(anchors + extra, generator=generator) + 0.01
    weights[labels] = 1.0
    expected = naive_info_nce(predictions, candidates, labels, temperature, excluded, weights)
    scores = score(pooled_views(predictions), pooled_views(candidates))
    actual = info_nce(scores, labels, torch.tensor(1 / temperature), excluded, log_weights=weights.log())
    torch.testing.assert_close(actual.double(), expected.double(), rtol=1e-4, atol=1e-4)


def test_in_batch_value_equals_sentence_transformers(make_batch):
    """Peer: the scaled-cosine cross-entropy of MultipleNegativesRankingLoss."""
    from sentence_transformers.sentence_transformer import losses

    batch = make_batch(size=6, dim=8)
    predictions = torch.randn(6, 8)

    class Embedder(torch.nn.Module):
        def forward(self, features):
            return {"sentence_embedding": features["embedding"]}

    peer = losses.MultipleNegativesRankingLoss(Embedder(), scale=1 / 0.07)
    expected = peer([{"embedding": predictions}, {"embedding": batch.body_pooled}], torch.zeros(6))
    actual = InfoNCE(temperature=0.07)(Prediction(predictions), batch, START)
    torch.testing.assert_close(actual.value, expected, rtol=1e-5, atol=1e-5)


def test_union_value_equals_sentence_transformers_with_appended_columns(make_batch):
    """Peer: explicit negatives join every anchor's softmax, which is the union of Exp 2.1."""
    from sentence_transformers.sentence_transformer import losses

    batch = make_batch(size=5, dim=8)
    extra = torch.randn(5, 8)
    batch.negatives = NegativeBatch(torch.arange(100, 105), extra, torch.eye(5, dtype=torch.int8) - 1)
    predictions = torch.randn(5, 8)

    class Embedder(torch.nn.Module):
        def forward(self, features):
            return {"sentence_embedding": features["embedding"]}

    peer = losses.MultipleNegativesRankingLoss(Embedder(), scale=1 / 0.05)
    features = [{"embedding": tensor} for tensor in (predictions, batch.body_pooled, extra)]
    expected = peer(features, torch.zeros(5))
    actual = InfoNCE(mined_candidates="union", temperature=0.05)(Prediction(predictions), batch, START)
    torch.testing.assert_close(actual.value, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mined_candidates", ["union", "per_anchor"])
def test_weight_zero_is_exactly_exp_1_4(make_batch, mined_candidates):
    batch = make_batch(negatives=9)
    predictions = torch.randn(6, 8, requires_grad=True)
    curriculum = InfoNCE(mined_candidates=mined_candidates, schedule=Ramp(start_epoch=10, ramp_epochs=5))
    baseline = InfoNCE()
    value = curriculum(Prediction(predictions), batch, Progress(epoch=9, step=0)).value
    expected = baseline(Prediction(predictions), batch, START).value
    assert value.item() == expected.item()
    (gradient,) = torch.autograd.grad(value, predictions)
    (expected_gradient,) = torch.autograd.grad(expected, predictions)
    assert torch.equal(gradient, expected_gradient)
    assert torch.isfinite(gradient).all()


def test_curriculum_weight_enters_as_log_w(make_batch):
    batch = make_batch(size=4, negatives=5)
    predictions = torch.randn(4, 8)
    weight = 0.25
    loss = InfoNCE(mined_candidates="union", schedule=weight, temperature=0.1)
    candidates = torch.cat([batch.body_pooled, batch.negatives.embeddings])
    weights = torch.tensor([1.0] * 4 + [weight] * 5)
    excluded = torch.zeros(4, 9, dtype=torch.bool)
    expected = naive_info_nce(predictions, candidates, torch.arange(4), 0.1, excluded, weights).mean()
    value = loss(Prediction(predictions), batch, START).value
    torch.testing.assert_close(value.double(), expected.double(), rtol=1e-5, atol=1e-5)


def test_per_anchor_shows_an_anchor_only_its_own_negatives(make_batch):
    batch = make_batch(size=6, negatives=7)
    predictions = torch.randn(6, 8)
    loss = InfoNCE(mined_candidates="per_anchor", temperature=0.1)
    candidates = torch.cat([batch.body_pooled, batch.negatives.embeddings])
    excluded = torch.cat([torch.zeros(6, 6, dtype=torch.bool), ~batch.negatives.owners], dim=1)
    expected = naive_info_nce(predictions, candidates, torch.arange(6), 0.1, excluded, torch.ones(13)).mean()
    value = loss(Prediction(predictions), batch, START).value
    torch.testing.assert_close(value.double(), expected.double(), rtol=1e-5, atol=1e-5)


def test_logits_are_fp32_under_autocast(make_batch):
    batch = make_batch(size=6)
    predictions = torch.randn(6, 8)
    loss = InfoNCE(temperature=0.02)
    expected = loss(Prediction(predictions), batch, START).value
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = loss(Prediction(predictions), batch, START).value
    assert actual.dtype == torch.float32
    assert actual.item() == expected.item()


def test_temperature_is_learned_clamped_and_in_log_space(make_batch):
    loss = InfoNCE(temperature=0.07, min_temperature=0.05, max_temperature=0.2)
    assert [name for name, _ in loss.named_parameters()] == ["log_temperature"]
    torch.testing.assert_close(loss.temperature, torch.tensor(0.07))
    loss(Prediction(torch.randn(6, 8)), make_batch(), START).value.backward()
    assert loss.log_temperature.grad.abs() > 0
    for stored, seen in ((-20.0, 0.05), (20.0, 0.2)):
        loss.log_temperature.data.fill_(stored)
        torch.testing.assert_close(loss.temperature, torch.tensor(seen))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_temperature_comes_back_from_its_bound(make_batch, sign):
    """Own bodies that are predicted want a low temperature, opposite ones a high one."""
    batch = make_batch()
    loss = InfoNCE(temperature=0.07, min_temperature=0.05, max_temperature=0.1)
    optimizer = torch.optim.AdamW(loss.parameters(), lr=0.1, betas=(0.5, 0.5), weight_decay=0.0)
    reached = []
    for direction in (sign, -sign):
        for _ in range(100):
            optimizer.zero_grad()
            loss(Prediction(direction * batch.body_pooled), batch, START).value.backward()
            optimizer.step()
        reached.append(loss.temperature.item())
    assert reached == pytest.approx([0.05, 0.1][::sign])


def test_logs_split_the_loss_into_in_batch_and_mined(make_batch):
    batch = make_batch(size=6, negatives=7)
    term = InfoNCE(mined_candidates="per_anchor")(Prediction(torch.randn(6, 8)), batch, START)
    torch.testing.assert_close(term.logs["in_batch"] + term.logs["mined"], term.value.detach(), rtol=1e-5, atol=1e-5)
    assert term.logs["mined"] >= 0
    assert term.logs["covered_anchors"] == batch.negatives.owners.any(1).float().mean()
    assert term.logs["pairs_score0"] + term.logs["pairs_score1"] == batch.negatives.owners.sum()
    assert term.logs["unique_negatives"] == batch.negatives.owners.any(0).sum()


def test_mined_mass_is_the_share_of_softmax_on_mined_candidates(make_batch):
    batch = make_batch(size=6, negatives=7)
    predictions = torch.randn(6, 8)
    loss = InfoNCE(mined_candidates="per_anchor", schedule=0.5, temperature=0.2)
    candidates = torch.cat([batch.body_pooled, batch.negatives.embeddings])
    logits = (F.normalize(predictions, dim=-1) @ F.normalize(candidates, dim=-1).T / 0.2).exp()
    logits[:, 6:] *= 0.5 * batch.negatives.owners
    expected = (logits[:, 6:].sum(dim=1) / logits.sum(dim=1)).mean()
    torch.testing.assert_close(loss(Prediction(predictions), batch, START).logs["mined_mass"], expected)


def naive_multi_positive(predictions, candidates, positives, temperature, excluded, weights):
    """Each positive against the negatives alone, one pair at a time."""
    losses = []
    for i, prediction in enumerate(predictions):
        cosines = [float(prediction @ c / (prediction.norm() * c.norm())) for c in candidates]
        terms = [math.exp(cosine / temperature) for cosine in cosines]
        negatives = sum(
            float(weights[i, c]) * terms[c]
            for c in range(len(candidates))
            if not excluded[i, c] and not positives[i, c]
        )
        own = [-math.log(terms[c] / (terms[c] + negatives)) for c in range(len(candidates)) if positives[i, c]]
        losses.append(sum(own) / len(own))
    return torch.tensor(losses)


@settings(max_examples=50, deadline=None)
@given(anchors=st.integers(1, 6), extra=st.integers(0, 5), seed=st.integers(0, 10_000))
def test_multi_positive_info_nce_equals_the_naive_formula(anchors, extra, seed):
    generator = torch.Generator().manual_seed(seed)
    predictions = torch.randn(anchors, 5, generator=generator)
    candidates = torch.randn(anchors + extra, 5, generator=generator)
    excluded = torch.rand(anchors, anchors + extra, generator=generator) < 0.3
    positives = torch.rand(anchors, anchors + extra, generator=generator) < 0.3
    positives[torch.arange(anchors), torch.arange(anchors)] = True
    weights = torch.randint(0, 3, (anchors, anchors + extra), generator=generator).float()  # 0 is out of the softmax
    expected = naive_multi_positive(predictions, candidates, positives, 0.2, excluded, weights)
    leaf = predictions.clone().requires_grad_()
    scores = score(pooled_views(leaf), pooled_views(candidates))
    actual = multi_positive_info_nce(scores, positives, torch.tensor(5.0), excluded, weights.log())
    torch.testing.assert_close(actual.detach().double(), expected.double(), rtol=1e-4, atol=1e-5)
    actual.sum().backward()
    assert torch.isfinite(leaf.grad).all()


def test_with_one_positive_it_is_info_nce(make_batch):
    batch = make_batch(size=6, negatives=7)
    predictions = torch.randn(6, 8)
    for mined_candidates in ("none", "union", "per_anchor"):
        mask = InfoNCE(mined_candidates)(Prediction(predictions), batch, START)
        positive = InfoNCE(mined_candidates, related="positive")(Prediction(predictions), batch, START)
        torch.testing.assert_close(positive.value, mask.value)
        assert positive.logs["positives"] == 1


def test_related_bodies_are_masked_or_further_positives(make_batch):
    batch = make_batch(size=4, negatives=3)
    batch.related_ids = torch.tensor([[2, 2000], [-1, -1], [0, -1], [-1, -1]])
    related = torch.randn(1, 8)
    batch.related = NegativeBatch(
        torch.tensor([2000]), related, torch.tensor([[2], [-1], [-1], [-1]], dtype=torch.int8)
    )
    predictions = torch.randn(4, 8)
    candidates = torch.cat([batch.body_pooled, related])
    positives = torch.eye(4, 5).bool()
    positives[0, [2, 4]] = positives[2, 0] = True
    excluded = torch.zeros(4, 5, dtype=torch.bool)
    excluded[:, 4] = True  # brought as a positive, a negative of nobody
    expected = naive_multi_positive(predictions, candidates, positives, 0.1, excluded, torch.ones(4, 5)).mean()
    term = InfoNCE(related="positive", temperature=0.1)(Prediction(predictions), batch, START)
    torch.testing.assert_close(term.value.double(), expected.double(), rtol=1e-5, atol=1e-5)
    assert term.logs["positives"] == pytest.approx(7 / 4)
    masked = InfoNCE(temperature=0.1)(Prediction(predictions), batch, START).value
    expected = naive_info_nce(
        predictions, batch.body_pooled, torch.arange(4), 0.1, positives[:, :4] & ~torch.eye(4).bool(), torch.ones(4)
    ).mean()
    torch.testing.assert_close(masked.double(), expected.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mined_candidates", ["union", "per_anchor"])
@pytest.mark.parametrize("score_weights", [(1.0, 0.25), (2.0, 1.0), (1.0, 0.0)])
def test_scores_weigh_in_the_softmax_of_their_own_anchor(make_batch, mined_candidates, score_weights):
    batch = make_batch(size=6, negatives=7)
    predictions = torch.randn(6, 8)
    candidates = torch.cat([batch.body_pooled, batch.negatives.embeddings])
    losses = []
    for anchor in range(6):
        weights, excluded = torch.ones(1, 13), torch.zeros(1, 13, dtype=torch.bool)
        for column, judged in enumerate(batch.negatives.scores[anchor].tolist()):
            weights[0, 6 + column] = 1.0 if judged < 0 else score_weights[judged]
            excluded[0, 6 + column] = judged < 0 and mined_candidates == "per_anchor"
        label = torch.tensor([anchor])
        losses.append(naive_info_nce(predictions[[anchor]], candidates, label, 0.1, excluded, weights[0]))
    loss = InfoNCE(mined_candidates, score_weights=score_weights, temperature=0.1)
    value = loss(Prediction(predictions), batch, START).value
    torch.testing.assert_close(value.double(), torch.cat(losses).mean().double(), rtol=1e-5, atol=1e-5)


def test_logs_say_how_hard_the_negatives_are(make_batch):
    batch = make_batch(size=6, negatives=7)
    term = InfoNCE(mined_candidates="union")(Prediction(torch.randn(6, 8)), batch, START)
    cosines = F.cosine_similarity(batch.body_pooled[:, None], batch.negatives.embeddings[None], dim=-1)
    torch.testing.assert_close(term.logs["negative_cosim"], cosines[batch.negatives.owners].mean())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mined_candidates": "per-anchor"}, "infonce.mined_candidates .*'per_anchor'"),
        ({"related": "positives"}, "infonce.related .*'positive'"),
        ({"score_weights": [1.0]}, r"score_weights .*\[1.0\]"),
        ({"score_weights": [1.0, -1.0]}, r"score_weights .*-1.0\]"),
        ({"schedule": -1.0}, "infonce.schedule .*-1"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(SigjepaError, match=message):
        InfoNCE(**arguments)


def test_temperature_outside_its_bounds_is_refused():
    with pytest.raises(SigjepaError, match=r"temperature.*2\.0"):
        InfoNCE(temperature=2.0)


def test_cosine_ignores_the_length_of_predictions(make_batch):
    batch = make_batch()
    predictions = torch.randn(6, 8)
    loss = InfoNCE()
    short = loss(Prediction(predictions), batch, START).value
    long = loss(Prediction(F.normalize(predictions, dim=-1) * 37), batch, START).value
    torch.testing.assert_close(short, long)
