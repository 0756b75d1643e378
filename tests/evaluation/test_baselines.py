import numpy as np
import pytest
import torch

from sigjepa.evaluation.baselines import random_metrics, split_baselines
from sigjepa.evaluation.ranks import pool_ranks


def test_random_expectation_equals_a_simulation():
    generator = np.random.default_rng(0)
    ranks = generator.integers(1, 51, size=200_000)
    metrics = random_metrics(50)
    for k in (1, 5, 10):
        assert metrics[f"rank{k}"] == pytest.approx((ranks <= k).mean(), abs=3e-3)
    assert metrics["mrr"] == pytest.approx((1 / ranks).mean(), abs=3e-3)


@pytest.fixture
def pooled():
    """Signatures and bodies around means far apart: raw zero-shot is misled, centred is not."""
    generator = torch.Generator().manual_seed(0)
    content = torch.randn(90, 16, generator=generator)
    signatures = content + 0.3 * torch.randn(90, 16, generator=generator) + 4 * torch.randn(16, generator=generator)
    bodies = content + 4 * torch.randn(16, generator=generator)
    ids = {"train": np.arange(30), "val": np.arange(30, 60), "test": np.arange(60, 90)}
    return signatures, bodies, ids


def test_every_baseline_is_measured_on_both_pools(pooled):
    baselines = split_baselines(*pooled)
    assert set(baselines) == {"random", "mean_body", "zero_shot", "zero_shot_centred"}
    for metrics in baselines.values():
        assert {f"{split}/rank{k}" for split in ("val", "test") for k in (1, 5, 10)} <= set(metrics)


def test_zero_shot_is_the_signature_itself(pooled):
    signatures, bodies, _ = pooled
    expected = pool_ranks(signatures[60:], bodies[60:]).metrics()["rank10"]
    assert split_baselines(*pooled)["zero_shot"]["test/rank10"] == expected


def test_centring_uses_train_means_only(pooled):
    signatures, bodies, ids = pooled
    before = split_baselines(signatures, bodies, ids)
    assert before["zero_shot_centred"]["val/rank10"] > before["zero_shot"]["val/rank10"]
    changed = bodies.clone()
    changed[60:] += 5.0  # another test split
    after = split_baselines(signatures, changed, ids)
    for name in before:
        assert after[name]["val/rank10"] == before[name]["val/rank10"]


def test_mean_body_ranks_every_pool_by_one_order(pooled):
    metrics = split_baselines(*pooled)["mean_body"]
    assert metrics["val/rank1"] == pytest.approx(1 / 30)
    assert metrics["val/rank10"] == pytest.approx(10 / 30)
