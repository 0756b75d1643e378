"""Cosines of pairs, against a naive loop."""

import numpy as np
from made_up import judge_all, made_up_shards

from sigjepa.negatives.exchange.validate import check_cosines, check_nearness, pair_cosines


def test_cosines_are_those_of_a_naive_loop(shards):
    rng = np.random.default_rng(0)
    anchors, neighbors = rng.integers(0, 60, (2, 100))
    bodies = shards.body_pooled.double().numpy()
    naive = [
        float(bodies[a] @ bodies[b] / (np.linalg.norm(bodies[a]) * np.linalg.norm(bodies[b])))
        for a, b in zip(anchors, neighbors, strict=True)
    ]
    np.testing.assert_allclose(pair_cosines(shards, anchors, neighbors), naive, atol=1e-6)
    assert pair_cosines(shards, np.arange(60), np.arange(60)).tolist() == [1.0] * 60


def test_a_body_without_a_direction_is_near_nothing():
    shards = made_up_shards([[0.0, 0.0], [1.0, 0.0]])
    assert pair_cosines(shards, np.array([0, 0]), np.array([1, 0])).tolist() == [0.0, 0.0]


def test_no_pairs_match_anything(shards, tmp_path):
    check_cosines(tmp_path, judge_all(shards, np.arange(40)).take(np.arange(0)), shards, 0.0)
    check_nearness(tmp_path, np.array([]), shards, np.arange(40))
