from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.baselines import BASELINES, FUSION_WEIGHTS, baseline_names
from sigjepa.evaluation.lexical import bm25_scorer
from sigjepa.evaluation.metrics import RecallAt, default_metrics, rank_figures
from sigjepa.evaluation.pools import Pool
from sigjepa.evaluation.ranks import BLOCK, pool_ranks, score_ranks
from sigjepa.lexicon.function_terms import extract_terms

HALVES = ("signature_pooled", "body_pooled")


def test_random_expectation_equals_a_simulation():
    generator = np.random.default_rng(0)
    ranks = generator.integers(1, 51, size=200_000)
    metrics = measured("random", make_pools(*torch.randn(2, 150, 4)))["random"].figures_of(default_metrics())
    for k in (1, 5, 10):
        assert metrics[f"test/rank{k}"] == pytest.approx((ranks <= k).mean(), abs=3e-3)
    assert metrics["val/mrr"] == pytest.approx((1 / ranks).mean(), abs=3e-3)


def make_pools(signatures, bodies, texts=None):
    """A third of the functions a split; without `texts`, function i is called `name_i` and so is its body's call."""
    count, size = len(bodies), len(bodies) // 3
    texts = texts or [f"shared name{i} word{i % 7}" for i in range(count)]
    names = [f"def {text.replace(' ', '_')}():" for text in texts]
    spans = {split: slice(i * size, (i + 1) * size) for i, split in enumerate(("train", "val", "test"))}
    return {
        split: Pool(
            np.arange(count)[span],
            names[span],
            texts[span],
            signatures[span],
            bodies[span],
            [split] * size,
            extract_terms(names[span], texts[span])[0],
        )
        for split, span in spans.items()
    }


@pytest.fixture
def pooled():
    """Signatures and bodies around means far apart: raw zero-shot is misled, centred is not."""
    generator = torch.Generator().manual_seed(0)
    content = torch.randn(90, 16, generator=generator)
    signatures = content + 0.3 * torch.randn(90, 16, generator=generator) + 4 * torch.randn(16, generator=generator)
    bodies = content + 4 * torch.randn(16, generator=generator)
    return signatures, bodies


def measured(names, pools):
    return {name: BASELINES[name].measure(pools) for name in baseline_names(names)}


def metric(name, pools, key):
    return measured(name, pools)[name].figures_of(default_metrics())[key]


def test_every_baseline_is_measured_on_both_pools_with_its_ranks(pooled):
    baselines = measured("all", make_pools(*pooled))
    assert list(baselines) == list(BASELINES)
    for name, baseline in baselines.items():
        figures = baseline.figures_of(default_metrics())
        for split in ("val", "test"):
            assert {f"{split}/{key}" for key in ("rank1", "rank5", "rank10", "mrr")} <= set(figures)
            ids, ranks = baseline.ranks[split]
            assert ids.tolist() == list(range(30, 60) if split == "val" else range(60, 90)), name
            assert rank_figures(ranks)["rank10"] == figures[f"{split}/rank10"]


def test_an_unknown_baseline_is_answered_with_the_nearest():
    with pytest.raises(SigjepaError, match="'bm52'.*'bm25'"):
        baseline_names(["bm25", "bm52"])


def test_zero_shot_is_the_signature_itself(pooled):
    signatures, bodies = pooled
    expected = rank_figures(pool_ranks(signatures[60:], bodies[60:]))["rank10"]
    assert metric("zero_shot", make_pools(*pooled), "test/rank10") == expected


def test_a_baseline_has_the_metrics_of_a_run_and_no_others(pooled):
    baseline = measured("zero_shot", make_pools(*pooled))["zero_shot"]
    metrics = {
        "rank20": RecallAt(20),
        "cosine": default_metrics()["cosine"],
        "target_std": default_metrics()["target_std"],
    }
    keys = ("val/rank20", "test/rank20", "val/cosine", "test/cosine")
    assert tuple(baseline.figures_of(metrics)) == keys
    assert tuple(baseline.figures_of({"rank20": RecallAt(20)})) == keys[:2]
    for split in ("val", "test"):
        _, ranks = baseline.ranks[split]
        assert baseline.figures_of(metrics)[f"{split}/rank20"] == ranks.recall_at(20).mean()


@pytest.mark.parametrize("name", ["zero_shot_centred", "zero_shot_whitened", "fusion"])
def test_nothing_is_fitted_on_test(pooled, name):
    signatures, bodies = pooled
    before = measured(name, make_pools(signatures, bodies))[name].figures_of(default_metrics())
    changed = bodies.clone()
    changed[60:] += 5.0 * torch.randn(30, 16, generator=torch.Generator().manual_seed(1))
    after = measured(name, make_pools(signatures, changed))[name].figures_of(default_metrics())
    for key, value in before.items():
        if not key.startswith("test/"):
            assert after[key] == value
    assert after["test/rank10"] != before["test/rank10"]


def test_centering_and_whitening_undo_what_misleads_the_raw_embedding(pooled):
    signatures, bodies = pooled
    loud = torch.ones(16)
    loud[:3] = 8.0  # three directions that drown the rest, with noise of their own
    noise = torch.zeros(90, 16)
    noise[:, :3] = 8 * torch.randn(90, 3, generator=torch.Generator().manual_seed(2))
    pools = make_pools(signatures * loud + noise, bodies * loud)
    raw, centred, whitened = (
        metric(f"zero_shot{suffix}", pools, "val/mrr") for suffix in ("", "_centred", "_whitened")
    )
    assert raw < centred < whitened


def test_mean_body_ranks_every_pool_by_one_order(pooled):
    pools = make_pools(*pooled)
    assert metric("mean_body", pools, "val/rank1") == pytest.approx(1 / 30)
    assert metric("mean_body", pools, "val/rank10") == pytest.approx(10 / 30)


def test_bm25_finds_what_shares_a_rare_word_and_knows_nothing_without_one(pooled):
    assert metric("bm25", make_pools(*pooled), "test/rank1") == 1
    silent = make_pools(*pooled, texts=[f"word{'abcdefghijklmnopqrstuvwxyz'[i % 26]}" for i in range(90)])
    blind = {split: replace(pool, signatures=["def other():"] * 30) for split, pool in silent.items()}
    assert metric("bm25", blind, "test/rank10") == pytest.approx(10 / 30)  # every score 0: all tied


def test_fusion_is_no_worse_on_val_than_its_parts_and_names_its_weight(pooled):
    baselines = measured(["fusion", "bm25", "zero_shot_centred"], make_pools(*pooled))
    figures = {name: baseline.figures_of(default_metrics()) for name, baseline in baselines.items()}
    assert figures["fusion"]["weight"] in FUSION_WEIGHTS
    parts = [figures[name]["val/rank10"] for name in ("bm25", "zero_shot_centred")]
    assert figures["fusion"]["val/rank10"] >= max(parts)


def naive_fusion(pools):
    """The weight and the ranks of the fusion by whole score matrices."""
    signature_mean, body_mean = (getattr(pools["train"], half).double().mean(dim=0) for half in HALVES)

    def standardized(scores):
        return (scores - scores.mean(dim=1, keepdim=True)) / scores.std(dim=1, correction=0, keepdim=True).clamp(1e-7)

    def parts(pool):
        words = bm25_scorer(pool.signatures, pool.bodies)(torch.arange(len(pool.ids)))
        signatures, bodies = (pool.signature_pooled - signature_mean).float(), (pool.body_pooled - body_mean).float()
        cosines = F.normalize(signatures, dim=-1) @ F.normalize(bodies, dim=-1).T
        return standardized(words), standardized(cosines)

    scores = {split: parts(pools[split]) for split in ("val", "test")}

    def ranks(split, weight):
        words, cosines = scores[split]
        return score_ranks(weight * words + (1 - weight) * cosines)

    def quality(weight):
        metrics = rank_figures(ranks("val", weight))
        return metrics["rank10"], metrics["mrr"]

    weight = max(FUSION_WEIGHTS, key=quality)
    return weight, {split: ranks(split, weight) for split in ("val", "test")}


@settings(max_examples=15, deadline=None)
@given(size=st.integers(12, 300), words=st.integers(2, 60), noise=st.floats(0.5, 6), seed=st.integers(0, 9999))
def test_fusion_in_blocks_equals_the_whole_matrices(size, words, noise, seed):
    generator, choice = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    bodies = torch.randn(3 * size, 16, generator=generator) + 2
    signatures = bodies + noise * torch.randn(3 * size, 16, generator=generator)
    texts = [f"name{i % 13} " + " ".join(f"w{word}" for word in choice.integers(0, words, 8)) for i in range(3 * size)]
    pools = make_pools(signatures, bodies, texts)
    fused = measured("fusion", pools)["fusion"]
    weight, expected = naive_fusion(pools)
    assert fused.figures["weight"] == weight
    for split, ranks in expected.items():
        np.testing.assert_array_equal(fused.ranks[split][1].optimistic, ranks.optimistic)
        np.testing.assert_array_equal(fused.ranks[split][1].pessimistic, ranks.pessimistic)


def test_memory_is_linear_in_the_pool():
    """No tensor of a baseline has more rows than a block where it has as many columns as the pool."""
    size, largest = BLOCK + 40, 0

    class Watch(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.ndim == 2 and result.shape[1] == size:
                largest = max(largest, len(result))
            return result

    pools = make_pools(torch.randn(3 * size, 8), torch.randn(3 * size, 8))
    with Watch():
        measured(["zero_shot", "bm25", "fusion", "free_name_counts"], pools)
    assert 0 < largest <= BLOCK


def test_identical_bodies_tie_in_every_baseline(pooled):
    signatures, bodies = (tensor.clone() for tensor in pooled)
    texts = [f"name{i} word{i % 7}" for i in range(90)]
    bodies[61], texts[61] = bodies[60], texts[60]
    pools = make_pools(signatures, bodies, texts)
    for name, baseline in measured("all", pools).items():
        if baseline.ranks:
            _, ranks = baseline.ranks["test"]
            assert (ranks.pessimistic > ranks.optimistic)[:2].all(), name
