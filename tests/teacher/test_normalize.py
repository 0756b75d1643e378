import numpy as np
import pytest
import torch

from sigjepa.errors import SigjepaError
from sigjepa.teacher import normalize
from sigjepa.teacher.normalize import fit_center, fit_whitening


@pytest.fixture
def embeddings() -> torch.Tensor:
    """Correlated, off-centre rows [200, 6], with variances over four orders of magnitude."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=generator) * torch.logspace(0, -2, 6)
    return torch.randn(200, 6, generator=generator) @ mixing + 3


def test_centering_is_the_naive_formula(embeddings: torch.Tensor) -> None:
    centre = fit_center(embeddings)
    expected = embeddings.numpy() - embeddings.numpy().mean(axis=0)
    np.testing.assert_allclose(centre(embeddings).numpy(), expected, atol=1e-5)
    assert centre(embeddings[:3].half()).dtype is torch.float32


def test_whitening_decorrelates_train(embeddings: torch.Tensor) -> None:
    whitened = fit_whitening(embeddings, shrinkage=0)(embeddings)
    torch.testing.assert_close(torch.cov(whitened.T), torch.eye(6), atol=1e-3, rtol=0)
    torch.testing.assert_close(whitened.mean(dim=0), torch.zeros(6), atol=1e-3, rtol=0)


@pytest.mark.parametrize("shrinkage", [0.0, 0.01, 0.5])
def test_inner_products_are_the_naive_formula(embeddings: torch.Tensor, shrinkage: float) -> None:
    """Whitening is fixed up to a rotation; what ranks is x^T C^-1 y, with the shrunk covariance C inverted."""
    train, other = embeddings[:150], embeddings[150:]
    covariance = np.cov(train.double().numpy().T)
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / 6 * np.eye(6)
    centred = other.double().numpy() - train.double().numpy().mean(axis=0)
    expected = centred @ np.linalg.inv(shrunk) @ centred.T
    whitened = fit_whitening(train, shrinkage=shrinkage)(other)
    np.testing.assert_allclose((whitened @ whitened.T).numpy(), expected, rtol=1e-3, atol=1e-3)


def test_whitening_of_parts_in_blocks_is_that_of_all_rows(embeddings: torch.Tensor, monkeypatch) -> None:
    whole = fit_whitening(embeddings)
    assert fit_whitening(embeddings[:70], embeddings[70:]).matrix.equal(whole.matrix)
    monkeypatch.setattr(normalize, "BLOCK_NUMBERS", 6 * 33)
    blocks = fit_whitening(embeddings[:70], embeddings[70:])
    torch.testing.assert_close(blocks.mean, whole.mean)
    torch.testing.assert_close(blocks.matrix @ blocks.matrix.T, whole.matrix @ whole.matrix.T)


def test_whitening_of_fewer_rows_than_dimensions_stays_finite() -> None:
    few = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    for shrinkage in (0.0, 0.01):
        assert fit_whitening(few, shrinkage=shrinkage)(few).isfinite().all()


def test_bad_input(embeddings: torch.Tensor) -> None:
    with pytest.raises(SigjepaError, match="train"):
        fit_center(embeddings[:0])
    with pytest.raises(SigjepaError, match="two"):
        fit_whitening(embeddings[:1])
    with pytest.raises(SigjepaError, match="shrinkage=2"):
        fit_whitening(embeddings, shrinkage=2)
