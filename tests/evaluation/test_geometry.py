import numpy as np
import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.evaluation.collapse import effective_rank, mean_pairwise_cosine
from sigjepa.evaluation.geometry import NEAR, check_bodies, duplicate_share, measure_geometry, nearest_other


@pytest.fixture
def bodies():
    """40 bodies with copies, near copies, and a common direction."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 12, generator=generator) + 2 * torch.randn(12, generator=generator)
    rows[7] = rows[3]
    rows[[20, 21]] = rows[19].clone()
    rows[30] = rows[29] + 0.2 * torch.randn(12, generator=generator)
    return rows


def naive_nearest(rows):
    rows = rows.double().numpy()
    return np.array(
        [
            max(
                float(rows[i] @ rows[j] / (np.linalg.norm(rows[i]) * np.linalg.norm(rows[j])))
                for j in range(len(rows))
                if j != i
            )
            for i in range(len(rows))
        ]
    )


def test_the_nearest_other_equals_a_naive_loop_and_a_copy_is_another_body(bodies):
    nearest = nearest_other(bodies)
    np.testing.assert_allclose(nearest.numpy(), naive_nearest(bodies), atol=1e-6)
    np.testing.assert_allclose(nearest[[3, 7, 19, 20, 21]], 1, atol=1e-6)


def test_shares_and_gauges_equal_naive_ones(bodies):
    geometry = measure_geometry(bodies, bodies)
    nearest = naive_nearest(bodies)
    assert {level: pytest.approx((nearest >= level).mean()) for level in NEAR} == geometry.raw.near
    assert 0 < geometry.raw.near[0.95] < geometry.raw.near[0.80] < 1
    assert geometry.duplicates == duplicate_share(bodies) == pytest.approx(5 / 40)
    assert geometry.raw.effective_rank == pytest.approx(effective_rank(bodies))
    assert geometry.centred.mean_pairwise_cosine == pytest.approx(mean_pairwise_cosine(bodies - bodies.mean(dim=0)))


def test_centering_and_whitening_are_fitted_on_train_and_undo_a_common_direction():
    generator = torch.Generator().manual_seed(1)
    scales, mean = torch.ones(12), 5 * torch.randn(12, generator=generator)
    scales[:2] = 10.0
    train, pool = (torch.randn(n, 12, generator=generator) * scales + mean for n in (3000, 200))
    geometry = measure_geometry(pool, train)
    assert geometry.raw.mean_pairwise_cosine > 0.3
    assert abs(geometry.centred.mean_pairwise_cosine) < 0.05
    assert geometry.raw.effective_rank < geometry.whitened.effective_rank
    assert geometry.whitened.effective_rank > 11
    moved = measure_geometry(pool, train + 20.0)
    assert moved.raw == geometry.raw
    assert moved.centred.mean_pairwise_cosine > 0.3


def test_as_dict_is_json_with_names_for_thresholds(bodies):
    record = measure_geometry(bodies, bodies).as_dict()
    assert record["bodies"] == 40
    assert record["duplicates"] == pytest.approx(0.125)
    assert set(record["whitened"]) == {
        "effective_rank",
        "mean_pairwise_cosine",
        "nearest_other_0.80",
        "nearest_other_0.90",
        "nearest_other_0.95",
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.tensor([[1.0, 2.0], [float("nan"), 1.0]]), "NaN"),
        (torch.tensor([[1.0, 2.0], [0.0, 0.0]]), "Body 1 "),
    ],
)
def test_a_body_without_a_direction_is_an_error(rows, message):
    with pytest.raises(SigjepaError, match=message):
        check_bodies(rows)
    with pytest.raises(SigjepaError, match=message):
        measure_geometry(rows, torch.ones(3, 4))
