import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sigjepa.evaluation.collapse import effective_rank, mean_pairwise_cosine, standard_deviation


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 12), dim=st.integers(2, 10), seed=st.integers(0, 999))
def test_gauges_equal_their_definitions(n, dim, seed):
    rows = np.random.default_rng(seed).normal(size=(n, dim)) + 0.5
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    shares = np.linalg.svd(unit, compute_uv=False)
    shares = shares[shares > 1e-9] / shares.sum()
    given_rows = torch.from_numpy(rows)
    assert effective_rank(given_rows) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
    cosines = [unit[i] @ unit[j] for i in range(n) for j in range(n) if i != j]
    assert mean_pairwise_cosine(given_rows) == pytest.approx(np.mean(cosines), abs=1e-6)
    assert standard_deviation(given_rows) == pytest.approx(unit.std(axis=0).mean() * dim**0.5, rel=1e-4)


def test_collapse_to_one_vector_shows_in_every_gauge():
    collapsed, spread = torch.ones(50, 8), torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    assert standard_deviation(collapsed) == pytest.approx(0, abs=1e-3)
    assert effective_rank(collapsed) == pytest.approx(1, abs=1e-3)
    assert mean_pairwise_cosine(collapsed) == pytest.approx(1)
    assert effective_rank(spread) > 7
    assert abs(mean_pairwise_cosine(spread)) < 0.1


def test_collapse_of_dimensions_shows_in_effective_rank():
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(200, 2, generator=generator) @ torch.randn(2, 16, generator=generator)
    assert effective_rank(flat) <= 2.0001


def test_spread_over_the_sphere_has_unit_deviation():
    rows = torch.randn(4000, 32, generator=torch.Generator().manual_seed(0))
    assert standard_deviation(rows) == pytest.approx(1, abs=0.01)


def test_one_row_has_no_pairs():
    assert mean_pairwise_cosine(torch.ones(1, 4)) == 0
