from dataclasses import replace

import numpy as np
import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.baselines import BASELINES, FUSION_WEIGHTS, measure_baselines, random_metrics
from sigjepa.evaluation.lexical import bm25_scores
from sigjepa.evaluation.pools import Pool
from sigjepa.evaluation.ranks import pool_ranks


def test_random_expectation_equals_a_simulation():
    generator = np.random.default_rng(0)
    ranks = generator.integers(1, 51, size=200_000)
    metrics = random_metrics(50)
    for k in (1, 5, 10):
        assert metrics[f"rank{k}"] == pytest.approx((ranks <= k).mean(), abs=3e-3)
    assert metrics["mrr"] == pytest.approx((1 / ranks).mean(), abs=3e-3)


def make_pools(signatures, bodies, texts=None):
    """30 functions a split; without `texts`, function i is called `name_i` and so is its body's call."""
    texts = texts or [f"shared name{i} word{i % 7}" for i in range(90)]
    spans = {"train": slice(0, 30), "val": slice(30, 60), "test": slice(60, 90)}
    return {
        split: Pool(
            np.arange(90)[span],
            [f"def {text.replace(' ', '_')}():" for text in texts[span]],
            texts[span],
            signatures[span],
            bodies[span],
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


def metric(name, pools, key):
    return measure_baselines(name, pools)[name].metrics[key]


def test_every_baseline_is_measured_on_both_pools_with_its_ranks(pooled):
    baselines = measure_baselines("all", make_pools(*pooled))
    assert list(baselines) == list(BASELINES)
    for name, baseline in baselines.items():
        for split in ("val", "test"):
            assert {f"{split}/{key}" for key in ("rank1", "rank5", "rank10", "mrr")} <= set(baseline.metrics)
            if name != "random":
                ids, ranks = baseline.ranks[split]
                assert ids.tolist() == list(range(30, 60) if split == "val" else range(60, 90))
                assert ranks.metrics()["rank10"] == baseline.metrics[f"{split}/rank10"]


def test_an_unknown_baseline_is_answered_with_the_nearest(pooled):
    with pytest.raises(SigjepaError, match="no baseline 'bm52'. Did you mean 'bm25'"):
        measure_baselines(["bm52"], make_pools(*pooled))


def test_zero_shot_is_the_signature_itself(pooled):
    signatures, bodies = pooled
    expected = pool_ranks(signatures[60:], bodies[60:]).metrics()["rank10"]
    assert metric("zero_shot", make_pools(*pooled), "test/rank10") == expected


@pytest.mark.parametrize("name", ["zero_shot_centred", "zero_shot_whitened", "fusion"])
def test_nothing_is_fitted_on_test(pooled, name):
    signatures, bodies = pooled
    before = measure_baselines(name, make_pools(signatures, bodies))[name]
    changed = bodies.clone()
    changed[60:] += 5.0 * torch.randn(30, 16, generator=torch.Generator().manual_seed(1))
    after = measure_baselines(name, make_pools(signatures, changed))[name]
    for key, value in before.metrics.items():
        if not key.startswith("test/"):
            assert after.metrics[key] == value
    assert after.metrics["test/rank10"] != before.metrics["test/rank10"]


def test_centring_and_whitening_undo_what_misleads_the_raw_embedding(pooled):
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


def test_bm25_equals_the_formula():
    bodies = ["read json file", "read file", "write json to file now"]
    documents = [body.split() for body in bodies]
    mean_length = np.mean([len(words) for words in documents])

    def score(query, words, k1=1.5, b=0.75):
        total = 0.0
        for word in query:
            holding = sum(word in other for other in documents)
            inverse = np.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            count = words.count(word)
            total += inverse * count / (count + k1 * (1 - b + b * len(words) / mean_length))
        return total

    scores = bm25_scores(["def readJSON():", "def unknown():"], bodies)
    expected = [[score(["read", "json"], words) for words in documents], [0.0] * 3]
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-5)


def test_a_pool_without_a_word_is_an_error():
    with pytest.raises(SigjepaError, match="nothing to index"):
        bm25_scores(["def f():"], ["_ = ()"])


def test_fusion_is_no_worse_on_val_than_its_parts_and_names_its_weight(pooled):
    pools = make_pools(*pooled)
    baselines = measure_baselines(["fusion", "bm25", "zero_shot_centred"], pools)
    assert baselines["fusion"].metrics["weight"] in FUSION_WEIGHTS
    parts = max(baselines[name].metrics["val/rank10"] for name in ("bm25", "zero_shot_centred"))
    assert baselines["fusion"].metrics["val/rank10"] >= parts


def test_identical_bodies_tie_in_every_baseline(pooled):
    signatures, bodies = (tensor.clone() for tensor in pooled)
    texts = [f"name{i} word{i % 7}" for i in range(90)]
    bodies[61], texts[61] = bodies[60], texts[60]
    pools = make_pools(signatures, bodies, texts)
    for name, baseline in measure_baselines("all", pools).items():
        if baseline.ranks:
            _, ranks = baseline.ranks["test"]
            assert (ranks.pessimistic > ranks.optimistic)[:2].all(), name
